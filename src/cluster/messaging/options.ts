/** Options of messages, checked: the option `messaging` of nodes and namespaces, and what calls of messages get. */
import { checkInteger, invalidArgument, isThenable } from "../../core/arguments.js";
import { isBytes, isTransferred } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { ignore, MAX_TIMEOUT } from "../../core/waiter.js";
import { anything, bytes, checkOptions, type Given, integer, type Settings } from "../../kit/options.js";
import { MAX_ENDPOINTS, MAX_NAME } from "../bounds.js";
import { MAX_ITEM, MIN_ITEM_LIMIT } from "./bounds.js";
import { type ClusterChannel, ClusterChannels } from "./channels.js";
import { checkProtocol, type MessageProtocol } from "./protocols.js";

export const OPTIONS = {
  /**
   * Protocols of the streams between nodes by priority: "tcp" (the node's port), "tls" (the same with the option `tls`),
   * "ipc" (a socket file, for nodes on one host), "ws" (a WebSocket at a separate port, with the option `tls` over
   * TLS), and those of {@link streamProtocol}. The first common one that works is used. Default: the node's port.
   */
  protocols: anything<readonly ("ipc" | "tcp" | "tls" | "ws" | MessageProtocol)[]>(),
  /** Channels of `send` and `query` joined from the start. Default 0, 1 and 2. */
  channels: anything<readonly ClusterChannel[]>(),
  /** Messages queued for another node. Default 262,144. */
  highWaterMark: integer({ default: 262_144 }),
  /** Bytes queued for another node. Default 4,194,304. */
  highWaterMarkBytes: bytes({ default: 4_194_304 }),
  /** Maximum bytes of a message with its topic, sent and received. Default 1,048,576; 262,144 to 268,435,456. */
  maxItem: integer({ default: MAX_ITEM, min: MIN_ITEM_LIMIT, max: 268_435_456 }),
  /** ms without messages after which the connection to a node closes until the next one. Default 60,000. */
  idle: integer({ default: 60_000 }),
  /**
   * ms without an acknowledgement of sent messages after which a connection is checked, and after as many again counts
   * as broken. Default 5,000.
   */
  heartbeat: integer({ default: 5_000 }),
  /** Messages queued for a subscription. Default 10,000. */
  maxQueue: integer({ default: 10_000 }),
  /** Bytes queued for a subscription. Default 16,777,216. */
  maxQueueBytes: bytes({ default: 16_777_216 }),
  /** Retained values of this node. Default 10,000. */
  maxRetained: integer({ default: 10_000, min: 0 }),
  /** Bytes of retained values. Default 16,777,216. */
  maxRetainedBytes: bytes({ default: 16_777_216, min: 0 }),
  /**
   * ms at most. A newly met node gets all messages until its subscriptions are known; 0: the first may be missed. Default 1,000.
   */
  settle: integer({ default: 1_000, min: 0 }),
  /**
   * Messages of `sendTo`, and of `publish` with `onFull: "wait"`, queued for another node beyond `highWaterMark`; and
   * unacknowledged one-to-one messages. Default 65,536.
   */
  maxPending: integer({ default: 65_536 }),
  /** Bytes queued for another node beyond `highWaterMarkBytes`. Default 67,108,864. */
  maxPendingBytes: bytes({ default: 67_108_864 }),
};

export type MessagingOptions = Given<typeof OPTIONS>;
export type MessagingSettings = Settings<typeof OPTIONS>;

/** @throws InvalidArgumentError `EINVAL` */
export function messagingSettings(given: boolean | MessagingOptions = true): MessagingSettings {
  const settings = checkOptions("messaging", OPTIONS, typeof given === "boolean" ? {} : given);
  if (settings.protocols !== undefined) checkProtocols(settings.protocols);
  const { channels } = settings;
  if (channels !== undefined && !Array.isArray(channels))
    throw invalidArgument("messaging.channels must be an array", channels);
  // Refuses invalid channels before anything is opened.
  void new ClusterChannels(channels);
  return settings;
}

function checkProtocols(protocols: NonNullable<MessagingOptions["protocols"]>): void {
  if (!Array.isArray(protocols) || protocols.length === 0 || protocols.length > MAX_ENDPOINTS)
    throw invalidArgument(`messaging.protocols must be an array of 1 to ${MAX_ENDPOINTS}`, protocols);
  const names = new Set<string>();
  for (const each of protocols) {
    if (typeof each === "object" && each !== null) checkProtocol(each);
    else if (each !== "ipc" && each !== "tcp" && each !== "tls" && each !== "ws")
      throw invalidArgument('a protocol must be "tcp", "tls", "ipc", "ws" or one of streamProtocol', each);
    const name = typeof each === "string" ? each : each.name;
    if (names.has(name)) throw new InvalidArgumentError(`the protocol ${name} is there twice`);
    names.add(name);
  }
}

export function checkData(data: unknown): void {
  if (typeof data !== "string" && !isBytes(data)) throw invalidArgument("data must be a text or bytes", data);
}

/**
 * @returns the data; bytes as a Buffer of the same memory
 * @throws InvalidArgumentError `EINVAL`
 */
export function checkedData(what: string, data: unknown): string | Buffer {
  if (typeof data === "string") return data;
  if (!isBytes(data)) throw invalidArgument(`${what} must be a text or bytes`, data);
  if (isTransferred(data)) throw new InvalidArgumentError(`${what} has memory that was transferred`);
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkRuid(ruid: unknown): asserts ruid is string {
  if (typeof ruid !== "string" || ruid.length > MAX_NAME || Buffer.byteLength(ruid) > MAX_NAME)
    throw invalidArgument(`ruid must be a text of at most ${MAX_NAME} bytes`, ruid);
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw invalidArgument(`${name} must be true or false`, value);
  return value;
}

export function checkTimeout(value: unknown): number {
  return checkInteger("timeout", value, -1, MAX_TIMEOUT);
}

export function checkOnFull(value: unknown = "drop"): "drop" | "wait" {
  if (value !== "drop" && value !== "wait") throw invalidArgument('onFull must be "drop" or "wait"', value);
  return value;
}

/** @throws InvalidArgumentError `EINVAL` for a promise */
export function refusePromise(what: string, result: unknown): void {
  if (!isThenable(result)) return;
  Promise.resolve(result).catch(ignore);
  throw new InvalidArgumentError(`${what} must be synchronous; it returned a promise`);
}
