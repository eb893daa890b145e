/**
 * A cluster of brokers, workers and clients with a rolling restart of the brokers while all clients send requests.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { programFile } from "../../../places.js";
import type { Role, Roles } from "./role.js";

const PROGRAM = programFile("peers/node/rolled-member-main");
/** Processes for workers, and as many for clients. */
const PROCESSES = 4;

interface Outcome {
  readonly answered: number;
  readonly failed: number;
  readonly latency: Readonly<Record<string, number>>;
}

class Member {
  readonly child: ChildProcess;
  readonly ready: Promise<unknown>;
  readonly outcome: Promise<Outcome>;
  answered = 0;
  onAnswered: () => unknown = () => undefined;

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["pipe", "pipe", "inherit"] });
    const { child } = this;
    const lines = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> });
    let isReady: (value?: unknown) => void = () => undefined;
    let isOver: (outcome: Outcome) => void = () => undefined;
    this.ready = new Promise((resolve, reject) => {
      isReady = resolve;
      child.once("exit", (code) => reject(new Error(`a ${args[0]} ended early, with exit code ${code}`)));
    });
    this.ready.catch(() => undefined);
    this.outcome = new Promise((resolve) => (isOver = resolve));
    lines.on("line", (line) => {
      if (line === "ready") isReady();
      else if (line.startsWith("answered ")) {
        this.answered = Number(line.slice("answered ".length));
        this.onAnswered();
      } else if (line.startsWith("{")) isOver(JSON.parse(line) as Outcome);
    });
  }

  say(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  /** Ends standard input, and with it the process. */
  async end(): Promise<void> {
    const gone = this.child.exitCode === null ? once(this.child, "exit") : undefined;
    this.child.stdin?.end();
    await gone;
  }
}

const crew: Role = async (side) => {
  const group = `bench-rolls-${process.pid}`;
  const split = (all: number): number => Math.ceil(all / PROCESSES);
  const brokers = side.number("brokers", 10);
  const workers = side.number("workers", 100);
  const clients = side.number("clients", 1_000);
  const start = (...args: (string | number)[]): Member => new Member(args.map(String));
  const serving = Array.from({ length: brokers }, (_, i) => start("broker", group, `broker${i}`));
  await Promise.all(serving.map(({ ready }) => ready));
  const working = Array.from({ length: PROCESSES }, (_, i) =>
    start("worker", group, `worker${i}`, split(workers)),
  );
  await Promise.all(working.map(({ ready }) => ready));
  const asking = Array.from({ length: PROCESSES }, (_, i) =>
    start("client", group, `client${i}`, split(clients)),
  );
  await Promise.all(asking.map(({ ready }) => ready));
  await side.ready();
  for (const each of asking) each.say("go");
  const outcomes = Promise.all(asking.map(({ outcome }) => outcome));
  const answers = (): number => asking.reduce((sum, { answered }) => sum + answered, 0);
  const moreAnswers = (wanted: number): Promise<void> => {
    const until = answers() + wanted;
    return new Promise((resolve) => {
      for (const each of asking) each.onAnswered = () => answers() >= until && resolve();
    });
  };
  for (const [at, broker] of serving.entries()) {
    await moreAnswers(side.count / brokers);
    broker.say("drain");
    await once(broker.child, "exit");
    const next = start("broker", group, `broker${at}`);
    await next.ready;
    serving[at] = next;
  }
  await moreAnswers(side.count / brokers);
  for (const each of asking) each.say("enough");
  const came = await outcomes;
  side.end();
  const sum = (of: (outcome: Outcome) => number): number => came.reduce((all, each) => all + of(each), 0);
  const worst = (percentile: string): number =>
    Math.max(...came.map(({ latency }) => latency[percentile] ?? Number.NaN));
  await side.done({
    messages: side.count,
    bytes: 0,
    ordered: sum(({ failed }) => failed) === 0,
    latency: { "99": worst("99"), "100": worst("100") },
    extra: { answered: sum(({ answered }) => answered), failed: sum(({ failed }) => failed) },
  });
  await Promise.all([...asking, ...working, ...serving].map((each) => each.end()));
};

export const roles: Roles = { crew };
