/**
 * Programs of one cluster, each a process with a node of its own, that are rolled, killed and stopped while one of them works:
 * what chaos tests of patterns without endpoints share.
 *
 *   member     has one or more parts, `member(imports, body)`: when each has called `serve()` it prints "ready". A line on its standard input has it
 *              drain, leave and end; the end of its input ends it at once
 *   load       its source is `load(imports, body)`: `work(lanes, ask)` asks until a line "end" comes, and prints its counts
 */
import { expect } from "vitest";
import { Random } from "../../src/testing/random.js";
import { within } from "../contract/support/wait.js";
import { type Child, start } from "../process/child.js";
import { LONG } from "./long.js";

/** What became of the load. */
export interface LoadCounts {
  readonly asked: number;
  readonly done: number;
  readonly wrong: number;
  readonly errors: Readonly<Record<string, number>>;
  /** What the program adds. */
  readonly more?: Readonly<Record<string, unknown>>;
}

const NODE = `import { ClusterNode } from "shoal/cluster";
const [name, cluster, ...args] = process.argv.slice(1);
const node = new ClusterNode({ name, cluster });
process.stdin.setEncoding("utf8").on("end", () => process.exit(1));`;

/** What a member does; a process can have several of them, on one node. */
export interface Part {
  readonly imports: string;
  readonly body: string;
}

/** A part, with what its body has as `args`. */
export interface Hosted {
  readonly part: Part;
  readonly args?: readonly string[];
}

/** @param body calls `begin()` where it needs the node started, announces what the node has, and awaits `serve()` */
export function member(imports: string, body: string): Part {
  return { imports, body };
}

/** Its parts run next to each other; it is ready when all of them serve. */
function memberSource(parts: readonly Hosted[]): string {
  const bodies = parts.map(({ part: { imports, body }, args = [] }) => {
    const own = imports.replace(/import (\{[^}]*\}) from ("[^"]*");/g, "const $1 = await import($2);");
    return `(async (args) => {\n${own}\n${body}\n})(${JSON.stringify(args)}).catch(failed);`;
  });
  return `${NODE}
let started;
const begin = () => (started ??= node.start());
const befores = [];
async function serve(before = () => {}) {
  await begin();
  befores.push(before);
  if (befores.length < ${parts.length}) return;
  process.stdin.once("data", async () => {
    for (const each of befores) await each();
    await node.drain();
    await node.leave();
    process.exit(0);
  });
  console.log("ready");
}
const failed = (error) => setImmediate(() => { throw error; });
${bodies.join("\n")}`;
}

/** ms from one request of a load to its next, by all of its lanes: the members need the processors as well. */
const INTERVAL = LONG ? 0 : 20;

/** @param body calls `work` with a function that resolves to whether the answer is right */
export function load(imports: string, body: string): string {
  return `${imports}
${NODE}
const counts = { asked: 0, done: 0, wrong: 0, errors: {}, more: {} };
let isOver = false;
let enough = Infinity;
/** Whether the next blow may come. */
let isCalm = () => true;
process.stdin.on("data", (text) => {
  if (text.includes("end")) isOver = true;
  else enough = counts.done + Number(text.trim().split("\\n").at(-1));
});
async function work(lanes, ask) {
  console.log("ready");
  await Promise.all(Array.from({ length: lanes }, async (_, lane) => {
    while (!isOver) {
      const n = counts.asked++;
      try {
        if (!(await ask(n, lane))) counts.wrong++;
        counts.done++;
      } catch (error) {
        const why = error.reason ?? error.code ?? String(error);
        counts.errors[why] = (counts.errors[why] ?? 0) + 1;
      }
      if (counts.done >= enough && isCalm()) {
        enough = Infinity;
        console.log("enough");
      }
      if (${INTERVAL} > 0) await new Promise((resolve) => setTimeout(resolve, ${INTERVAL} * lanes));
    }
  }));
}
async function report(more = {}) {
  console.log(JSON.stringify({ ...counts, more }));
  process.exit(0);
}
${body}`;
}

/** How a member is dealt with. */
export type Blow = "roll" | "kill" | "stop";

interface Member {
  readonly name: string;
  readonly source: string;
  child: Child;
}

/** The members of one test. */
export class Crew {
  readonly cluster: string;
  readonly members: Member[] = [];
  /** Blows dealt, by their kinds. */
  readonly blows: Record<Blow, number> = { roll: 0, kill: 0, stop: 0 };
  /** What members that went in peace printed. */
  readonly lastLines: string[] = [];
  readonly #limit: number;
  readonly #random: Random;
  readonly #children = new Set<Child>();

  /** @param limit ms after which each program is ended */
  constructor(what: string, limit: number, seed: number) {
    this.cluster = `crew-${what}-${process.pid}`;
    this.#limit = limit;
    this.#random = new Random(seed);
  }

  /** Starts so many members of one part, `NAME0` …, and waits until they serve. */
  join(name: string, count: number, part: Part, ...args: string[]): Promise<void> {
    return this.host(name, count, [{ part, args }]);
  }

  /** The same, of members that have several parts each. */
  async host(name: string, count: number, parts: readonly Hosted[]): Promise<void> {
    const source = memberSource(parts);
    const joined = Array.from({ length: count }, (_, at) => {
      const made = { name: `${name}${at}`, source };
      return { ...made, child: this.#start(made.name, source, []) };
    });
    this.members.push(...joined);
    await Promise.all(joined.map((each) => this.#ready(each)));
  }

  /** Members whose names begin so. */
  of(name: string): Member[] {
    return this.members.filter((each) => each.name.startsWith(name));
  }

  /** Starts a program that works. */
  async load(source: string, ...args: string[]): Promise<Load> {
    const child = this.#start("load", source, args);
    await within(child.heard("ready"), "the load", this.#limit);
    return new Load(child, this.#limit);
  }

  /** Deals one blow to a member, which serves again afterwards. */
  async deal(blow: Blow, victim: Member): Promise<void> {
    this.blows[blow] += 1;
    if (blow === "stop") {
      victim.child.process.kill("SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, this.#random.integer(100, 1_200)));
      victim.child.process.kill("SIGCONT");
      return;
    }
    await this.end(victim, blow === "roll");
    await this.restart(victim);
  }

  /** @param gracefully whether it drains, which has to succeed */
  async end(victim: Member, gracefully: boolean): Promise<void> {
    const { child } = victim;
    if (gracefully) {
      child.tell("drain");
      const { code, stdout, stderr } = await within(child.outcome, `the end of ${victim.name}`, this.#limit);
      this.lastLines.push(...stdout.split("\n"));
      expect({ name: victim.name, code, stderr }).toEqual({ name: victim.name, code: 0, stderr: "" });
    } else await child.kill();
    this.#children.delete(child);
  }

  /** A member that has ended serves again, as a process of its own. */
  async restart(victim: Member): Promise<void> {
    victim.child = this.#start(victim.name, victim.source, []);
    await this.#ready(victim);
  }

  /**
   * Deals blows in turn to members picked at random, each when so much more work is done after the one before.
   *
   * @param running each of them
   * @param victims names of the members begin so
   * @param work done between two blows
   */
  async trouble(
    running: readonly Load[],
    blows: number,
    victims: readonly string[],
    work: number,
    kinds: readonly Blow[] = ["roll", "kill", "stop"],
  ): Promise<void> {
    const all = victims.flatMap((name) => this.of(name));
    const more = (): Promise<unknown> => Promise.all(running.map((each) => each.more(work)));
    for (let at = 0; at < blows; at++) {
      await more();
      await this.deal(kinds[at % kinds.length] as Blow, this.#random.pick(all));
    }
    await more();
  }

  /** Ends what still runs. */
  async close(): Promise<void> {
    await Promise.all([...this.#children].map((child) => child.kill()));
  }

  #start(name: string, source: string, args: readonly string[]): Child {
    // Others may be gone for long enough that a member says so, as it should.
    const node = ["--disable-warning=SHOAL_UNREACHABLE"];
    const child = start(source, { args: [name, this.cluster, ...args], limit: this.#limit, node });
    this.#children.add(child);
    return child;
  }

  async #ready({ name, child }: Member): Promise<void> {
    await within(child.heard("ready"), `${name} serves`, this.#limit);
  }
}

/** A program that works. */
export class Load {
  readonly #child: Child;
  readonly #limit: number;

  constructor(child: Child, limit: number) {
    this.#child = child;
    this.#limit = limit;
  }

  /** Until so much more is done. */
  async more(count: number): Promise<void> {
    this.#child.tell(String(count));
    await within(this.#child.heard("enough"), `${count} more of the load`, this.#limit);
  }

  /** Nothing new is asked; everything that was is awaited. */
  async end(): Promise<LoadCounts> {
    this.#child.tell("end");
    for (;;) {
      const line = await within(this.#child.line(), "the counts of the load", this.#limit);
      if (line.startsWith("{")) return JSON.parse(line) as LoadCounts;
    }
  }
}
