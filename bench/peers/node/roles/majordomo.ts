/** Majordomo: broker, workers that return requests, and a client. */
import { Context } from "shoal";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/patterns";
import { Latencies } from "../histogram.js";
import type { Side } from "../side.js";
import { type Asker, askOnSchedule, askPipelined } from "./asking.js";
import type { Role, Roles } from "./role.js";

/** One service, unless the case is about many. */
function servicesOf(side: Side): string[] {
  return Array.from({ length: side.number("services", 1) }, (_, i) => `echo-${i}`);
}

export const broker: Role = async (side) => {
  const majordomo = new MajordomoBroker({ socketOptions: { backlog: side.number("backlog", 511) } });
  await majordomo.bind(side.endpoint);
  await side.ready(majordomo.lastEndpoint);
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await majordomo.close({ linger: 0 });
};

/**
 * Services of this process's workers, one name per worker. In the scenario of many services each has several workers,
 * distributed over the processes.
 */
function offeredBy(side: Side): string[] {
  if (side.scenario !== "majordomo-growth") return servicesOf(side);
  const each = side.number("workers", 1);
  const processes = side.number("processes", 1);
  return servicesOf(side)
    .flatMap((service) => Array.from({ length: each }, () => service))
    .filter((_, i) => i % processes === side.index);
}

/** Workers that join at once: thousands would delay each other beyond the handshake timeout. */
const JOINING = 100;

/** Ready when the broker has all workers. */
export const worker: Role = async (side) => {
  const concurrency = side.number("concurrency", 1);
  const prefetch = side.number("prefetch", -1);
  const room = prefetch < 0 ? { concurrency } : { concurrency, prefetch };
  const offered = offeredBy(side);
  // A context has at most 1,023 sockets by default.
  const context = new Context({ maxSockets: 2 * offered.length + 1_000 });
  let handled = 0;
  const echo = (frames: Buffer[]) => {
    handled++;
    return frames;
  };
  const workers: MajordomoWorker[] = [];
  while (workers.length < offered.length) {
    const some = offered
      .slice(workers.length, workers.length + JOINING)
      .map(
        (service) =>
          new MajordomoWorker(side.endpoint, service, echo, { ...room, socketOptions: { context } }),
      );
    await Promise.all(
      some.map((one) => new Promise<void>((resolve) => one.events.on("broker:joined", () => resolve()))),
    );
    workers.push(...some);
  }
  await side.ready();
  await side.stopped;
  await side.done({ messages: handled, bytes: handled * side.size });
  await Promise.all(workers.map((one) => one.close({ linger: 0 })));
};

function asker(side: Side): Asker {
  const client = new MajordomoClient(side.endpoint);
  const services = servicesOf(side).slice(0, side.number("asked", 1));
  const self: Asker = {
    ask(k, body) {
      const service = services[k % services.length] as string;
      void client.request(service, body).then(([reply]) => self.onReply(reply as Buffer));
    },
    onReply: () => undefined,
    close: () => client.close(),
  };
  return self;
}

/** Creates workers one after the other while a client keeps requests in flight. */
const joiner: Role = async (side) => {
  const client = new MajordomoClient(side.endpoint);
  const [service = ""] = servicesOf(side);
  const latencies = new Latencies(side.count);
  await side.ready();
  let isOver = false;
  const ask = async (): Promise<void> => {
    while (!isOver) await client.request(service, "?");
  };
  const asking = Array.from({ length: side.number("window", 1) }, ask);
  for (let k = 0; k < side.warmup + side.count; k++) {
    const from = performance.now();
    let isAsked: () => void = () => undefined;
    const first = new Promise<void>((resolve) => (isAsked = resolve));
    const worker = new MajordomoWorker(side.endpoint, service, (frames) => {
      isAsked();
      return frames;
    });
    await first;
    latencies.record((performance.now() - from) * 1e6);
    await worker.close();
  }
  side.end();
  isOver = true;
  await Promise.all(asking);
  await side.done({ messages: side.count, bytes: 0, latency: latencies.table });
  await client.close();
};

const client: Role = (side) =>
  side.scenario === "majordomo-under-load"
    ? askOnSchedule(side, asker(side))
    : askPipelined(side, asker(side));

export const roles: Roles = { broker, worker, client, joiner };
