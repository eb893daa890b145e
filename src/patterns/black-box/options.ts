/** Options of a Black Box. */

import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { PatternEndpoints } from "../../kit/endpoint-list.js";
import {
  anything,
  checkEndpoint,
  checkOptions,
  choice,
  type GivenWith,
  integer,
  object,
} from "../../kit/options.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import type { SubscriberOptions } from "../../sockets/pub-sub.js";
import type { BlackBoxFullPolicy } from "./rules.js";

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
  connect: anything<PatternEndpoints>(),
  /** Endpoints to bind. */
  bind: anything<string | readonly string[]>(),
  /** Topic prefixes. Default: all messages. */
  subscribe: anything<string | Uint8Array | readonly (string | Uint8Array)[]>(),
  /** Worker threads (shards), at most 256. Default: the machine's parallelism minus 1, at least 1. */
  workers: integer({ max: MAX_WORKERS }),
  /** Handling of a message for a full queue. Default `"drop-oldest"`. */
  full: choice<BlackBoxFullPolicy>(["drop-newest", "drop-oldest", "wait"], "drop-oldest"),
  /** Messages queued per shard; with `wait` a read of up to 1,000 may pass it. Default 10,000. */
  maxQueue: integer({ default: 10_000 }),
  /** Bytes queued per shard; a larger message is dropped. Default 67,108,864. */
  maxQueueBytes: integer({ default: 67_108_864 }),
  /** Options of the SUB, such as security. */
  socketOptions: object<SubscriberOptions>(["codec"]),
};

/** Options of {@link BlackBox}. */
export type BlackBoxOptions = GivenWith<typeof OPTIONS, "handler">;

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function resolveBox(options: BlackBoxOptions) {
  const settings = checkOptions("BlackBox", OPTIONS, options);
  const { subscribe = "", socketOptions } = settings;
  const connect: readonly (string | EndpointSource)[] = isEndpointSource(settings.connect)
    ? [settings.connect]
    : listOf("connect", settings.connect);
  const bind = listOf("bind", settings.bind);
  if (connect.length + bind.length === 0)
    throw new InvalidArgumentError("A BlackBox must have an endpoint: option connect, bind or both");
  return {
    module: moduleOf(settings.handler),
    rules: {
      ...settings,
      shards: settings.workers ?? Math.min(Math.max(1, availableParallelism() - 1), MAX_WORKERS),
      maxBatch: MAX_BATCH,
      maxBatchBytes: MAX_BATCH_BYTES,
      maxInFlight: MAX_IN_FLIGHT,
    },
    connect,
    bind,
    subscribe: [subscribe].flat() as readonly (string | Uint8Array)[],
    socketOptions,
  };
}

function listOf(name: "connect" | "bind", value: string | readonly string[] | undefined): string[] {
  const list: unknown = value === undefined ? [] : typeof value === "string" ? [value] : value;
  if (!Array.isArray(list))
    throw invalidArgument(`Option ${name} must be an endpoint, or a list of them`, list);
  return list.map((endpoint) => checkEndpoint(name, endpoint, name));
}

function moduleOf(handler: unknown): string {
  if (handler instanceof URL) return handler.href;
  if (typeof handler !== "string" || handler === "")
    throw invalidArgument("Option handler must be the URL or path of a module", handler);
  return /^(?:file|data):/.test(handler) ? handler : pathToFileURL(resolve(handler)).href;
}
