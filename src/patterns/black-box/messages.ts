/**
 * What the threads of a Black Box tell each other.
 *
 *          control                    batches
 *   main <─────────> receiver thread ────────────> worker thread, one a shard
 *     ^                              <────────────     │
 *     │                                finished        │
 *     └────────── ready, failed handlers ──────────────┘
 *
 * A batch is an ArrayBuffer (batch.ts), transferred; its answer is the number of messages that failed.
 */
import type { MessagePort } from "node:worker_threads";
import type { SubscriberOptions } from "../../sockets/pub-sub.js";
import type { SocketStats } from "../../sockets/stats.js";
import type { BoxRulesOptions, BoxRulesStats, Drops } from "./rules.js";
import type { ShardKey } from "./sharding.js";

/** What a worker thread counts of its messages, modulo 2³², in memory that the receiver sees: where each number is. */
export const Progress = { BEGUN: 0, FINISHED: 1, FAILED: 2, LENGTH: 3 } as const;

/** An error on its way to another thread. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
}

/** What the receiver thread begins with. */
export interface ReceiverData {
  readonly rules: BoxRulesOptions;
  readonly key: ShardKey | undefined;
  readonly engine: string | undefined;
  readonly socketOptions: Omit<SubscriberOptions, "context" | "codec" | "authenticate">;
  readonly bind: readonly string[];
  readonly connect: readonly string[];
  readonly subscribe: readonly (string | Uint8Array)[];
}

/** To the receiver thread. */
export type ToReceiver =
  /** Open the socket and read: all threads are up. */
  | { readonly type: "start" }
  /** A shard has a thread: its port, and where it counts ({@link Progress}). */
  | {
      readonly type: "up";
      readonly shard: number;
      readonly port: MessagePort;
      readonly progress: Uint32Array;
    }
  | { readonly type: "down"; readonly shard: number }
  | { readonly type: "stats" }
  /** ms for what was read to be handled; negative: no limit. */
  | { readonly type: "close"; readonly linger: number };

/** The receiver's accounts. */
export interface ReceiverStats extends BoxRulesStats {
  readonly socket: SocketStats;
  /** Messages that the SUB still had when it closed. */
  readonly unread: number;
}

/** From the receiver thread. */
export type FromReceiver =
  /** The socket is open; `endpoint` as its `lastEndpoint`. */
  | { readonly type: "open"; readonly endpoint: string | null }
  | { readonly type: "refused"; readonly error: PlainError }
  | { readonly type: "lost"; readonly shard: number; readonly messages: number }
  | { readonly type: "drops"; readonly drops: readonly Drops[] }
  | { readonly type: "peer:join" | "peer:leave"; readonly address: string }
  | { readonly type: "stats" | "closed"; readonly stats: ReceiverStats };

/** What a worker thread begins with. */
export interface WorkerData {
  /** URL of the user's module. */
  readonly module: string;
  readonly shard: number;
  readonly shards: number;
  readonly data: unknown;
  readonly port: MessagePort;
  readonly progress: Uint32Array;
}

/** From a worker thread to the main one. */
export type FromWorker =
  | { readonly type: "ready" }
  /** The module is none that can be used. */
  | { readonly type: "unusable"; readonly error: PlainError }
  /** The first of `messages` that failed since the last such message. */
  | {
      readonly type: "failed";
      readonly messages: number;
      readonly topic: Uint8Array;
      readonly error: PlainError;
    };

/** To a worker thread from the main one: no batch comes any more. */
export const CLOSE = "close";

export function toPlain(error: unknown): PlainError {
  if (!(error instanceof Error)) {
    return { name: "Error", message: String(error), stack: undefined, code: undefined };
  }
  const { code } = error as NodeJS.ErrnoException;
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    code: typeof code === "string" ? code : undefined,
  };
}

/** An error again, with the name, code and stack that it had. */
export function fromPlain({ name, message, stack, code }: PlainError): Error {
  const error = new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  if (code !== undefined) Object.assign(error, { code });
  return error;
}
