/**
 * Programs of one cluster (cluster-program.js), each a process with a node of its own, that are rolled, killed and stopped while others
 * of them ask.
 */
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { Random } from "../../src/testing/random.js";
import { within } from "../contract/support/wait.js";
import { Child } from "../process/child.js";

const PROGRAM = fileURLToPath(new URL("cluster-program.js", import.meta.url));

/** What became of the load. */
export interface LoadCounts {
  readonly asked: number;
  readonly done: number;
  readonly wrong: number;
  readonly errors: Readonly<Record<string, number>>;
  /** What the program adds. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** How a member is dealt with. */
export type Blow = "roll" | "kill" | "stop";

interface Member {
  readonly name: string;
  /** Its program, with its arguments. */
  readonly program: readonly string[];
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

  /** Starts so many members with one program, `NAME0` …, and waits until they serve. */
  async join(name: string, count: number, ...program: string[]): Promise<void> {
    const joined = Array.from({ length: count }, (_, at) => {
      const made = { name: `${name}${at}`, program };
      return { ...made, child: this.#start(made.name, program) };
    });
    this.members.push(...joined);
    await Promise.all(joined.map((each) => this.#ready(each)));
  }

  /** Members whose names begin so. */
  of(name: string): Member[] {
    return this.members.filter((each) => each.name.startsWith(name));
  }

  /** Starts a program that asks. */
  async load(...program: string[]): Promise<Load> {
    const child = this.#start("load", program);
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
    victim.child = this.#start(victim.name, victim.program);
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

  #start(name: string, program: readonly string[]): Child {
    // Others may be gone for long enough that a member says so, as it should.
    const node = ["--unhandled-rejections=strict", "--disable-warning=SHOAL_UNREACHABLE"];
    const args = [...node, PROGRAM, name, this.cluster, ...program];
    const child = new Child(process.execPath, args, { limit: this.#limit });
    this.#children.add(child);
    return child;
  }

  async #ready({ name, child }: Member): Promise<void> {
    await within(child.heard("ready"), `${name} serves`, this.#limit);
  }
}

/** A program that asks. */
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
