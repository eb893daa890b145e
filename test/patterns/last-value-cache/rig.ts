/** A cache between real sockets: a publisher, and subscribers that come when a test says so. */
import { type Context, Publisher, Subscriber, type SubscriberOptions } from "../../../src/index.js";
import { LastValueCache, type LastValueCacheOptions } from "../../../src/patterns/last-value-cache/index.js";
import { until } from "../../contract/support/wait.js";

export const ANY = "tcp://127.0.0.1:*";

type Keep = <T extends { close(options?: { linger: number }): unknown }>(thing: T) => T;

/** @param kept of `closeAfterEach`. @param endpoint of the backend */
export async function startCache(
  kept: Keep,
  context: Context,
  options: LastValueCacheOptions = {},
  endpoint = ANY,
) {
  const { backendOptions, ...others } = options;
  const cache = kept(
    new LastValueCache({
      ...others,
      frontendOptions: { context },
      backendOptions: { context, ...backendOptions },
    }),
  );
  const frontend = await cache.bind("frontend", ANY);
  const publisher = kept(new Publisher({ context, sendHighWaterMark: 100_000 }));
  publisher.connect(frontend);
  await publisher.waitForSubscribers({ timeout: 8_000 });
  const backend = await cache.bind("backend", endpoint);
  const subscribe = (prefix: string, its: SubscriberOptions = {}): Subscriber => {
    const subscriber = kept(new Subscriber({ context, receiveHighWaterMark: 100_000, ...its }));
    subscriber.subscribe(prefix);
    subscriber.connect(backend);
    return subscriber;
  };
  /** Until the cache has them. @param messages with `|` between their frames */
  const publish = async (...messages: string[]): Promise<void> => {
    const count = cache.stats().messages + messages.length;
    for (const message of messages) await publisher.send(message.split("|"));
    await until(() => cache.stats().messages >= count, "the messages");
  };
  return { cache, publisher, frontend, backend, subscribe, publish };
}
