/** A Lazy Pirate client of a plain REP server; the plain client is that of echo.ts. */
import { PirateClient } from "shoal/patterns";
import { Bodies } from "../../../bodies.js";
import { Latencies } from "../histogram.js";
import { roles as plain } from "./echo.js";
import type { Role, Roles } from "./role.js";

const client: Role = async (side) => {
  const pirate = new PirateClient(side.endpoint);
  const bodies = new Bodies(side.size);
  const checker = side.checker();
  const latencies = new Latencies();
  await side.ready();
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) side.begin();
    const message = bodies.make(k);
    const from = process.hrtime.bigint();
    const [reply] = await pirate.request(message);
    const nanoseconds = Number(process.hrtime.bigint() - from);
    checker.take(reply as Buffer);
    if (k >= side.warmup) latencies.record(nanoseconds);
  }
  side.end();
  const { checksum, ordered } = checker;
  const latency = latencies.table;
  await side.done({ messages: side.count, bytes: side.count * side.size, checksum, ordered, latency });
  await pirate.close();
};

export const roles: Roles = { ...plain, client };
