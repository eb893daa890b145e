/**
 * Processes of a cluster. Each prints a line for each change that it sees; they are killed, stopped and continued
 * here.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { SideCommand } from "../../contract.js";
import { measuredEnvironment } from "../../environment.js";

/** Limit of each wait, in ms. */
const LIMIT = 120_000;
/** Last lines of an agent in an error. */
const KEPT_LINES = 3;

/** Network namespace of a process, if it does not run on the host. */
export interface Place {
  readonly namespace: string;
  readonly device: string;
  readonly address: string;
}

export interface AgentRequest {
  readonly index: number;
  /** Unique for this cluster: others may run on the machine. */
  readonly cluster: string;
  /** Folder of this run. */
  readonly folder: string;
  readonly place: Place | undefined;
  /** Address of the first agent, for systems that do not find each other. */
  readonly seed: string | undefined;
}

/** Parsed line of an agent. */
export interface AgentLine {
  readonly event: "ready" | "up" | "down";
  /** The agent that the line is about. */
  readonly name: string;
}

/** A system with membership. */
export interface AgentKind {
  /** Returns the command, and the address at which others can join, if they need one. */
  command(request: AgentRequest): Promise<SideCommand & { readonly seed?: string }>;
  parse(line: string, own: string): AgentLine | undefined;
}

class Agent {
  readonly name: string;
  /** Other agents that it sees. */
  readonly sees = new Set<string>();
  readyAt = 0;
  /** Its last lines: some systems print there why they end. */
  readonly said: string[] = [];
  readonly child: ChildProcess;

  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.child = child;
  }
}

export class Cluster {
  readonly agents: Agent[] = [];
  readonly #kind: AgentKind;
  readonly #folder: string;
  readonly #cluster = `bench-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  readonly #places: readonly Place[] | undefined;
  readonly #checks = new Set<() => void>();
  readonly #onExit = () => this.#killAll();
  #seed: string | undefined;
  #failure: Error | undefined;
  #ending = false;

  constructor(kind: AgentKind, folder: string, places?: readonly Place[]) {
    this.#kind = kind;
    this.#folder = folder;
    this.#places = places;
    process.on("exit", this.#onExit);
  }

  /** Starts an agent, also again. */
  async start(index: number): Promise<void> {
    const name = `n${index}`;
    const place = this.#places?.[index];
    const request = { index, cluster: this.#cluster, folder: this.#folder, place, seed: this.#seed };
    const { file, args, env, seed } = await this.#kind.command(request);
    this.#seed ??= seed;
    const [program, ...rest] =
      place === undefined ? [file, ...args] : ["ip", "netns", "exec", place.namespace, file, ...args];
    const child = spawn(program as string, rest, {
      env: measuredEnvironment(env),
      stdio: ["ignore", "pipe", "inherit"],
    });
    const agent = new Agent(name, child);
    this.agents[index] = agent;
    createInterface({ input: child.stdout as NonNullable<ChildProcess["stdout"]> }).on("line", (line) => {
      agent.said.push(line);
      if (agent.said.length > KEPT_LINES) agent.said.shift();
      const said = this.#kind.parse(line, name);
      if (said === undefined) return;
      if (said.event === "ready") agent.readyAt = performance.now();
      else if (said.event === "up") agent.sees.add(said.name);
      else agent.sees.delete(said.name);
      for (const check of this.#checks) check();
    });
    child.once("error", (error) => this.#fail(error));
    // `close` instead of `exit`: the last lines were read by then.
    child.once("close", (code, signal) => {
      if (this.#ending || signal !== null) return;
      this.#fail(new Error(`${name} ended with exit code ${code}: ${agent.said.join(" | ")}`));
    });
  }

  /** Starts agents at once; the first one earlier, if the others need its address. */
  async startAll(count: number): Promise<void> {
    for (let index = 0; index < count; index++) await this.start(index);
  }

  /**
   * Waits for a condition, which is checked at each line.
   * @returns `performance.now()` of that moment
   */
  until(what: string, holds: () => boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        this.#checks.delete(check);
        clearTimeout(timer);
        settle();
      };
      const check = (): void => {
        if (this.#failure !== undefined) done(() => reject(this.#failure));
        else if (holds()) done(() => resolve(performance.now()));
      };
      const timer = setTimeout(
        () => done(() => reject(new Error(`${what}: not within ${LIMIT / 1_000} s; ${this.#views()}`))),
        LIMIT,
      );
      this.#checks.add(check);
      check();
    });
  }

  /** Whether these agents see each other, and no other. */
  agree(indices: readonly number[] = this.agents.map((_, index) => index)): boolean {
    const names = indices.map((index) => `n${index}`);
    return indices.every((index) => {
      const agent = this.agents[index];
      return (
        agent !== undefined &&
        agent.readyAt > 0 &&
        agent.sees.size === names.length - 1 &&
        names.every((name) => name === agent.name || agent.sees.has(name))
      );
    });
  }

  /** Whether all other agents see an agent, or none of them. */
  others(index: number, see: boolean): boolean {
    const { name } = this.agents[index] as Agent;
    return this.agents.every((agent, at) => at === index || agent.sees.has(name) === see);
  }

  signal(index: number, signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    this.agents[index]?.child.kill(signal);
  }

  /** Kills all agents, and waits until they have exited. */
  async end(): Promise<void> {
    this.#ending = true;
    process.off("exit", this.#onExit);
    const gone = this.agents.map(({ child }) =>
      child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined,
    );
    this.#killAll();
    await Promise.all(gone);
  }

  /** The view of each agent, for an error. */
  #views(): string {
    return this.agents
      .map(({ name, readyAt, sees }) =>
        readyAt === 0 ? `${name} is not ready` : `${name} sees ${[...sees].sort().join(" ") || "none"}`,
      )
      .join(", ");
  }

  #killAll(): void {
    for (const { child } of this.agents) child.kill("SIGKILL");
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const check of this.#checks) check();
  }
}
