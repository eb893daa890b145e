/** PUSH and PULL beyond throughput.ts: many producers, workers between, security, a slow consumer. */
import { Bodies } from "../../../bodies.js";
import { OnceChecker, StrideChecker } from "../../../sequences.js";
import type { Kit } from "../kit.js";
import type { Outcome, Side } from "../side.js";
import { caseOptions, growthSince } from "./case-options.js";
import type { Role, Roles } from "./role.js";

type Push = InstanceType<Kit["Push"]>;
type Pull = InstanceType<Kit["Pull"]>;

interface Checking {
  take(message: Buffer): void;
  readonly checksum: string;
  readonly ordered: boolean;
}

/** Waits until message k of a consumer with `rate` per second is due; timers have a resolution of 1 ms. */
function pace(from: number, k: number, rate: number): Promise<void> | undefined {
  const ahead = from + (k / rate) * 1e3 - performance.now();
  return ahead < 1 ? undefined : new Promise((resolve) => setTimeout(resolve, ahead));
}

async function receive(pull: Pull, side: Side, kit: Kit, checker: Checking): Promise<Outcome> {
  const total = side.warmup + side.count;
  const first = Math.max(1, side.warmup);
  const rate = side.number("rate", 0);
  let seen = 0;
  let from = performance.now();
  if (kit.batch && rate === 0) {
    while (seen < total) {
      const messages = await pull.receiveMany({ max: seen < first ? first - seen : total - seen });
      for (const [message] of messages) checker.take(message as Buffer);
      seen += messages.length;
      if (seen === first) side.begin();
    }
  } else {
    for await (const [message] of pull) {
      checker.take(message as Buffer);
      if (++seen === first) {
        side.begin();
        from = performance.now();
      }
      if (seen === total) break;
      if (rate > 0 && seen > side.warmup) await pace(from, seen - side.warmup, rate);
    }
  }
  side.end();
  const { checksum, ordered } = checker;
  return { messages: side.count, bytes: side.count * side.size, checksum, ordered };
}

function receiver(checkerOf: (side: Side) => Checking): Role {
  return async (side, kit) => {
    const pull = new kit.Pull(caseOptions(side, "in"));
    await pull.bind(side.endpoint);
    await side.ready(pull.lastEndpoint);
    await side.done(await receive(pull, side, kit, checkerOf(side)));
    await pull.close();
  };
}

/** Several sockets: message k is sent by sender k mod peers. */
const producer: Role = async (side, kit) => {
  const sockets = side.number("sockets", 1);
  const peers = side.number("peers", 1);
  const pushes = Array.from({ length: sockets }, () => new kit.Push(caseOptions(side, "out")));
  for (const push of pushes) push.connect(side.endpoint);
  await side.ready();
  const rss = process.memoryUsage.rss();
  const bodies = new Bodies(side.size);
  const total = side.warmup + side.count;
  let sent = 0;
  // A separate loop per socket, so that none waits for another's queue.
  const work = async (push: Push, sender: number) => {
    for (let k = sender; k < total; k += peers) {
      const message = bodies.makeOwn(k);
      if (!(kit.batch && push.trySend(message))) await push.send(message);
      if (k >= side.warmup && sent++ === 0) side.begin();
    }
  };
  await Promise.all(pushes.map((push, i) => work(push, side.index * sockets + i)));
  await side.done({ messages: sent, bytes: sent * side.size, extra: growthSince(rss) });
  await Promise.all(pushes.map((push) => push.close()));
};

const ventilator: Role = async (side, kit) => {
  const push = new kit.Push(caseOptions(side, "out"));
  await push.bind(side.endpoint);
  await side.ready(push.lastEndpoint);
  const bodies = new Bodies(side.size);
  for (let k = 0; k < side.warmup + side.count; k++) {
    const message = bodies.make(k);
    if (!(kit.batch && push.trySend(message))) await push.send(message);
  }
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await push.close();
};

/** Forwards messages until it is stopped. */
const worker: Role = async (side, kit) => {
  const pull = new kit.Pull(caseOptions(side, "in"));
  const push = new kit.Push(caseOptions(side, "out"));
  pull.connect(side.endpoint);
  push.connect(side.endpointOf("sink"));
  let passed = 0;
  const working = (async () => {
    if (kit.batch) {
      for await (const batch of pull.batches()) {
        const messages = batch.keep();
        for (const message of messages) if (!push.trySend(message)) await push.send(message);
        passed += messages.length;
      }
      return;
    }
    for await (const [message] of pull) {
      await push.send(message as Buffer);
      passed++;
    }
  })();
  await side.ready();
  await side.stopped;
  await side.done({ messages: passed, bytes: passed * side.size });
  await pull.close();
  await working;
  await push.close();
};

export const roles: Roles = {
  consumer: receiver((side) => {
    const peers = side.number("peers", 1);
    return peers === 1 ? side.checker() : new StrideChecker(side.size, side.warmup, side.count, peers);
  }),
  sink: receiver((side) => new OnceChecker(side.size, side.warmup, side.count)),
  producer,
  ventilator,
  worker,
};
