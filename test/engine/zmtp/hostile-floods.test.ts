/** Peers that send, or ask, without end: memory stays bounded, and the other peers notice nothing. */
import { describe, expect, it } from "vitest";
import { collect, until, within } from "../../contract/support/wait.js";
import { command, frame, greeting, ready } from "../../contract/support/zmtp-peer.js";
import { LONG } from "../../support/long.js";
import { HostileWorld, MIB, memory } from "./support/hostile-world.js";
import { RawServer, shaken } from "./support/raw-server.js";

const world = new HostileWorld();
/** Of 10,000 subscriptions each. */
const BATCHES = LONG ? 25 : 4;
/** Of 4,000 PINGs, 100 kB, each. */
const FLOOD = LONG ? 300 : 100;
/** Subscriptions of 10 kB that come and go: the first of them fill what the system takes. */
const TOGGLES = LONG ? 6_000 : 2_000;

/** SUBSCRIBE to a prefix whose last 7 characters are to be written. */
const RECORD = command("SUBSCRIBE", "topic 0000000");

describe("a flood", () => {
  it("of PINGs from a peer that does not read is not answered without end", async () => {
    // Its own PINGs would go unanswered for as long as the flood takes, which on a busy machine is longer than a heartbeat.
    const pull = world.pull({ heartbeatInterval: 0 });
    const { endpoint, works } = await world.good(pull);
    const peer = await shaken(world, endpoint, "PUSH");
    peer.socket.pause();
    await until(() => pull.stats().peers === 2, "two peers");
    const before = memory();
    const pings = Buffer.concat(Array.from({ length: 4_000 }, () => command("PING", "\0\0sixteen bytes..!")));
    const written = await within(peer.flood(pings, FLOOD), "the flood", 25_000); // Their PONGs would be as long.
    await works();
    expect(written).toBe(FLOOD);
    expect(memory() - before).toBeLessThan(6 * MIB);
    // It is served when it reads.
    peer.socket.resume();
    peer.write(frame("now reading"));
    expect(await collect(pull, 1)).toEqual(["now reading"]);
  }, 30_000);

  it(`of ${LONG ? "250,000" : "40,000"} SUBSCRIBEs fits, and the other subscribers get their messages`, async () => {
    const publisher = world.publisher({ heartbeatInterval: 0 });
    const endpoint = await world.bind(publisher);
    const subscriber = world.connect(world.subscriber(), endpoint);
    subscriber.subscribe("news");
    await publisher.waitForSubscribers({ timeout: 8_000 });
    const before = memory();
    const peer = await shaken(world, endpoint, "SUB");
    for (let batch = 0; batch < BATCHES; batch++) {
      const records = Buffer.alloc(10_000 * RECORD.length, RECORD);
      for (let i = 0; i < 10_000; i++) {
        records.write(String(batch * 10_000 + i).padStart(7, "0"), (i + 1) * RECORD.length - 7, "latin1");
      }
      await peer.flood(records, 1);
      await publisher.send(["news", "flash"]);
      expect((await subscriber.receive({ timeout: 8_000 })).map(String)).toEqual(["news", "flash"]);
    }
    const own = memory();
    peer.write(command("SUBSCRIBE", "last"));
    await until(() => {
      void publisher.send(["last", "x".repeat(200)]);
      return peer.socket.bytesRead > 300;
    }, "a message to the peer with all of them");
    // About 150 bytes for each; the peers of a publisher have no more than MAX_PREFIXES each.
    expect(own - before).toBeLessThan(4 * BATCHES * MIB);
    let gone = 0;
    publisher.events.on("unsubscribe", () => void gone++);
    peer.destroy();
    await until(() => gone === 10_000 * BATCHES + 1, "the end of its subscriptions", 60_000);
    await publisher.send(["news", "end"]);
    expect((await subscriber.receive({ timeout: 8_000 })).map(String)).toEqual(["news", "end"]);
    expect(memory() - before).toBeLessThan(64 * MIB);
  }, 120_000);

  it("of an XSUB's own subscriptions, at a publisher that does not read, is kept up to its mark", async () => {
    const server = new RawServer((socket) => {
      socket.pause();
      socket.write(Buffer.concat([greeting(), ready("XPUB")]));
    });
    const subscriber = world.xSubscriber({ heartbeatInterval: 0, sendHighWaterMarkBytes: 16 * MIB });
    subscriber.connect(await server.listen(world));
    await subscriber.ready({ timeout: 8_000 });
    const topic = Buffer.alloc(10_000, "t");
    const toggle = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        topic.writeUInt32BE(i, 1);
        for (const on of [1, 0]) {
          topic[0] = on;
          await subscriber.send(topic);
        }
        if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await toggle(TOGGLES); // 40 MB: more than any kernel takes.
    const before = memory();
    await toggle(TOGGLES);
    // All of them would be 40 MB.
    expect(memory() - before).toBeLessThan(24 * MIB);
  });
});
