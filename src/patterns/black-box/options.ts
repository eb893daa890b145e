/** Options of a Black Box. */

import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { isBytes } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import {
  anything,
  checkEndpoint,
  checkOptions,
  choice,
  type GivenWith,
  integer,
  object,
} from "../kit/options.js";
import type { BoxSocketOptions, ReceiverData } from "./messages.js";
import { type BlackBoxShardKey, keyEndOf } from "./rules.js";
import type { BlackBoxFullPolicy } from "./shard.js";

const MAX_WORKERS = 256;
/** Messages, and bytes unless a message is larger, per batch. */
const MAX_BATCH = 1_000;
const MAX_BATCH_BYTES = 1_048_576;
/** Batches in flight per thread: one handled, one ready. */
const MAX_IN_FLIGHT = 2;

const OPTIONS = {
  /**
   * Module whose default export handles messages: a URL, a `file:` or `data:` URL as text, or a path. See {@link
   * BlackBoxHandler}.
   */
  handler: anything<string | URL>(),
  /** Publishers to connect to, or a source. */
  connect: anything<string | readonly string[] | EndpointSource>(),
  /** Endpoints to bind. */
  bind: anything<string | readonly string[]>(),
  /** Topic prefixes. Default: all messages. */
  subscribe: anything<string | Uint8Array | readonly (string | Uint8Array)[]>(),
  /** Worker threads (shards), at most 256. Default: the machine's parallelism minus 1, at least 1. */
  workers: integer({ max: MAX_WORKERS }),
  /** Part of the first frame that determines shard and order. Default: all. */
  key: anything<BlackBoxShardKey>(),
  /** Handling of a message for a full queue. Default `"drop-oldest"`. */
  full: choice<BlackBoxFullPolicy>(["drop-newest", "drop-oldest", "conflate", "wait"], "drop-oldest"),
  /** Messages queued per shard. Default 10,000. */
  maxQueue: integer({ default: 10_000 }),
  /** Bytes queued per shard; a larger message is dropped. Default 67,108,864. */
  maxQueueBytes: integer({ default: 67_108_864 }),
  /** Passed to the module's functions, copied to each thread; a SharedArrayBuffer is shared. */
  data: anything<unknown>(),
  /** Options of the SUB, which must be cloneable. */
  socketOptions: object<BoxSocketOptions>(),
  /** Engine of the SUB. Default: every socket's. */
  engine: choice(["zmtp", "libzmq"]),
};

/** Options of {@link BlackBox}. */
export type BlackBoxOptions = GivenWith<typeof OPTIONS, "handler">;

export interface ResolvedBox {
  readonly receiver: ReceiverData;
  /** Read in the main thread. */
  readonly source: EndpointSource | undefined;
  readonly module: string;
  readonly workers: number;
  readonly data: unknown;
}

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function resolveBox(options: BlackBoxOptions): ResolvedBox {
  const settings = checkOptions("BlackBox", OPTIONS, options);
  const { full, maxQueue, maxQueueBytes, key, engine, socketOptions = {}, data } = settings;
  for (const name of ["context", "codec", "authenticate"]) {
    if (Object.hasOwn(socketOptions, name))
      throw new InvalidArgumentError(`BlackBox has its SUB in another thread: it has no option ${name}`);
  }
  keyEndOf(key);
  const source = isEndpointSource(options.connect) ? options.connect : undefined;
  const connect = isEndpointSource(options.connect) ? [] : listOf("connect", options.connect);
  const bind = listOf("bind", options.bind);
  if (source === undefined && connect.length + bind.length === 0)
    throw new InvalidArgumentError("A Black Box has at least one endpoint to connect or to bind");
  for (const endpoint of [...connect, ...bind]) {
    if (engine !== undefined && endpoint.startsWith("inproc:"))
      throw new InvalidArgumentError(
        `${endpoint} reaches other threads on the process-wide context; with the option engine the SUB has a context of its own`,
      );
  }
  const { workers = defaultWorkers() } = settings;
  const rules = {
    shards: workers,
    full,
    maxQueue,
    maxQueueBytes,
    maxBatch: MAX_BATCH,
    maxBatchBytes: MAX_BATCH_BYTES,
    maxInFlight: MAX_IN_FLIGHT,
  };
  const subscribe = prefixesOf(options.subscribe);
  const receiver = {
    rules,
    key,
    engine,
    socketOptions: copied("socketOptions", socketOptions),
    bind,
    connect,
    hasSource: source !== undefined,
    subscribe,
  };
  return { receiver, source, module: moduleOf(options.handler), workers, data: copied("data", data) };
}

function defaultWorkers(): number {
  return Math.min(Math.max(1, availableParallelism() - 1), MAX_WORKERS);
}

function listOf(name: string, value: string | readonly string[] | undefined): string[] {
  const list: unknown = value === undefined ? [] : typeof value === "string" ? [value] : value;
  if (!Array.isArray(list))
    throw new InvalidArgumentError(`Option ${name} is an endpoint, or a list of them`);
  return list.map((endpoint) => checkEndpoint(name, endpoint, name === "bind" ? "bind" : "connect"));
}

function prefixesOf(value: BlackBoxOptions["subscribe"]): (string | Uint8Array)[] {
  const list: unknown =
    value === undefined ? [] : typeof value === "string" || isBytes(value) ? [value] : value;
  if (!Array.isArray(list))
    throw new InvalidArgumentError("Option subscribe is a topic prefix, or a list of them");
  return list.map((prefix: unknown) => {
    if (typeof prefix === "string" || isBytes(prefix)) return prefix;
    throw new InvalidArgumentError(`A topic prefix is a string or bytes; got ${typeof prefix}`);
  });
}

function moduleOf(handler: unknown): string {
  if (handler instanceof URL) return handler.href;
  if (typeof handler !== "string" || handler === "")
    throw new InvalidArgumentError("Option handler is the URL or path of a module");
  return /^(?:file|data):/.test(handler) ? handler : pathToFileURL(resolve(handler)).href;
}

function copied<T>(name: string, value: T): T {
  try {
    return structuredClone(value);
  } catch (cause) {
    throw new InvalidArgumentError(`Option ${name} cannot be copied to another thread`, { cause });
  }
}
