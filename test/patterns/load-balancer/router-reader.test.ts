/** The order in which a broker hears of its peers: a departure comes after the last message. */
import { expect, it } from "vitest";
import { Dealer, Router } from "../../../src/index.js";
import { RouterReader } from "../../../src/kit/router-reader.js";
import { CORE } from "../../../src/sockets/socket-core.js";
import { turn } from "../../contract/support/wait.js";

/** Messages of one that sends without end. */
const MAX_FLOODS = 20_000;

/** A ROUTER that a test fills. */
class FakeRouter {
  readonly closed = false;
  readonly [CORE] = { engine: { stats: () => ({ peers: 1 }) }, counters: { received: 0 } };
  /** Whether what was taken is handed over a turn later, as after long reading. */
  yields = false;
  readonly waiting: Buffer[][] = [];
  leave: (event: { routingId?: Buffer }) => void = () => undefined;
  join: (event: { routingId?: Buffer }) => void = () => undefined;
  readonly events = {
    on: (type: string, listener: (event: { routingId?: Buffer }) => void) => {
      if (type === "peer:leave") this.leave = listener;
      else this.join = listener;
      return this.events;
    },
  };
  #wake: (() => void) | undefined;

  get readable(): boolean {
    return this.waiting.length > 0;
  }

  async receiveMany({ max }: { max: number }): Promise<Buffer[][]> {
    if (this.waiting.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.waiting.splice(0, max);
    this[CORE].counters.received += taken.length;
    if (this.yields) await turn();
    return taken;
  }

  arrive(...messages: string[]): void {
    for (const message of messages) this.waiting.push([Buffer.from("w"), Buffer.from(message)]);
    this.#wake?.();
  }
}

function start(room: (heard: readonly string[]) => number, ...waiting: Buffer[][]) {
  const router = new FakeRouter();
  router.waiting.push(...waiting);
  const heard: string[] = [];
  const left: Buffer[] = [];
  const reader = new RouterReader(router as unknown as Router, {
    room: () => room(heard),
    message: ([, body]) => heard.push(String(body)),
    left: (id) => {
      heard.push(`${id} left`);
      left.push(id);
    },
    afterBatch: () => undefined,
  });
  return { router, heard, left, reader };
}

it("reports a peer's departure after what it had sent", async () => {
  const { router, heard } = start(() => 1);
  router.arrive("one", "two");
  router.leave({ routingId: Buffer.from("w") });
  expect(heard).toEqual([]);
  await turn();
  expect(heard).toEqual(["one", "two", "w left"]);
  router.leave({ routingId: Buffer.from("v") });
  router.leave({});
  expect(heard.at(-1)).toBe("v left");
});

it("reports the departure of a peer whose next connection is there before that one's first message", async () => {
  const other = (body: string): Buffer[] => [Buffer.from("v"), Buffer.from(body)];
  const { router, heard, left } = start(() => 3, other("a"), other("b"), other("c"), other("d"));
  const given = Buffer.from("w");
  router.leave({ routingId: given });
  router.join({ routingId: Buffer.from("v") });
  router.join({ routingId: Buffer.from("w") });
  router.arrive("next");
  await turn();
  expect(heard).toEqual(["w left", "a", "b", "c", "d", "next"]);
  // Brokers know a connection by the object that its messages had.
  expect(left[0]).toBe(given);
});

it("reports a departure after a batch that was taken before, and comes a turn of the event loop later", async () => {
  const { router, heard } = start(() => 3);
  router.yields = true;
  router.arrive("one", "last");
  // The batch has left the socket, and nothing else waits in it.
  while (router.readable) await Promise.resolve();
  router.leave({ routingId: Buffer.from("w") });
  expect(heard).toEqual([]);
  await turn();
  await turn();
  expect(heard).toEqual(["one", "last", "w left"]);
});

it("reads no more than there is room for, and reports departures meanwhile", async () => {
  let room = 2;
  const { router, heard, reader } = start(
    (all) => room - all.filter((what) => !what.endsWith("left")).length,
  );
  router.arrive("one", "two", "three");
  await turn();
  expect(heard).toEqual(["one", "two"]);
  router.leave({ routingId: Buffer.from("w") });
  expect(heard.at(-1)).toBe("w left");
  room = 3;
  reader.resume();
  await turn();
  expect(heard.at(-1)).toBe("three");
});

it("reports a departure after the peer's last message, while another sends without end", async () => {
  const router = new Router({ receiveHighWaterMark: 0 });
  const endpoint = await router.bind("inproc://router-reader-flood");
  const flood = new Dealer({ routingId: "flood", sendHighWaterMark: 0 });
  const leaver = new Dealer({ routingId: "leaver" });
  for (const dealer of [flood, leaver]) {
    dealer.connect(endpoint);
    await dealer.ready();
  }
  const wanted = Array.from({ length: 300 }, (_, i) => String(i));
  const heard: string[] = [];
  let floods = 0;
  const over = new Promise<void>((resolve) => {
    new RouterReader(router, {
      room: () => Number.POSITIVE_INFINITY,
      message: ([id, body]) => {
        if (String(id) === "leaver") {
          heard.push(String(body));
          return;
        }
        floods += 1;
        // There is always more to be read than was.
        for (let i = 0; i < 2 && !flood.closed && floods < MAX_FLOODS / 2; i++) flood.trySend("flood");
        if (floods === 1_000) {
          for (const each of wanted) leaver.trySend(each);
          void leaver.close();
        }
        if (floods === MAX_FLOODS - 1_000) resolve();
      },
      left: (id) => {
        if (String(id) !== "leaver") return;
        heard.push(`${id} left`);
        resolve();
      },
      afterBatch: () => undefined,
    });
  });
  for (let i = 0; i < 600; i++) flood.trySend("flood");
  await over;
  await Promise.all([flood.close({ linger: 0 }), router.close({ linger: 0 })]);
  expect(heard).toEqual([...wanted, "leaver left"]);
  expect(floods).toBeLessThan(MAX_FLOODS / 2);
});
