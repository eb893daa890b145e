/** A server that returns messages, and clients that send requests in turn or on schedule. */
import { setImmediate } from "node:timers/promises";
import { Bodies, type Checker } from "../../../bodies.js";
import { sumOfChecksums } from "../../../sequences.js";
import { Latencies } from "../histogram.js";
import type { Kit } from "../kit.js";
import type { Side } from "../side.js";
import { caseOptions } from "./case-options.js";
import type { Role, Roles } from "./role.js";

type Client = InstanceType<Kit["Request"]> | InstanceType<Kit["Dealer"]>;

/** REQ and REP if the case requires them; otherwise DEALER and ROUTER. */
const isStrict = (side: Side) => side.option("pattern", "dealer-router") === "req-rep";

/** Echoes whole messages, including address frames, until it is stopped. */
const server: Role = async (side, kit) => {
  const options = caseOptions(side, "both");
  const socket = isStrict(side) ? new kit.Reply(options) : new kit.Router(options);
  await socket.bind(side.endpoint);
  let echoed = 0;
  const serving = (async () => {
    for await (const frames of socket) {
      await socket.send(frames as [Buffer, ...Buffer[]]);
      echoed++;
    }
  })();
  await side.ready(socket.lastEndpoint);
  await side.stopped;
  await side.done({ messages: echoed, bytes: echoed * side.size });
  await socket.close();
  await serving;
};

/** Each socket has one request in flight. Count and warm-up are per socket. */
const inTurn: Role = async (side, kit) => {
  const options = caseOptions(side, "both");
  const clients: Client[] = Array.from({ length: side.number("sockets", 1) }, () =>
    isStrict(side) ? new kit.Request(options) : new kit.Dealer(options),
  );
  for (const client of clients) client.connect(side.endpoint);
  const checkers = clients.map(() => side.checker());
  const bodies = new Bodies(side.size);
  const latencies = new Latencies();
  let warmedUp = 0;
  await side.ready();
  const ask = async (client: Client, checker: Checker) => {
    for (let k = 0; k < side.warmup + side.count; k++) {
      const message = bodies.make(k);
      const from = process.hrtime.bigint();
      await client.send(message);
      const [reply] = await client.receive();
      const nanoseconds = Number(process.hrtime.bigint() - from);
      checker.take(reply as Buffer);
      if (k >= side.warmup) latencies.record(nanoseconds);
      else if (++warmedUp === clients.length * side.warmup) side.begin();
    }
  };
  await Promise.all(clients.map((client, i) => ask(client, checkers[i] as Checker)));
  side.end();
  const messages = clients.length * side.count;
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(checkers.map((checker) => checker.checksum)),
    ordered: checkers.every((checker) => checker.ordered),
    latency: latencies.table,
  });
  await Promise.all(clients.map((client) => client.close()));
};

/**
 * Open loop: request k is due at k / rate, whatever happened to earlier ones, and its latency counts from then. So a
 * stall affects every request that it delayed (no coordinated omission). The loop spins between requests, since a
 * timer has a resolution of 1 ms.
 */
const onSchedule: Role = async (side, kit) => {
  const dealer = new kit.Dealer(caseOptions(side, "both"));
  dealer.connect(side.endpoint);
  const bodies = new Bodies(side.size);
  const checker = side.checker();
  const latencies = new Latencies();
  const total = side.warmup + side.count;
  const interval = 1e3 / side.number("rate", 1000);
  await side.ready();
  await dealer.send(bodies.make(0)); // The first waits for the connection, before the schedule begins.
  const [hello] = await dealer.receive();
  checker.take(hello as Buffer);
  const from = performance.now();
  const send = async () => {
    for (let k = 1; k < total; k++) {
      while (performance.now() < from + (k - 1) * interval) await setImmediate();
      await dealer.send(bodies.make(k));
    }
  };
  const receive = async () => {
    for (let k = 1; k < total; k++) {
      const [reply] = await dealer.receive();
      const late = performance.now() - (from + (k - 1) * interval);
      checker.take(reply as Buffer);
      if (k >= side.warmup) latencies.record(late * 1e6);
      if (k === side.warmup) side.begin();
    }
  };
  await Promise.all([send(), receive()]);
  side.end();
  const { checksum, ordered } = checker;
  const latency = latencies.table;
  await side.done({ messages: side.count, bytes: side.count * side.size, checksum, ordered, latency });
  await dealer.close();
};

const client: Role = (side, kit) =>
  side.scenario === "latency-under-load" ? onSchedule(side, kit) : inTurn(side, kit);

export const roles: Roles = { server, client };
