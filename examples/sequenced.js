// @ts-check
/** Sequenced publishing: a late subscriber knows what it missed, and gets it again. */
import assert from "node:assert/strict";
import { SequencedPublisher, SequencedSubscriber } from "shoal/sequenced";

const publisher = new SequencedPublisher({ maxQueue: 100 });
const endpoint = await publisher.bind("tcp://127.0.0.1:*");
const replay = await publisher.bindReplay("tcp://127.0.0.1:*");

// Nobody listens yet.
for (const price of ["10", "11", "12"]) publisher.publish("price", price);

const subscriber = new SequencedSubscriber();
subscriber.subscribe("price");
subscriber.connect(endpoint, replay);
/** @type {Promise<import("shoal/sequenced").SequencedRange & { missed: number }>} */
const lateJoin = new Promise((resolve) => subscriber.events.on("stream:joined-late", resolve));
await publisher.waitForSubscribers();

publisher.publish("price", "13");
const live = await subscriber.receive();
const missed = await lateJoin;
const { messages, missing } = await subscriber.replay(missed);

const early = messages.map(({ sequence, body }) => `${sequence}: ${body}`);
assert.equal(missed.missed, 3);
assert.deepEqual(early, ["1: 10", "2: 11", "3: 12"]);
assert.equal(missing, 0);
assert.deepEqual([live.sequence, live.publisher, String(live.body)], [4, publisher.id, "13"]);

await subscriber.close();
await publisher.close();
console.log(`live ${live.body}; missed and replayed ${early.join(", ")}`);
