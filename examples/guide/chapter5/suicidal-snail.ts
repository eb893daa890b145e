/**
 * Suicidal Snail: a subscriber that is too slow notices it, and ends itself rather than work on old messages.
 *
 * The Guide compares the time in a message with its own clock, which is wrong as soon as two machines' clocks differ. Look at
 * `SuicidalSnail`: it takes the fastest message that it has seen as its measure, so clocks need not agree. What to do then is a
 * policy: end, keep only the newest of each topic, begin again, or just report it.
 *
 *   node examples/guide/chapter5/suicidal-snail.ts
 */
import { setTimeout } from "node:timers/promises";
import { SequencedPublisher } from "shoal/sequenced";
import { SuicidalSnail, SuicidalSnailError } from "shoal/suicidal-snail";

const publisher = new SequencedPublisher(); // It numbers its messages, and adds the time.
const endpoint = await publisher.bind("tcp://127.0.0.1:*");
const ticks = setInterval(() => publisher.publish("tick", "tock"), 2);

async function follow(milliseconds: number, count: number): Promise<string> {
  const snail = new SuicidalSnail({ policy: "die", maxLateness: 250 });
  snail.subscribe("tick");
  snail.connect(endpoint);
  try {
    for (let i = 0; i < count; i++) {
      await snail.receive();
      await setTimeout(milliseconds); // The work on one message.
    }
    return "kept up";
  } catch (error) {
    if (!(error instanceof SuicidalSnailError)) throw error;
    return `died, the cause is "${error.lateCause}"`;
  } finally {
    await snail.close();
  }
}

console.log(`30 ms for each message: ${await follow(30, 1_000)}`);
console.log(`no work: ${await follow(0, 20)}`);
clearInterval(ticks);
await publisher.close();
