/** What is read of a program: its process, sources, their sides and refusals. Pure; the dashboard's page imports it. */

export const COUNTS = ["in", "out", "inBytes", "outBytes", "dropped", "refused"] as const;
export type CountName = (typeof COUNTS)[number];

/** Counters since the program started, or per second; unknown ones are absent. */
export interface Counts extends Readonly<Partial<Record<CountName, number>>> {}

/** Unknown values are absent. */
export interface SideReading extends Counts {
  readonly side: string;
  readonly peers?: number;
  readonly queued?: number;
  /** Refused peers and messages by reason, without zeros. */
  readonly refusals?: Readonly<Record<string, number>>;
  /** Reasons of the last minute, each with the ms since its last refusal. `rated` adds them. */
  readonly refusing?: Readonly<Record<string, number>>;
}

export interface SourceReading {
  readonly name: string;
  readonly kind: string;
  readonly state: string;
  readonly sides: readonly SideReading[];
}

export interface ProcessReading {
  /** Processor time since start, s. */
  readonly cpu?: number;
  /** Bytes. */
  readonly memory?: number;
  /** s: 99th percentile above the minimum, since the last reading by any reader. */
  readonly loopDelay?: number;
  /** Version of shoal. */
  readonly version?: string;
  /** s since 1970. */
  readonly started?: number;
  /** The same at each address of one process. */
  readonly instance?: string;
}

export interface Reading {
  readonly sources: readonly SourceReading[];
  readonly process: ProcessReading;
}

export interface RatedSide extends SideReading {
  /** Per second; absent without an earlier reading. */
  readonly rates: Counts;
}

export interface RatedSource extends Omit<SourceReading, "sides"> {
  readonly sides: readonly RatedSide[];
}

/** `cpu`: share of one processor, 0 to 1, more with several threads. */
export interface RatedReading extends ProcessReading {
  readonly sources: readonly RatedSource[];
}

/** `at`: ms of a monotonic clock. */
export interface TimedReading {
  readonly at: number;
  readonly reading: Reading;
}

/** A peer that only sends faster than its policy's rate waits, and is not refused. */
export const REFUSALS: Readonly<Record<string, string>> = {
  authentication: "a peer with wrong credentials",
  mechanism: "a peer with different security (PLAIN, CURVE or none)",
  "curve-key": "a peer with a wrong CURVE key",
  "socket-type": "a peer whose socket type does not fit",
  protocol: "a peer that breaks the protocol",
  other: "a peer that leaves during the handshake",
  address: "a peer whose address the policy forbids",
  key: "a peer whose key the policy does not have",
  size: "a peer with a message larger than the policy allows",
  topic: "a topic that the policy forbids",
};
