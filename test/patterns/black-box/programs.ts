/** What the programs of these tests begin with: worker threads need the built package, in a process of its own. */

/** @param engine of the publisher and the Black Box */
export function prelude(engine: string): string {
  return `
    import assert from "node:assert/strict";
    import { once } from "node:events";
    import { setTimeout as sleep } from "node:timers/promises";
    import { setEnvironmentData } from "node:worker_threads";
    import { Context, Publisher } from "shoal";
    import { BlackBox } from "shoal/patterns";
    const engine = ${JSON.stringify(engine)};
    const ANY = "tcp://127.0.0.1:*";
    /** Memory that handlers have as \`data\`. */
    const shared = (length) => {
      const data = new Int32Array(new SharedArrayBuffer(4 * length));
      setEnvironmentData("data", data);
      return data;
    };
    const DATA = 'import { getEnvironmentData } from "node:worker_threads"; const data = getEnvironmentData("data");';
    /** A module of which this is the text. */
    const module = (text) => new URL("data:text/javascript," + encodeURIComponent(DATA + text));
    const openPublisher = async (options) => {
      const publisher = new Publisher({ sendHighWaterMark: 100_000, context: new Context({ engine }), ...options });
      await publisher.bind(ANY);
      return publisher;
    };
    const open = async ({ socketOptions, ...others }, publisher) => {
      publisher ??= await openPublisher();
      const box = new BlackBox({
        workers: 1, full: "wait", connect: publisher.lastEndpoint,
        socketOptions: { context: new Context({ engine }), ...socketOptions }, ...others });
      await box.start();
      await publisher.waitForSubscribers();
      return { publisher, box };
    };
    /** There is no event for an account: looked at again and again, for a bounded time. */
    const until = async (box, holds) => {
      for (let tries = 0; tries < 1_000; tries++) {
        const stats = box.stats();
        if (holds(stats)) return stats;
        await sleep(10);
      }
      throw new Error("It did not come: " + JSON.stringify(box.stats()));
    };
    const event = (box, type) => new Promise((resolve) => { box.events.on(type, resolve); });
    const accounts = ({ received, handled, failed, queued, inFlight, lost, dropped }) =>
      assert.equal(received, handled + failed + queued + inFlight + lost +
        Object.values(dropped).reduce((sum, count) => sum + count));
  `;
}

/** A handler that stops its thread at its first message, until data[0] is 1; counts in data[1], keeps the body's number in data[2 …]. */
export const BLOCKING = `
  export default ([, body]) => {
    Atomics.add(data, 1, 1);
    Atomics.notify(data, 1);
    Atomics.wait(data, 0, 0);
    data[2 + Atomics.add(data, 2, 1) + 1] = Number(body);
  };`;
