/**
 * Real processes, killed and stopped under load: every request gets its own reply,
 * and a server that was stopped does not answer before it knows who serves.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { BinaryStarClient } from "../../../src/patterns/binary-star/client.js";
import { FreelanceClient } from "../../../src/patterns/freelance/client.js";
import { until, within } from "../../contract/support/wait.js";
import { type Child, start } from "../../process/child.js";

const LONG = process.env.SHOAL_LONG === "1";
const ROUNDS = LONG ? 500 : 13;
/** ms that one test may take. */
const LIMIT = LONG ? 900_000 : 60_000;
const HEARTBEAT = 100;

const STAR = `
import { BinaryStarServer } from "shoal/patterns";
const [role, bind, connect, endpoint] = process.argv.slice(1);
const server = new BinaryStarServer({
  star: { role, bind, connect, heartbeatInterval: ${HEARTBEAT} },
  endpoint,
  handler: ([n]) => n + " " + role,
});
for (const state of ["active", "passive", "waiting", "fatal"]) server.events.on(state, () => console.log(state));
await server.start();
`;

const FREELANCE = `
import { FreelanceServer } from "shoal/patterns";
const [endpoint] = process.argv.slice(1);
const server = new FreelanceServer({ endpoint, handler: ([n]) => n + " done" });
await server.start();
console.log("ready");
`;

let folder = "";
const children = new Set<Child>();
const clients: { close(): Promise<unknown> }[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "shoal-chaos-"));
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await Promise.all([...children].map((child) => child.kill()));
  children.clear();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(source: string, args: readonly string[]): Child {
  const child = start(source, { args, limit: LIMIT });
  children.add(child);
  return child;
}

async function kill(child: Child): Promise<void> {
  await child.kill();
  children.delete(child);
}

/** Asks on and on, one request after the other, until told to stop. Throws for a reply that is not its own. */
function load(ask: (body: string) => Promise<Buffer[]>): {
  answered: number;
  last: string;
  stop(): Promise<void>;
} {
  let stopped = false;
  const state = {
    answered: 0,
    last: "",
    async stop(): Promise<void> {
      stopped = true;
      await running;
    },
  };
  const go = async (): Promise<void> => {
    for (let n = 0; !stopped; n++) {
      const [number, who] = String(await ask(String(n))).split(" ");
      if (number !== String(n)) throw new Error(`The reply to ${n} is that to ${number}`);
      state.answered += 1;
      state.last = who as string;
    }
  };
  const running = go();
  running.catch(() => undefined); // Whoever stops it hears of it.
  return state;
}

test(
  "a pair whose active server is killed or stopped again and again answers every request, and is never fenced",
  async () => {
    const at = (name: string): string => `ipc://${join(folder, name)}`;
    const begin = (role: string): Child => {
      const other = role === "primary" ? "backup" : "primary";
      return run(STAR, [role, at(`${role}-state`), at(`${other}-state`), at(role)]);
    };
    const servers: Record<string, Child> = { primary: begin("primary"), backup: begin("backup") };
    await within(servers.backup?.heard("passive") as Promise<void>, "a pair");
    const client = new BinaryStarClient({
      endpoints: [at("primary"), at("backup")],
      timeout: 300,
      deadline: 15_000,
    });
    clients.push(client);
    const work = load((body) => client.request(body));
    let longest = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const before = work.answered;
      await until(() => work.answered > before, "an answer");
      const active = work.last;
      const victim = servers[active] as Child;
      const hit = performance.now();
      const stops = round % 3 === 2;
      if (stops) process.kill(victim.pid, "SIGSTOP");
      else await kill(victim);
      await until(() => work.last !== active, "the other server answers");
      if (!stops) longest = Math.max(longest, performance.now() - hit);
      if (stops) process.kill(victim.pid, "SIGCONT");
      else servers[active] = begin(active);
      // A fenced one would say "fatal", and never this.
      await within((servers[active] as Child).heard("passive"), `${active} stands by`);
    }
    await work.stop();
    expect(work.answered).toBeGreaterThan(ROUNDS * 2);
    expect(longest).toBeLessThan(10 * HEARTBEAT); // Two are the rule; the rest is a busy machine.
    for (const child of Object.values(servers)) expect((await child.kill()).stdout).not.toContain("fatal");
  },
  LIMIT,
);

test(
  "servers of a freelance client that are killed again and again cost no request",
  async () => {
    const endpoints = ["a", "b", "c"].map((name) => `ipc://${join(folder, name)}`);
    const servers = endpoints.map((endpoint) => run(FREELANCE, [endpoint]));
    await Promise.all(servers.map((server) => within(server.heard("ready"), "a server")));
    const client = new FreelanceClient({
      endpoints,
      timeout: 15_000,
      attemptTimeout: 300,
      socketOptions: { reconnectMaxInterval: 100 },
    });
    clients.push(client);
    const work = load((body) => client.request(body));
    for (let round = 0; round < ROUNDS; round++) {
      const index = round % 3;
      await until(() => client.servers().every(({ alive }) => alive), "all servers are alive");
      const before = work.answered;
      await kill(servers[index] as Child);
      await until(() => work.answered > before, "an answer without it");
      servers[index] = run(FREELANCE, [endpoints[index] as string]);
    }
    await work.stop();
    expect(work.answered).toBeGreaterThan(ROUNDS);
    expect(client.stats()).toMatchObject({ failures: 0, pending: 0 });
  },
  LIMIT,
);
