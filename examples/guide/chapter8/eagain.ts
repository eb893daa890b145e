/**
 * A full queue: `send` and `trySend` without a receiver.
 *
 * A DEALER queues messages for an absent peer up to its high-water mark. Look at two ways to send the next one: `send` waits for
 * its timeout and then fails with EAGAIN, `trySend` returns false at once. A `send` without a timeout waits for the receiver.
 *
 *   node examples/guide/chapter8/eagain.ts
 */
import { Dealer } from "shoal";

const mailbox = new Dealer({ sendHighWaterMark: 4, sendTimeout: 20 });
mailbox.connect("tcp://127.0.0.1:9"); // Nobody is there.

let count = 0;
try {
  for (; count < 10; count++) await mailbox.send(`message ${count}`);
} catch (error) {
  console.log(`${count} messages are queued, the next one: ${(error as { code: string }).code}`);
}
console.log(`trySend: ${mailbox.trySend("one more")}`);
const { discarded } = await mailbox.close({ linger: 0 });
console.log(`close: ${discarded} messages discarded`);
