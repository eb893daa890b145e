/**
 * Contract between scenarios, implementations and the runner.
 *
 * A **scenario** asks one question. An **implementation** (`Contender`) is a system that can answer it. A **case** is
 * a scenario with one transport, one size and one value of each parameter. A **side** is one process: a role of a
 * case, played by an implementation, in any language. A **run** is all sides of one case of one implementation:
 * started, checked, ended.
 *
 * The command line of a side, the same in every language:
 *
 *     --scenario NAME --role ROLE --index I --transport tcp|ipc|inproc|ws|tls --size BYTES --count N
 *     [--endpoint EP] [--option KEY=VALUE]...
 *
 * - `--index`: number of this process among those of its role, from 0.
 * - `--endpoint`: a role that binds binds there (`tcp://127.0.0.1:*`, an ipc path created by the runner, or the
 * user's `--bind`) and reports the real endpoint in `ready`; a role that connects connects there.
 * - A role that connects to several gets the endpoint of `connects[0]` as `--endpoint`, and the others as `--option
 * endpoint-ROLE=EP`.
 * - Options are the case's parameters, those of the role and the implementation, and always `warmup=N`.
 * - inproc: one process with `--role both` plays every role and prints one `done`.
 *
 * Life of a side: it opens its sockets, prints `ready`, waits for the line `start` (sent when every side is ready),
 * works, prints `done`, and keeps its sockets open until standard input closes. Then it closes the sockets, which
 * sends queued messages, and exits with 0. It exits at once if standard input closes before `done`. Failures print
 * the reason on standard error and exit with 1.
 *
 * Messages: message k (from 0, warm-up included) has SIZE bytes: body number k mod 16, whose byte i is (31 * (k mod
 * 16) + i) mod 251, with k written over its first n = min(4, SIZE) bytes, big-endian, modulo 2^(8n). Each send uses
 * new memory (allocate, copy, overwrite) in every language, because an engine may keep the message by reference. The
 * sender sends warmup + count messages. The receiver checks length and counter of each one. `messages`, `bytes` and
 * `checksum` count those after the warm-up; the clock runs from the arrival of the last warm-up message (of the first
 * message if warmup is 0) to the arrival of the last message. The checksum is the sum, modulo 2^32, of the bytes at
 * offset 0, SIZE >> 1 and SIZE - 1 of each message, as eight lower-case hexadecimal digits. `bodies.ts` implements
 * this for Node sides and the runner.
 */

export const TRANSPORTS = ["tcp", "ipc", "inproc", "ws", "tls"] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** Values of a case's parameters by name: `{ peers: 10 }`. Sides get them as `--option peers=10`. */
export type Parameters = Readonly<Record<string, number | string>>;

/** A scenario with chosen values. Size is 0 if the scenario has no sizes. */
export interface Case {
  readonly transport: Transport;
  readonly size: number;
  readonly parameters: Parameters;
}

/** One role of a case. Roles start in list order; those that connect come after those that bind. */
export interface RoleSpec {
  readonly role: string;
  /** Processes of the role. Default 1. An option may run many sockets in one process. */
  readonly processes?: number;
  /** Whether it binds, and reports its endpoint in `ready`. Default false. */
  readonly binds?: boolean;
  /**
   * Roles whose endpoints it gets. Default: the first role that binds, unless it binds itself. `ROLE/backend` is a
   * broker's endpoint for workers; it is the same endpoint if the implementation's broker has one socket.
   */
  readonly connects?: readonly string[];
  /**
   * Whether it prints `done` by itself. Default true. If false, it works until the line `stop`, then prints `done`; its
   * measured part begins with the line `begin`, sent when the measured role prints `rehearsed` or `begun`.
   */
  readonly ends?: boolean;
  /** Whether `result` takes the figures of this role, as its first `done`. Default false. */
  readonly measured?: boolean;
  readonly options?: Parameters;
  /** Values that its `done` must have for the run to count. Default: not checked. */
  readonly expects?: Expectation;
  /** Whether it writes files: it gets `--option folder=PATH`, which the runner removes after the run. */
  readonly folder?: boolean;
}

export interface Expectation {
  readonly messages?: number;
  readonly bytes?: number;
  readonly checksum?: string;
  /** Default: true if `checksum` is given. */
  readonly ordered?: boolean;
}

/** Request for the command line of a side. */
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

/** Printed by a side that has bound (with its endpoint) or connected (without). */
export interface SideReady {
  readonly type: "ready";
  readonly endpoint?: string;
  /** Endpoint for workers, if a broker has a separate one. */
  readonly backend?: string;
}

/** Printed by a side that has finished. All figures are about the measured part. */
export interface SideDone {
  readonly type: "done";
  readonly messages: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly checksum?: string;
  readonly ordered?: boolean;
  /** User and system time of all threads of the process. */
  readonly cpuSeconds: number;
  /** Bytes. */
  readonly peakRss: number;
  /** null if the language does not report it, or has no collector. */
  readonly gcSeconds: number | null;
  /** Percentiles in microseconds by name: at least "50", "90", "99", "99.9" and "100"; also "mean". */
  readonly latency?: Readonly<Record<string, number>>;
  /** Other figures for the scenario's `result`. */
  readonly extra?: Readonly<Record<string, number>>;
}

/**
 * Printed by a side whose warm-up is over: its measured part begins again. A side in Node prints `rehearsed` halfway
 * through it, and does the same.
 */
export interface SideBegun {
  readonly type: "begun" | "rehearsed";
}

/** Printed when the measured part is over: the figures of `done` take their time. */
export interface SideEnded {
  readonly type: "ended";
}

export type SideLine = SideReady | SideBegun | SideEnded | SideDone;

/** A `done` with the side that printed it. */
export interface SideReport extends SideDone {
  readonly role: string;
  readonly index: number;
}

/**
 * Messages that arrived within the measured time. A process's clock starts with the first warm socket. Warm-up
 * messages that reach its other sockets later, `extra.late`, took the same time.
 */
export function deliveriesOf({ messages, extra }: SideDone): number {
  return messages + (extra?.late ?? 0);
}

export interface Metric {
  /** Key of `result` that is compared: "messagesPerSecond". */
  readonly name: string;
  /** Unit as printed: "msg/s", "µs", "MB", "s". */
  readonly unit: string;
  readonly better: "higher" | "lower";
}

/** A parameter that the suite varies, with one case for each value. */
export interface ParameterSpec {
  readonly values: readonly (number | string)[];
  readonly smoke: readonly (number | string)[];
  readonly help: string;
}

export interface Scenario {
  /** In kebab case, for the command `shoal bench NAME`. */
  readonly name: string;
  /** One sentence that ends with a question mark. */
  readonly question: string;
  readonly metric: Metric;
  /** Supported transports; the first is the default. */
  readonly transports: readonly Transport[];
  /** Default sizes in bytes; `[]` if the scenario has no sizes. A smoke run has 64 B, or the first. */
  readonly sizes: readonly number[];
  /** Parameters by name: `clients` is `--set clients=1,10` on the command line, and `--option clients=10` for a side. */
  readonly parameters: Readonly<Record<string, ParameterSpec>>;
  /** Measured messages (round trips, connections …) of the first run, and those before. */
  count(chosen: Case, smoke: boolean): { readonly count: number; readonly warmup: number };
  /**
   * Whether its figure is the same for any count, and for a run that is stopped in between. The runner then changes the
   * count per implementation so that a run takes about a second, and the warm-up two; and implementations work in turns.
   * Default true.
   */
  readonly scales?: boolean;
  /** Whether sides in Node report the bytes that V8 promotes to its old generation. Default false. */
  readonly promoted?: boolean;
  /** Whether the sides are warm before they are ready, so that the runner need not look for a warm-up. Default false. */
  readonly warms?: boolean;
  /** Timeout of a run in seconds. Default 60 (smoke: 20). */
  readonly timeout?: number;
  roles(chosen: Case, count: number, warmup: number): readonly RoleSpec[];
  /** Figures of one run, including `metric.name`. Reports of the measured role come first. */
  result(done: readonly SideReport[], chosen: Case): Readonly<Record<string, number>>;
  /** Further figures of `result` in the table, in this order. */
  readonly columns?: readonly { readonly name: string; readonly title: string }[];
  /** Abscissa, "size" or a parameter, for which the fitted growth of the metric is printed. */
  readonly growth?: string;
  /** Implementations to compare with: the first measured one. Default: libzmq, then zeromq. */
  readonly references?: readonly string[];
}

export interface Contender {
  /** In kebab case, as in `--peers`. */
  readonly name: string;
  /** Name in tables. */
  readonly title: string;
  /** Why it is unavailable and how to install it, in one sentence; `undefined` if it is available. */
  absent(): Promise<string | undefined>;
  supports(scenario: string, transport: Transport): boolean;
  /** Called after `prepare`. */
  command(side: SideRequest): SideCommand;
  /** Version, such as "libzmq 4.3.4". */
  version?(): Promise<string | undefined>;
  /** Compiles, or starts a server, once before the first run. An error is reported as a failure. */
  prepare?(): Promise<void>;
  /** Undoes `prepare`; always called after it. */
  dispose?(): Promise<void>;
}

/*
 * To add a scenario or an implementation:
 * - `scenarios/`: a row of one of the tables; `peers/index.ts`: an import and an entry.
 * - `bodies.ts`: `Bodies` (make message k), `Checker` (check the stream, checksum), `expectedChecksum`.
 * - `peers/node/side.ts`: a side in Node: arguments, ready / start / stop, CPU, peak RSS and GC time, `done`.
 * - `peers/node/roles/`: what shoal and the npm package zeromq do, one file a scenario, written once for both against
 *   `Kit` (kit.ts: the socket classes, and `batch` for trySend + receiveMany); `roles/index.ts` lists them.
 */
