/** Checks options of `serve` and `request`. */
import { checkCallOptions, checkInteger, describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { checkBoolean, checkTimeout } from "../messaging/checks.js";
import { encodeBody } from "./body.js";
import { isStreamedBody } from "./body-source.js";
import {
  KEEP_REPLIES,
  MAX_HEADER_BYTES,
  MAX_HEADERS,
  MAX_KEY,
  MAX_METHOD_NAME,
  MAX_RETRY_DELAY,
  MAX_SERVICE_NAME,
  REQUEST_TIMEOUT,
  RETRIES,
  RETRY_DELAY,
  SERVE_CONCURRENCY,
  SERVE_QUEUE,
  SERVE_QUEUE_BYTES,
  STREAM_BYTES,
  STREAM_PARTS,
} from "./bounds.js";
import type { CallTerms } from "./call.js";
import type { ServingSettings } from "./serving.js";
import type {
  OutgoingRequest,
  ServeOptions,
  ServiceManyOptions,
  ServiceRequestOptions,
  ServiceStreamOptions,
} from "./types.js";
import type { CallExtras, EncodedBody } from "./wire.js";

const SERVE_KEYS = [
  "schema",
  "concurrency",
  "maxQueue",
  "maxQueueBytes",
  "keepReplies",
  "maxParts",
  "maxPartBytes",
  "exposeErrors",
];
const REQUEST_KEYS = [
  "timeout",
  "attemptTimeout",
  "signal",
  "headers",
  "retries",
  "retryDelay",
  "maxRetryDelay",
  "idempotent",
  "idempotencyKey",
  "waitForReady",
  "self",
  "onReplyHeaders",
];
const WHOLE_KEYS = ["idempotencyKey", "onReplyHeaders"];
const STREAM_KEYS = [...REQUEST_KEYS.filter((key) => !WHOLE_KEYS.includes(key)), "maxQueue", "maxQueueBytes"];
const MANY_KEYS = ["timeout", "count", "signal", "headers", "self"];

/** Longest timer in ms. */
const MAX_TIME = 2_147_483_647;
/** Limit of slots, queued requests, and unread parts. */
const MOST_SLOTS = 65_536;
const MOST_QUEUED = 1_048_576;
const MOST_PARTS = 65_536;
const MOST_RETRIES = 100;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/;

/** @throws InvalidArgumentError `EINVAL` */
export function checkServiceName(name: unknown): asserts name is string {
  if (typeof name !== "string" || name.length > MAX_SERVICE_NAME || !NAME.test(name))
    throw new InvalidArgumentError(
      `a service's name has 1 to ${MAX_SERVICE_NAME} letters, digits and . _ : / - and begins with a letter or digit; got ${describe(name)}`,
    );
}

/** @throws InvalidArgumentError `EINVAL` */
export function servingSettings(options: ServeOptions<never, never>): ServingSettings {
  checkCallOptions("serve", options, SERVE_KEYS);
  const {
    concurrency = SERVE_CONCURRENCY,
    maxQueue = SERVE_QUEUE,
    maxQueueBytes = SERVE_QUEUE_BYTES,
    keepReplies = KEEP_REPLIES,
    maxParts = STREAM_PARTS,
    maxPartBytes = STREAM_BYTES,
  } = options;
  return {
    concurrency: checkInteger("concurrency", concurrency, 1, MOST_SLOTS),
    maxQueue: checkInteger("maxQueue", maxQueue, 0, MOST_QUEUED),
    maxQueueBytes: checkInteger("maxQueueBytes", maxQueueBytes, 0, Number.MAX_SAFE_INTEGER),
    keepReplies: checkInteger("keepReplies", keepReplies, 0, MAX_TIME),
    maxParts: checkInteger("maxParts", maxParts, 1, MOST_PARTS),
    maxPartBytes: checkInteger("maxPartBytes", maxPartBytes, 1, Number.MAX_SAFE_INTEGER),
  };
}

/** Terms of a request without options. */
const PLAIN = {
  timeout: REQUEST_TIMEOUT,
  attemptTimeout: -1,
  retries: RETRIES,
  retryDelay: RETRY_DELAY,
  maxRetryDelay: MAX_RETRY_DELAY,
  idempotent: false,
  waitForReady: false,
  self: true,
  node: undefined,
} as const;

export const NO_OPTIONS: ServiceRequestOptions & ServiceStreamOptions = Object.freeze({});

/** @throws InvalidArgumentError `EINVAL` */
export function requestTerms({ service, method, body: given, options }: OutgoingRequest): CallTerms {
  const isStreamed = isStreamedBody(given);
  const body = encodeBody(isStreamed ? undefined : given);
  checkServiceName(service);
  checkMethod(method);
  if (options === NO_OPTIONS && !isStreamed)
    return { service, extras: extrasOf(method, "", undefined, 0, 0, false), body, ...PLAIN };
  checkCallOptions("request", options, REQUEST_KEYS);
  // A streamed body takes as long as its source: the timeout ends when a node takes its first part.
  const { timeout = isStreamed ? -1 : REQUEST_TIMEOUT, attemptTimeout = isStreamed ? REQUEST_TIMEOUT : -1 } =
    options;
  const { idempotencyKey } = options as ServiceRequestOptions;
  if (idempotencyKey !== undefined) checkKey(idempotencyKey);
  if (idempotencyKey !== undefined && isStreamed)
    throw new InvalidArgumentError("a request whose body comes in parts has no idempotencyKey");
  const { idempotent = idempotencyKey !== undefined, onReplyHeaders } = options as ServiceRequestOptions;
  if (onReplyHeaders !== undefined && typeof onReplyHeaders !== "function")
    throw new InvalidArgumentError(`onReplyHeaders is a function; got ${describe(onReplyHeaders)}`);
  return {
    service,
    extras: extrasOf(method, idempotencyKey ?? "", checkHeaders(options.headers), 0, 0, isStreamed),
    body,
    timeout: checkTimeout(timeout),
    attemptTimeout: checkTimeout(attemptTimeout),
    ...sharedTerms(options, idempotent),
  };
}

/** @throws InvalidArgumentError `EINVAL` */
export function streamTerms({ service, method, body, options }: OutgoingRequest): CallTerms {
  const isStreamed = isStreamedBody(body);
  checkServiceName(service);
  checkMethod(method);
  checkCallOptions("requestStream", options, STREAM_KEYS);
  const { timeout = -1, attemptTimeout = REQUEST_TIMEOUT, idempotent = false } = options;
  const { maxQueue = STREAM_PARTS, maxQueueBytes = STREAM_BYTES } = options as ServiceStreamOptions;
  checkInteger("maxQueue", maxQueue, 1, MOST_PARTS);
  checkInteger("maxQueueBytes", maxQueueBytes, 1, Number.MAX_SAFE_INTEGER);
  return {
    service,
    extras: extrasOf(method, "", checkHeaders(options.headers), maxQueue, maxQueueBytes, isStreamed),
    body: encodeBody(isStreamed ? undefined : body),
    timeout: checkTimeout(timeout),
    attemptTimeout: checkTimeout(attemptTimeout),
    ...sharedTerms(options, idempotent),
  };
}

/** Terms of a request with a streamed reply to one node. */
export function nodeStreamTerms(node: string, service: string, timeout: number): CallTerms {
  const extras = extrasOf("", "", undefined, STREAM_PARTS, STREAM_BYTES, false);
  return { ...PLAIN, service, extras, body: encodeBody(undefined), timeout, node };
}

/**
 * Terms for each node.
 * @throws InvalidArgumentError `EINVAL`
 */
export function manyTerms(
  service: string,
  body: EncodedBody,
  options: ServiceManyOptions,
): Omit<CallTerms, "node"> & { readonly count: number } {
  checkServiceName(service);
  checkCallOptions("requestMany", options, MANY_KEYS);
  const { timeout = REQUEST_TIMEOUT, count = Number.MAX_SAFE_INTEGER, headers, self = true } = options;
  checkBoolean("self", self);
  return {
    ...PLAIN,
    service,
    extras: extrasOf("", "", checkHeaders(headers), 0, 0, false),
    body,
    timeout: checkTimeout(timeout),
    self,
    count: checkInteger("count", count, 1, Number.MAX_SAFE_INTEGER),
  };
}

function sharedTerms(
  options: ServiceRequestOptions | ServiceStreamOptions,
  idempotent: boolean,
): Pick<
  CallTerms,
  "retries" | "retryDelay" | "maxRetryDelay" | "idempotent" | "waitForReady" | "self" | "node"
> {
  const { retries = RETRIES, retryDelay = RETRY_DELAY, maxRetryDelay = MAX_RETRY_DELAY } = options;
  const { waitForReady = false, self = true } = options;
  checkBoolean("idempotent", idempotent);
  checkBoolean("waitForReady", waitForReady);
  checkBoolean("self", self);
  return {
    retries: checkInteger("retries", retries, 0, MOST_RETRIES),
    retryDelay: checkInteger("retryDelay", retryDelay, 0, MAX_TIME),
    maxRetryDelay: checkInteger("maxRetryDelay", maxRetryDelay, 0, MAX_TIME),
    idempotent,
    waitForReady,
    self,
    node: undefined,
  };
}

function extrasOf(
  method: string,
  key: string,
  headers: Readonly<Record<string, string>> | undefined,
  parts: number,
  bytes: number,
  isStreamed: boolean,
): CallExtras | undefined {
  if (method === "" && key === "" && headers === undefined && parts === 0 && !isStreamed) return undefined;
  return { method, key, headers, parts, bytes, isStreamed };
}

function checkMethod(method: string): void {
  if (Buffer.byteLength(method) > MAX_METHOD_NAME)
    throw new InvalidArgumentError(`a method's name has ${MAX_METHOD_NAME} bytes at most`);
}

function checkKey(key: unknown): void {
  const size = typeof key === "string" ? Buffer.byteLength(key) : 0;
  if (size === 0 || size > MAX_KEY)
    throw new InvalidArgumentError(`idempotencyKey is a text of 1 to ${MAX_KEY} bytes; got ${describe(key)}`);
}

export function checkHeaders(
  headers: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> | undefined {
  if (headers === undefined) return undefined;
  if (typeof headers !== "object" || headers === null || Array.isArray(headers))
    throw new InvalidArgumentError(`headers are an object of texts; got ${describe(headers)}`);
  const entries = Object.entries(headers);
  let bytes = 0;
  for (const [name, value] of entries) {
    if (typeof value !== "string")
      throw new InvalidArgumentError(`the header ${name} is a text; got ${describe(value)}`);
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  if (entries.length > MAX_HEADERS || bytes > MAX_HEADER_BYTES)
    throw new InvalidArgumentError(
      `headers are ${MAX_HEADERS} and ${MAX_HEADER_BYTES} bytes at most; got ${entries.length} of ${bytes} bytes`,
    );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
