/** A pair of clone's servers whose serving half is killed with -9 again and again, and the client that sets. */
import { CloneClient } from "shoal/patterns";
import { programFile } from "../../../places.js";
import { Latencies } from "../histogram.js";
import { freeRow, KilledServer, OTHER, type StarRole } from "./killed-pair.js";
import type { Role, Roles } from "./role.js";

const PROGRAM = programFile("peers/node/clone-server-main");
/** A clone of a pair has five ports. */
const PORTS = 5;
const KEYS = 100;
/** ms for a set: a fail-over is within it. */
const PATIENCE = 15_000;

/** Sets keys one after the other, each to a number of its own, and knows what was acknowledged. */
class Setter {
  readonly #client: CloneClient;
  readonly #acknowledged = new Map<string, number>();
  #next = 0;

  constructor(client: CloneClient) {
    this.#client = client;
  }

  async set(): Promise<void> {
    const number = this.#next++;
    const key = `/bench/${number % KEYS}`;
    await this.#client.set(key, String(number), { timeout: PATIENCE });
    this.#acknowledged.set(key, number);
  }

  /** @throws Error for a value that was acknowledged and is not there */
  check(): void {
    for (const [key, number] of this.#acknowledged) {
      const value = String(this.#client.get(key));
      if (value !== String(number)) throw new Error(`${key} is ${value} after a fail-over; it was ${number}`);
    }
  }
}

const pair: Role = async (side) => {
  const heartbeat = side.number("heartbeat", 1_000);
  const endpoints = { primary: await freeRow(PORTS), backup: await freeRow(PORTS) };
  const serverOf = (role: StarRole): KilledServer =>
    new KilledServer([PROGRAM, role, endpoints[role], endpoints[OTHER[role]], String(heartbeat)]);
  const servers = { primary: serverOf("primary"), backup: serverOf("backup") };
  const inStep = servers.primary.reaches("in-step");
  await Promise.all([servers.primary.start("active"), servers.backup.start("passive"), inStep]);
  const client = new CloneClient([endpoints.primary, endpoints.backup], { heartbeatInterval: heartbeat });
  await client.ready();
  const setter = new Setter(client);
  const serving = (): StarRole => (client.stats().server === endpoints.primary ? "primary" : "backup");
  for (let n = 0; n < 2 * KEYS; n++) await setter.set();
  await side.ready();
  const latencies = new Latencies();
  for (let round = 0; round < side.warmup + side.count; round++) {
    if (round === side.warmup) side.begin();
    // A kill comes at any time between two heartbeats: by the golden ratio, so that few rounds are spread evenly.
    const until = performance.now() + heartbeat * ((round * 0.618) % 1);
    while (performance.now() < until) await setter.set();
    const killed = serving();
    const from = process.hrtime.bigint();
    const gone = servers[killed].kill();
    while (serving() === killed) await setter.set();
    if (round >= side.warmup) latencies.record(Number(process.hrtime.bigint() - from));
    setter.check();
    await gone;
    const again = servers[OTHER[killed]].reaches("in-step");
    await servers[killed].start("passive");
    await again;
  }
  side.end();
  await side.done({ messages: side.count, bytes: 0, ordered: true, latency: latencies.table });
  await client.close();
  await Promise.all([servers.primary.kill(), servers.backup.kill()]);
};

export const roles: Roles = { pair };
