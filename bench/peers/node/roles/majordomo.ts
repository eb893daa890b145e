/** Majordomo: broker, workers that give back what they get, and a client. */
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/patterns";
import type { Side } from "../side.js";
import { type Asker, askOnSchedule, askPipelined } from "./asking.js";
import type { Role, Roles } from "./index.js";

/** One service, but where the case is about many. */
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

/** Ready when the broker has all of them. */
export const worker: Role = async (side) => {
  const concurrency = side.number("concurrency", 1);
  const prefetch = side.number("prefetch", -1);
  // In the scenario of many services: workers of each of them.
  const each = side.scenario === "majordomo-growth" ? side.number("workers", 1) : 1;
  let handled = 0;
  const workers = servicesOf(side).flatMap((service) =>
    Array.from({ length: each }, () => {
      const echo = (frames: Buffer[]) => {
        handled++;
        return frames;
      };
      const room = prefetch < 0 ? { concurrency } : { concurrency, prefetch };
      return new MajordomoWorker(side.endpoint, service, echo, room);
    }),
  );
  await Promise.all(
    workers.map((one) => new Promise<void>((resolve) => one.events.on("broker:join", () => resolve()))),
  );
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

const client: Role = (side) =>
  side.scenario === "majordomo-under-load"
    ? askOnSchedule(side, asker(side))
    : askPipelined(side, asker(side));

export const roles: Roles = { broker, worker, client };
