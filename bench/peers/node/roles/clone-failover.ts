/** A pair of clone's servers whose active server is killed with -9 repeatedly, and the client that sets values. */
import { CloneClient } from "shoal/patterns";
import { programFile } from "../../../places.js";
import { Latencies } from "../histogram.js";
import { freeRow, KilledServer, OTHER, type StarRole } from "./killed-pair.js";
import type { Role, Roles } from "./role.js";

const PROGRAM = programFile("peers/node/clone-server-main");
/** Ports of a pair's clone. */
const PORTS = 5;
const KEYS = 100;
/** ms for a set, including a failover. */
const PATIENCE = 15_000;

/** Sets keys one after the other to increasing numbers, and remembers acknowledged ones. */
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

  /** @throws Error for a missing acknowledged value */
  check(): void {
    for (const [key, number] of this.#acknowledged) {
      const value = String(this.#client.get(key));
      if (value !== String(number)) throw new Error(`${key} is ${value} after a failover; it was ${number}`);
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
    // The golden ratio spreads the kills of few rounds evenly between two heartbeats.
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
