/** A peer that leaves with many subscriptions: what it had is taken back in turns of the event loop. */
import { describe, expect, it } from "vitest";
import { LEAVE_STEP } from "../../../src/engine/zmtp/routing/publish.js";
import { listen } from "../../../src/sockets/internal.js";
import { collect, nextEvent, turn, until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { greeting, RawPeer, ready } from "../../contract/support/zmtp-peer.js";

const world = new World("zmtp", "tcp");
const MANY = 10_000;

/** A command SUBSCRIBE (37/ZMTP). */
function subscribe(prefix: string): Buffer {
  const body = Buffer.concat([Buffer.from("\x09SUBSCRIBE"), Buffer.from(prefix)]);
  return Buffer.concat([Buffer.of(4, body.length), body]);
}

/** A subscriber of so many prefixes, in one write. */
async function subscriberOf(endpoint: string, prefixes: readonly string[]): Promise<RawPeer> {
  const peer = await RawPeer.connect(endpoint);
  world.after(() => peer.destroy());
  peer.write(greeting(), ready("SUB"), ...prefixes.map(subscribe));
  return peer;
}

const prefixes = Array.from({ length: MANY }, (_, i) => `topic ${i}`);

describe("a peer that leaves with many prefixes", () => {
  it("does not hold a publisher up, and is counted out once for each", async () => {
    const publisher = world.publisher();
    const topics = new Map<string, number>();
    let [there, gone] = [0, 0];
    publisher.events.on("subscribe", () => {
      there += 1;
    });
    publisher.events.on("unsubscribe", ({ topic }) => {
      gone += 1;
      topics.set(String(topic), (topics.get(String(topic)) ?? 0) + 1);
    });
    const peer = await subscriberOf(await world.bind(publisher), prefixes);
    await until(() => there === MANY, "all subscriptions");
    const left = nextEvent(publisher, "peer:leave");
    peer.destroy();
    await left;
    await turn();
    expect(gone).toBeLessThan(MANY);
    await until(() => gone === MANY, "all of them");
    expect(new Set(topics.values())).toEqual(new Set([1]));
    expect(topics.size).toBe(MANY);
  });

  it("and comes back on the same endpoint has what it subscribes to then, and nothing twice", async () => {
    const xPublisher = world.xPublisher({ receiveHighWaterMark: 0, verbosity: "allSubsUnsubs" });
    const endpoint = await world.bind(xPublisher);
    for (let i = 0; i < 2; i++) {
      const peer = await subscriberOf(endpoint, prefixes);
      expect(new Set(await collect(xPublisher, MANY))).toEqual(
        new Set(prefixes.map((each) => `\u0001${each}`)),
      );
      peer.destroy();
      expect(new Set(await collect(xPublisher, MANY))).toEqual(
        new Set(prefixes.map((each) => `\u0000${each}`)),
      );
    }
    expect(xPublisher.stats().receiveQueued).toBe(0);
  });

  it("lets the socket close at once", async () => {
    const publisher = world.publisher();
    let there = 0;
    publisher.events.on("subscribe", () => {
      there += 1;
    });
    const peer = await subscriberOf(await world.bind(publisher), prefixes);
    await until(() => there === MANY, "all subscriptions");
    const left = nextEvent(publisher, "peer:leave");
    peer.destroy();
    await left;
    await publisher.close({ linger: 0 });
    let late = 0;
    listen(publisher, () => {
      late += 1;
    });
    // More turns than it takes to take back all of them.
    for (let i = 0; i < 2 * Math.ceil(MANY / LEAVE_STEP); i++) await turn();
    expect(late).toBe(0);
  });
});
