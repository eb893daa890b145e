/**
 * What scenarios, contenders and the runner agree on.
 *
 * A **scenario** asks one question. A **contender** is a system that can answer it. A **case** is a scenario with
 * one transport, one size and one value of each parameter. A **side** is one process: a role of a case, played by
 * a contender, in any language. A **run** is all the sides of one case of one contender, started, checked, ended.
 *
 * The command line of a side, the same in every language:
 *
 *     --scenario NAME --role ROLE --index I --transport tcp|ipc|inproc|ws|tls --size BYTES --count N
 *     [--endpoint EP] [--option KEY=VALUE]...
 *
 * - `--index`: which of the processes of that role it is, from 0.
 * - `--endpoint`: a role that binds binds there (`tcp://127.0.0.1:*`, an ipc path that the runner made, or what the
 *   user gave with `--bind`) and reports the real one in `ready`; a role that connects connects there.
 * - A role that connects to several: `--endpoint` is that of `connects[0]`, the others come as
 *   `--option endpoint-ROLE=EP`.
 * - Options are the case's parameters, what the role's spec and the contender add, and always `warmup=N`.
 * - inproc: one process with `--role both` plays every role and sends one `done`.
 *
 * The life of a side: it opens its sockets, says `ready`, waits for the line `start` (said when every side is
 * ready), works, says `done`, keeps its sockets open until standard input closes, then closes them (what is queued
 * still leaves) and exits with 0. It exits at once when standard input closes before `done`. Whatever goes wrong: the reason on standard error and exit code 1.
 *
 * Messages. Message k (from 0, warm-up included) has SIZE bytes: body number k mod 16, whose byte i is
 * (31 * (k mod 16) + i) mod 251, with k written over its first n = min(4, SIZE) bytes, big-endian, modulo 2^(8n).
 * Each send gets memory of its own (allocate, copy, overwrite) in every language, because an engine may keep what it
 * is given by reference. The sender sends warmup + count messages. The receiver checks length and counter of every
 * one; `messages`, `bytes` and `checksum` are about the count after the warm-up, and the clock runs from the arrival
 * of the last warm-up message (of the first message if warmup is 0) to the arrival of the last message.
 * The checksum is the sum, modulo 2^32, of the bytes at offset 0, SIZE >> 1 and SIZE - 1 of each message, as eight
 * lower-case hexadecimal digits. `bodies.ts` has all this for the sides in Node and for the runner.
 */

export const TRANSPORTS = ["tcp", "ipc", "inproc", "ws", "tls"] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** Values of a case's parameters, by name: `{ peers: 10 }`. They reach the sides as `--option peers=10`. */
export type Parameters = Readonly<Record<string, number | string>>;

/** A scenario with everything chosen. Size is 0 where the scenario has no sizes. */
export interface Case {
  readonly transport: Transport;
  readonly size: number;
  readonly parameters: Parameters;
}

/** One role of a case. Roles are started in the order of the list; those that connect come after those that bind. */
export interface RoleSpec {
  readonly role: string;
  /** Processes that play it; default 1. Many sockets can share one: that is the matter of an option. */
  readonly processes?: number;
  /** It binds, and its `ready` has the endpoint; default false. */
  readonly binds?: boolean;
  /**
   * The roles whose endpoints it is given; default: the first role that binds, if it does not bind itself.
   * `ROLE/backend` is a broker's endpoint for workers: the same, for a contender whose broker has one socket.
   */
  readonly connects?: readonly string[];
  /** It says `done` by itself; default true. False: it works until the line `stop`, then says `done`. */
  readonly ends?: boolean;
  /** The figures are its figures: `result` gets its `done` first. Default false. */
  readonly measured?: boolean;
  /** More `--option`s for this role. */
  readonly options?: Parameters;
  /** What its `done` must say for the run to count. Left out: not checked. */
  readonly expects?: Expectation;
  /** Its own `--count`, if that is not the run's. */
  readonly count?: number;
  /** It writes files: it is given `--option folder=PATH`, which the runner removes after the run. */
  readonly folder?: boolean;
}

export interface Expectation {
  readonly messages?: number;
  readonly bytes?: number;
  readonly checksum?: string;
  /** Default: true when `checksum` is given. */
  readonly ordered?: boolean;
}

/** What a contender makes a command of. */
export interface SideRequest {
  readonly scenario: string;
  readonly role: string;
  readonly index: number;
  readonly transport: Transport;
  readonly size: number;
  readonly count: number;
  readonly endpoint?: string;
  readonly options: Parameters;
}

export interface SideCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The line of a side that has its sockets: bound, with the endpoint; connected, without. */
export interface SideReady {
  readonly type: "ready";
  readonly endpoint?: string;
  /** Where workers connect, if a broker has a socket of its own for them. */
  readonly backend?: string;
}

/** The line of a side that has done its work. All figures are about the measured part. */
export interface SideDone {
  readonly type: "done";
  readonly messages: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly checksum?: string;
  readonly ordered?: boolean;
  /** User and system time of the process, all threads. */
  readonly cpuSeconds: number;
  /** Bytes. */
  readonly peakRss: number;
  /** null where the language does not report it, or has no collector. */
  readonly gcSeconds: number | null;
  /** Percentiles in microseconds by name: "50", "90", "99", "99.9", "100" at least; also "mean". */
  readonly latency?: Readonly<Record<string, number>>;
  /** Other figures that the scenario's `result` wants. */
  readonly extra?: Readonly<Record<string, number>>;
}

export type SideLine = SideReady | SideDone;

/** A `done` with who said it. */
export interface SideReport extends SideDone {
  readonly role: string;
  readonly index: number;
}

/**
 * Messages that came within the measured time. The clock of a process begins with the first of its sockets that is warm: what
 * of the warm-up comes to its others after that, `extra.late`, took the same time.
 */
export function deliveriesOf({ messages, extra }: SideDone): number {
  return messages + (extra?.late ?? 0);
}

export interface Metric {
  /** The key of `result` that is compared: "messagesPerSecond". */
  readonly name: string;
  /** As printed: "msg/s", "µs", "MB", "s". */
  readonly unit: string;
  readonly better: "higher" | "lower";
}

/** A parameter that the suite goes through; one case for each value. */
export interface ParameterSpec {
  readonly values: readonly (number | string)[];
  readonly smoke: readonly (number | string)[];
  readonly help: string;
}

export interface Scenario {
  /** In kebab case: the command `shoal bench NAME`. */
  readonly name: string;
  /** One sentence that ends in a question mark. */
  readonly question: string;
  readonly metric: Metric;
  /** Which it can use; the first is the default. */
  readonly transports: readonly Transport[];
  /** Default sizes in bytes; `[]`: size means nothing here. */
  readonly sizes: readonly number[];
  readonly smokeSizes: readonly number[];
  /** By name: what is in `{ clients: … }` is `--set clients=1,10` on the command line, `--option clients=10` for a side. */
  readonly parameters: Readonly<Record<string, ParameterSpec>>;
  /** Messages (round trips, connections …) of one run, and how many go before, uncounted. */
  count(chosen: Case, smoke: boolean): { readonly count: number; readonly warmup: number };
  /**
   * True: the runner may change the count from one contender to the next so that a run takes about a second
   * (right for rates and latencies; the default). False: the count is the question.
   */
  readonly scales?: boolean;
  /** The warm-up is so many times as long as what is measured; default 1. Not where the count does not scale. */
  readonly warmups?: number;
  /** Seconds after which a run has hung; default 60 (smoke: 20). */
  readonly timeout?: number;
  roles(chosen: Case, count: number, warmup: number): readonly RoleSpec[];
  /** The figures of one run, `metric.name` among them. The measured role's reports come first. */
  result(done: readonly SideReport[], chosen: Case): Readonly<Record<string, number>>;
  /** Further figures of `result` that the table shows, in this order. */
  readonly columns?: readonly { readonly name: string; readonly title: string; readonly unit: string }[];
  /** The metric is looked at as a function of this ("size", or a parameter): the fitted growth is printed. */
  readonly growth?: string;
  /** Contenders that the others are compared with, the first that was measured; default: libzmq, then zeromq. */
  readonly references?: readonly string[];
}

export interface Contender {
  /** In kebab case, as in `--peers`. */
  readonly name: string;
  /** As the table shows it. */
  readonly title: string;
  /** undefined: it is here. Otherwise the reason, and how to get it, in one sentence. */
  absent(): Promise<string | undefined>;
  supports(scenario: string, transport: Transport): boolean;
  /** Called after `prepare`. */
  command(side: SideRequest): SideCommand;
  /** Its version, for the record: "libzmq 4.3.4". */
  version?(): Promise<string | undefined>;
  /** Compiles, or starts a server; once, before the first run. May throw: the contender is reported as failed. */
  prepare?(): Promise<void>;
  /** Undoes `prepare`; always called after it. */
  dispose?(): Promise<void>;
}

/*
 * Where things are, for those who add a scenario or a contender:
 * - `scenarios/index.ts`, `peers/index.ts`: the lists; add an import and an entry.
 * - `bodies.ts`: `Bodies` (make message k), `Checker` (check the stream, checksum), `expectedChecksum`.
 * - `peers/node/side.ts`: a side in Node: arguments, ready / start / stop, CPU, peak RSS and GC time, `done`.
 * - `peers/node/roles/`: what shoal and the npm package zeromq do, one file a scenario, written once for both against
 *   `Kit` (kit.ts: the socket classes, and `batch` for trySend + receiveMany); `roles/index.ts` lists them.
 */
