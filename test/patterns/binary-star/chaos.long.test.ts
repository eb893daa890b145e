/**
 * Real processes, killed and stopped under load: every request gets its own reply,
 * and a server that was stopped does not answer before it knows who serves.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { BinaryStarClient } from "../../../src/patterns/binary-star/client.js";
import { Blows, PATIENCE } from "../../chaos/blows.js";
import { until } from "../../contract/support/wait.js";
import { type Child, start } from "../../process/child.js";

/** ms that one test may take. */
const LIMIT = 1_800_000;
/** Kills and stops of each test. */
const BLOWS = 30;
/**
 * ms. The pair bears what varies by less than half of it (rules.ts, sentence 2): in a long run alongside other work
 * a process may wait longer than 50 ms for the processor, and the two are fenced then, as they should be.
 */
const HEARTBEAT = 500;

const STAR = `
import { BinaryStarServer } from "shoal/patterns";
const [role, state, peer, endpoint] = process.argv.slice(1);
const server = new BinaryStarServer(([n]) => n + " " + role, {
  star: { role, peer, heartbeatInterval: ${HEARTBEAT} },
});
server.events.on("state:changed", ({ state }) => console.log(state));
await server.bind("clients", endpoint);
await server.bind("state", state);
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

/** Sends one request after the other until it is stopped. Throws for a reply that is not its own. */
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
  running.catch(() => undefined); // `stop` rejects with it.
  return state;
}

function otherOf(role: string): string {
  return role === "primary" ? "backup" : "primary";
}

test(
  "a pair whose active server is killed or stopped again and again answers every request, and is never fenced",
  async () => {
    const at = (name: string): string => `ipc://${join(folder, name)}`;
    /** What each said last, since the last blow. */
    const states: Record<string, string> = {};
    const follow = async (role: string, child: Child): Promise<void> => {
      try {
        for (;;) {
          const line = await child.line();
          if (servers[role] === child) states[role] = line;
        }
      } catch {
        // It was killed.
      }
    };
    const begin = (role: string): Child => {
      const child = run(STAR, [role, at(`${role}-state`), at(`${otherOf(role)}-state`), at(role)]);
      void follow(role, child);
      return child;
    };
    const servers: Record<string, Child> = { primary: begin("primary"), backup: begin("backup") };
    await until(() => states.backup === "passive", "a pair", PATIENCE);
    const client = new BinaryStarClient([at("primary"), at("backup")], {
      attemptTimeout: 3 * HEARTBEAT,
      timeout: 2 * PATIENCE,
    });
    clients.push(client);
    const work = load((body) => client.request(body));
    const blows = new Blows();
    for (let round = 0; round < BLOWS; round++) {
      const before = work.answered;
      await until(() => work.answered > before, "an answer", PATIENCE);
      const active = work.last;
      const victim = servers[active] as Child;
      const stops = round % 3 === 2;
      for (const role of Object.keys(states)) delete states[role];
      blows.add(`${active} ${stops ? "stopped" : "killed"}`);
      if (stops) process.kill(victim.pid, "SIGSTOP");
      else await kill(victim);
      await until(() => work.last !== active, "the other server answers", PATIENCE);
      if (stops) process.kill(victim.pid, "SIGCONT");
      else servers[active] = begin(active);
      // A fenced one would print "fenced", and never this. A successor that this machine holds up for its peer's patience
      // counts itself as just started (docs/patterns/binary-star.md, Two masters): then it stands by, and the victim serves.
      const standsBy = (): boolean => Object.values(states).includes("passive");
      await until(standsBy, "one of them stands by", PATIENCE).catch(async (error: Error) => {
        const said = Object.entries(servers).map(async ([role, server]) => {
          return `${role}: ${(await server.kill()).stdout.replaceAll("\n", " ")}`;
        });
        const what = `blow ${blows.total}, ${active} ${stops ? "stopped" : "killed"}`;
        throw new Error([error.message, what, ...(await Promise.all(said))].join("\n"));
      });
    }
    await work.stop();
    blows.tell("binary-star");
    expect(blows.total).toBe(BLOWS);
    expect(work.answered).toBeGreaterThan(blows.total * 2);
    for (const child of Object.values(servers)) expect((await child.kill()).stdout).not.toContain("fenced");
  },
  LIMIT,
);
