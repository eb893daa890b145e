/**
 * The programs of examples/guide: each plays all its roles, prints what it should, and ends with nothing left open. They run
 * one after the other in one process, since a process for each would take longer than all of them do.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { Child } from "../process/child.js";
import { freePorts, portOf } from "../support/ports.js";
import { EXPECTED } from "./support/expected.js";

const GUIDE = fileURLToPath(new URL("../../examples/guide/", import.meta.url));
const SUPPORT = fileURLToPath(new URL("./support/", import.meta.url));
/** ms; far more than they need, for a busy machine. */
const LIMIT = 35_000;
/** After a program that fails the others run in another process, so often. */
const MAX_PROCESSES = 4;
const programs = readdirSync(GUIDE, { recursive: true, encoding: "utf8" })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.endsWith(".ts"))
  .sort();

/** What support/run-programs.js reports of each. */
interface Outcome {
  readonly path: string;
  readonly lines: readonly string[];
  readonly error?: string;
  readonly left: readonly string[];
}

// Types of a Node.js that has no such feature yet.
const { typescript } = process.features as { readonly typescript?: unknown };
const FLAGS = typescript ? [] : ["--import", `${SUPPORT}typescript.js`];

describe("the programs of the Guide", () => {
  const outcomes = new Map<string, Outcome>();
  /** How each process ended. */
  const ends: unknown[] = [];

  /** Runs programs up to the first that fails. */
  async function runSome(names: readonly string[]): Promise<void> {
    const args = [...FLAGS, `${SUPPORT}run-programs.js`, ...names.map((name) => GUIDE + name)];
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "inherit", "inherit", "pipe"],
      timeout: LIMIT,
      killSignal: "SIGKILL",
    });
    const exit = once(child, "exit");
    for await (const line of createInterface({ input: child.stdio[3] as Readable })) {
      const outcome = JSON.parse(line) as Outcome;
      outcomes.set(outcome.path.replaceAll("\\", "/").split("/guide/").at(-1) ?? "", outcome);
    }
    ends.push((await exit)[0]);
  }

  beforeAll(async () => {
    for (let left = programs; left.length > 0 && ends.length < MAX_PROCESSES; ) {
      await runSome(left);
      left = left.filter((name) => !outcomes.has(name));
    }
  });

  test("are those that are expected, and their process ends by itself", () => {
    expect(programs).toEqual(Object.keys(EXPECTED).sort());
    expect(ends).toEqual([0]);
  });

  test.each(programs)("%s prints what it shows, and leaves nothing open", (name) => {
    const outcome = outcomes.get(name);
    if (outcome === undefined) throw new Error("it was not run, or its process ended with it");
    expect(outcome.error).toBeUndefined();
    expect(outcome.left).toEqual([]);
    EXPECTED[name]?.(outcome.lines);
  });
});

/** Processes of one program: those that serve until Ctrl-C, and those that end by themselves, with what they print. */
interface Roles {
  readonly servers: readonly string[];
  readonly clients: readonly string[];
  readonly prints: RegExp;
  /** Endpoints that each gets as arguments. */
  readonly endpoints: number;
}

const ROLES: Readonly<Record<string, Roles>> = {
  "chapter1/hello-world.ts": roles("server", "client", 1, /received World 3/),
  "chapter1/weather.ts": roles("station", "reader", 1, /average of 10 updates/),
  "chapter1/pipeline.ts": roles("worker worker worker", "ventilator sink", 2, /30 results/),
  "chapter2/request-broker.ts": roles("broker worker", "client", 2, /Hello 3, World/),
  "chapter2/threads.ts": roles("server", "client", 1, /received 06ea7d46/),
  "chapter2/synchronized.ts": roles(
    "",
    "publisher subscriber subscriber subscriber",
    1,
    /10000 updates to 3/,
  ),
  "chapter3/async-server.ts": roles("server", "client", 1, /request 2, reply 3/),
  "chapter4/simple-pirate.ts": roles("queue worker", "client", 2, /three, done/),
  "chapter4/paranoid-pirate.ts": roles("queue worker", "client", 2, /three, done/),
  "chapter4/majordomo.ts": roles("broker worker", "client", 1, /100 requests and replies/),
  "chapter4/freelance-failover.ts": roles("server", "client", 1, /Hello by \d+/),
  "chapter4/freelance-shotgun.ts": roles("server", "client", 1, /Hello by \d+/),
  "chapter4/freelance.ts": roles("server", "client", 1, /Hello done/),
};

function roles(servers: string, clients: string, endpoints: number, prints: RegExp): Roles {
  const list = (names: string): string[] => names.split(" ").filter((name) => name !== "");
  return { servers: list(servers), clients: list(clients), endpoints, prints };
}

describe("a program with a role", () => {
  /** Its output once it has ended, by itself or by Ctrl-C. */
  async function run(child: Child): Promise<string> {
    const { code, signal, stdout, stderr } = await child.outcome;
    expect([code, signal, stderr]).toEqual([0, null, ""]);
    return stdout;
  }

  /** A client of Freelance asks so often only: until its server listens there. */
  async function reached(endpoint: string): Promise<void> {
    for (let isThere = false; !isThere; ) {
      const socket = connect(portOf(endpoint), "127.0.0.1");
      isThere = await once(socket, "connect").then(
        () => true,
        () => new Promise((resolve) => setTimeout(resolve, 10, false)),
      );
      socket.destroy();
    }
  }

  const children: Child[] = [];
  afterEach(async () => {
    for (const child of children.splice(0)) await child.kill();
  });

  test.each(Object.keys(ROLES))("%s talks to other processes, and ends with Ctrl-C", async (name) => {
    const { servers, clients, endpoints, prints } = ROLES[name] as Roles;
    const at = (await freePorts(endpoints)).map((port) => `tcp://127.0.0.1:${port}`);
    const open = (role: string): Child => {
      const child = new Child(process.execPath, [...FLAGS, GUIDE + name, role, ...at], { limit: LIMIT });
      children.push(child);
      return child;
    };
    const serving = servers.map(open);
    if (name.includes("freelance")) await reached(at[0] as string);
    const served = Promise.all(serving.map(run));
    const printed = await Promise.all(clients.map((role) => run(open(role))));
    expect(printed.join("")).toMatch(prints);
    for (const child of serving) child.signal("SIGINT");
    await served;
  });
});
