// @ts-check
/** Waits that are aborted by an AbortSignal, and lose no message. */
import assert from "node:assert/strict";
import { AbortedError, Pull, Push } from "shoal";

const pull = new Pull();
const push = new Push({ sendHighWaterMark: 1 });
await pull.bind("tcp://127.0.0.1:*");

// Nobody sends yet: the receive is aborted, and the message that comes later is not lost.
const impatient = pull.receive({ signal: AbortSignal.timeout(50) });
await assert.rejects(impatient, AbortedError);
push.connect(pull.lastEndpoint ?? "");
await push.send("first");
assert.equal(String(await pull.receive()), "first");

// Nobody takes it: an aborted send is never sent.
const lonely = new Push();
lonely.connect("tcp://127.0.0.1:1");
while (lonely.trySend("filling the queue"));
const controller = new AbortController();
const waiting = lonely.send("too much", { signal: controller.signal });
controller.abort();
await assert.rejects(waiting, { name: "AbortError", code: "ABORT_ERR" });
assert.equal(lonely.stats().dropped.aborted, 1);

// A loop ends the same way.
const stop = new AbortController();
let heard = 0;
const loop = (async () => {
  for await (const _ of pull.messages({ signal: stop.signal })) {
    heard += 1;
    if (heard === 3) stop.abort();
  }
})();
for (let i = 0; i < 3; i++) await push.send("again");
await assert.rejects(loop, AbortedError);

const { discarded, unknown } = await lonely.close({ linger: 0 });
assert.ok(discarded + unknown >= 1_000); // What was queued for a peer that never came.
await push.close();
await pull.close();
console.log(`Heard ${heard} messages before the loop was aborted`);
