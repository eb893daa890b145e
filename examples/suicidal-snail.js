// @ts-check
/** Suicidal Snail: a subscriber that is too slow ends itself, and its owner starts another that works faster. */
import assert from "node:assert/strict";
import { SequencedPublisher } from "shoal/sequenced";
import { SuicidalSnail, SuicidalSnailError } from "shoal/suicidal-snail";

const publisher = new SequencedPublisher();
const endpoint = await publisher.bind("tcp://127.0.0.1:*");

/** Takes `pause` ms for each message. @param {number} pause @param {number} count */
async function work(pause, count) {
  const snail = new SuicidalSnail({ policy: "die", maxLateness: 200 });
  snail.subscribe("tick");
  snail.connect(endpoint);
  try {
    for (let done = 0; done < count; done++) {
      const { lateness } = await snail.receive();
      assert.ok(lateness <= 200);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    return "kept up";
  } catch (error) {
    if (!(error instanceof SuicidalSnailError)) throw error;
    return "died";
  } finally {
    await snail.close();
  }
}

const ticks = setInterval(() => publisher.publish("tick", "tock"), 5);
const slow = await work(50, 1_000);
const fast = await work(0, 50);
clearInterval(ticks);

assert.deepEqual([slow, fast], ["died", "kept up"]);
await publisher.close();
console.log(`the slow one ${slow}, the fast one ${fast}`);
