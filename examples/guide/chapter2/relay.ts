/**
 * A relay race: three threads, of which each waits for the one before it to be ready.
 *
 * PAIR sockets over `inproc` are how threads signal each other: exactly one peer, both directions, no topics and no addresses.
 * Look at the order: step 3 binds before it starts step 2, though with shoal, as with newer versions of libzmq, a thread may
 * connect before the other one has bound. Sharing memory and locks instead is what the Guide warns of; messages need neither.
 *
 *   node examples/guide/chapter2/relay.ts
 */
import { Worker, workerData } from "node:worker_threads";
import { Pair } from "shoal";

const step: number = workerData?.step ?? 3; // The main thread is the last step.

// A step with others before it starts the next one, and waits for its signal.
let before = "";
if (step > 1) {
  const receiver = new Pair();
  await receiver.bind(`inproc://step${step}`);
  new Worker(new URL(import.meta.url), { workerData: { step: step - 1 } });
  const [signal] = await receiver.receive();
  before = `${signal}, `;
  await receiver.close();
}

if (step < 3) {
  const sender = new Pair();
  sender.connect(`inproc://step${step + 1}`);
  await sender.send(`${before}step ${step} ready`);
  await sender.close();
} else {
  console.log(`${before}test successful`);
}
