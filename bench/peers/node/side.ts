/**
 * A side in Node: its command line, its input and output lines, and its measurements.
 *
 *     opened --ready()--> waiting --"start"--> working --done()--> reported --end of input--> released
 *
 * contract.ts describes the life. If standard input ends before `done`, the process exits at once: the runner is gone
 * or has abandoned the run.
 */
import { once } from "node:events";
import { PerformanceObserver } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { GCProfiler, type GCProfilerResult } from "node:v8";
import { Checker } from "../../bodies.js";
import type { SideDone, SideLine, SideRequest, Transport } from "../../contract.js";

/** Results of the work; the side adds the rest of `done`. */
export type Outcome = Pick<SideDone, "messages" | "bytes"> &
  Partial<Pick<SideDone, "checksum" | "ordered" | "latency" | "extra" | "seconds">>;

export class Side {
  readonly scenario: string;
  readonly role: string;
  readonly index: number;
  readonly transport: Transport;
  readonly size: number;
  readonly count: number;
  readonly warmup: number;
  readonly endpoint: string;
  /** Settles with the line `stop`. */
  readonly stopped: Promise<void>;
  /** Settles with the end of standard input after `done`. */
  readonly released: Promise<void>;
  readonly #options: ReadonlyMap<string, string>;
  readonly #started: Promise<void>;
  readonly #collector = new Collector();
  readonly #promotions: Promotions | undefined;
  #reported = false;
  #cpu = process.cpuUsage();
  #from = process.hrtime.bigint();
  #seconds: number | undefined;
  #cpuSeconds = 0;

  constructor(request: SideRequest) {
    this.scenario = request.scenario;
    this.role = request.role;
    this.index = request.index;
    this.transport = request.transport;
    this.size = request.size;
    this.count = request.count;
    this.endpoint = request.endpoint ?? "tcp://127.0.0.1:*";
    this.#options = new Map(Object.entries(request.options).map(([key, value]) => [key, String(value)]));
    this.warmup = this.number("warmup", 0);
    if (this.number("promoted", 0) > 0) this.#promotions = new Promotions();

    let start: () => void = () => undefined;
    let stop: () => void = () => undefined;
    let release: () => void = () => undefined;
    this.#started = new Promise((resolve) => (start = resolve));
    this.stopped = new Promise((resolve) => (stop = resolve));
    this.released = new Promise((resolve) => (release = resolve));
    const lines = createInterface({ input: process.stdin });
    lines.on("line", (line) => {
      if (line === "start") start();
      else if (line === "begin") this.#begin();
      else if (line === "stop") stop();
    });
    lines.on("close", () => {
      if (!this.#reported) process.exit(0);
      release();
    });
  }

  option(name: string, otherwise: string): string {
    return this.#options.get(name) ?? otherwise;
  }

  number(name: string, otherwise: number): number {
    const text = this.#options.get(name);
    const value = text === undefined ? otherwise : Number(text);
    if (!Number.isFinite(value)) throw new RangeError(`option ${name} must be a number; got ${text}`);
    return value;
  }

  /** Endpoint of the second and further roles that this one connects to. */
  endpointOf(role: string): string {
    const endpoint = this.#options.get(`endpoint-${role}`);
    if (endpoint === undefined) throw new Error(`the option endpoint-${role} is missing`);
    return endpoint;
  }

  /** A checker for the stream that this side receives. */
  checker(): Checker {
    return new Checker(this.size, this.warmup);
  }

  /** Prints `ready`; settles with the runner's `start`, and begins to measure. */
  async ready(endpoint?: string | null, backend?: string | null): Promise<void> {
    await report({
      type: "ready",
      ...(typeof endpoint === "string" ? { endpoint } : {}),
      ...(typeof backend === "string" ? { backend } : {}),
    });
    await this.#started;
    this.#begin();
  }

  /**
   * Begins the measured part again, after the warm-up.
   *
   * @param isRehearsal halfway through the warm-up. Where a call is first made, V8 discards the compiled code around it, and
   * compiles that anew while it runs. So both calls have to be one in the source.
   */
  begin(isRehearsal = false): void {
    void report({ type: isRehearsal ? "rehearsed" : "begun" });
    this.#begin();
  }

  #begin(): void {
    this.#collector.begin();
    this.#promotions?.begin();
    this.#cpu = process.cpuUsage();
    this.#from = process.hrtime.bigint();
  }

  /** Ends the measured part; the default end is {@link done}. */
  end(): void {
    this.#seconds = Number(process.hrtime.bigint() - this.#from) / 1e9;
    const { user, system } = process.cpuUsage(this.#cpu);
    this.#cpuSeconds = (user + system) / 1e6;
    this.#promotions?.end();
    void report({ type: "ended" });
  }

  /** Prints `done`; settles when the runner releases the side. Close sockets only after that. */
  async done(outcome: Outcome): Promise<void> {
    if (this.#seconds === undefined) this.end();
    const gcSeconds = await this.#collector.end();
    this.#reported = true;
    await report({
      type: "done",
      seconds: this.#seconds ?? 0,
      cpuSeconds: this.#cpuSeconds,
      peakRss: process.resourceUsage().maxRSS * 1024,
      gcSeconds,
      ...outcome,
      ...(this.#promotions && { extra: { ...outcome.extra, promotedBytes: this.#promotions.bytes } }),
    });
    await this.released;
  }
}

/** ms of a collection in which the process was stopped for others' turns: it is not counted. */
const STOPPED = 200;

/** Sum of the garbage collector's pauses. */
class Collector {
  #from = 0;
  #seconds = 0;
  readonly #observer = new PerformanceObserver((list) => this.#add(list.getEntries()));

  constructor() {
    this.#observer.observe({ entryTypes: ["gc"] });
  }

  begin(): void {
    this.#from = performance.now();
    this.#seconds = 0;
  }

  async end(): Promise<number> {
    const until = performance.now();
    // Entries arrive a turn after the collection.
    await new Promise(setImmediate);
    this.#add(this.#observer.takeRecords(), until);
    this.#observer.disconnect();
    return this.#seconds;
  }

  #add(
    entries: readonly { readonly startTime: number; readonly duration: number }[],
    until = Number.POSITIVE_INFINITY,
  ): void {
    for (const { startTime, duration } of entries) {
      if (startTime >= this.#from && startTime <= until && duration < STOPPED)
        this.#seconds += duration / 1e3;
    }
  }
}

/** Bytes that scavenges move into V8's old generation: what survives two of them. */
class Promotions {
  bytes = 0;
  readonly #profiler = new GCProfiler();

  begin(): void {
    this.#profiler.stop();
    this.#profiler.start();
  }

  end(): void {
    const { statistics = [] } = this.#profiler.stop() ?? {};
    this.bytes = 0;
    for (const { gcType, beforeGC, afterGC } of statistics)
      if (gcType === "Scavenge") this.bytes += oldBytes(afterGC) - oldBytes(beforeGC);
  }
}

function oldBytes({ heapSpaceStatistics }: GCProfilerResult["statistics"][0]["beforeGC"]): number {
  let sum = 0;
  for (const { spaceName, spaceUsedSize } of heapSpaceStatistics)
    if (!spaceName.startsWith("new_")) sum += spaceUsedSize;
  return sum;
}

/** Writes a line; settles when it has left the process. */
async function report(line: SideLine): Promise<void> {
  if (!process.stdout.write(`${JSON.stringify(line)}\n`)) await once(process.stdout, "drain");
}

/** @throws Error for a command line that violates contract.ts */
export function parseSide(args: readonly string[]): SideRequest {
  const { values } = parseArgs({
    args: [...args],
    options: {
      scenario: { type: "string" },
      role: { type: "string" },
      index: { type: "string", default: "0" },
      transport: { type: "string", default: "tcp" },
      size: { type: "string", default: "0" },
      count: { type: "string", default: "0" },
      endpoint: { type: "string" },
      option: { type: "string", multiple: true, default: [] },
    },
  });
  if (values.scenario === undefined || values.role === undefined) {
    throw new Error("a side needs --scenario and --role");
  }
  return {
    scenario: values.scenario,
    role: values.role,
    index: Number(values.index),
    transport: values.transport as Transport,
    size: Number(values.size),
    count: Number(values.count),
    ...(values.endpoint === undefined ? {} : { endpoint: values.endpoint }),
    options: Object.fromEntries(
      values.option.map((pair) => {
        const at = pair.indexOf("=");
        if (at < 1) throw new Error(`an option must be KEY=VALUE; got ${pair}`);
        return [pair.slice(0, at), pair.slice(at + 1)];
      }),
    ),
  };
}

/** Arguments for {@link parseSide} and sides in other languages. */
export function sideArguments(side: SideRequest): string[] {
  return [
    ...["--scenario", side.scenario, "--role", side.role, "--index", String(side.index)],
    ...["--transport", side.transport, "--size", String(side.size), "--count", String(side.count)],
    ...(side.endpoint === undefined ? [] : ["--endpoint", side.endpoint]),
    ...Object.entries(side.options).flatMap(([key, value]) => ["--option", `${key}=${value}`]),
  ];
}
