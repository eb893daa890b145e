/**
 * A full queue: what `send` does when nobody takes the messages.
 *
 * The queue of a DEALER for a peer that is not there yet holds as many messages as its high-water mark allows. Look at the three
 * ways to send the next one: `trySend` returns false at once, `send` waits as long as it may and then fails with EAGAIN, and a
 * `send` without a time-out goes at the pace of the receiver.
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
