/** Options, events and statistics of a client, and how its keys and values become bytes. */

import { isUtf8 } from "node:buffer";
import crypto from "node:crypto";
import { invalidArgument } from "../../core/arguments.js";
import { isBytes } from "../../core/bytes.js";
import { InvalidArgumentError, InvalidMessageError, type ShoalError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { CALL_OPTIONS } from "../../kit/calls.js";
import { ENDPOINT_SOURCE_EVENTS } from "../../kit/endpoint-list.js";
import {
  anything,
  bytes,
  checkOptions,
  choice,
  codec,
  type Given,
  integer,
  object,
  type Settings,
} from "../../kit/options.js";
import type { Codec } from "../../sockets/codec.js";
import type { Context } from "../../sockets/context.js";
import { encodeValue, type Raw } from "../../sockets/message.js";
import type { CommonOptions } from "../../sockets/socket-options.js";
import type { CLONE_CLIENT } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { type CloneFault, isSubtree, keyFault, MAX_KEY } from "./protocol.js";

const MAX_RECONNECT = 1_000;
const RECONNECT = 100;

/** Values: Buffers, or those of the codec. */
export type CloneValue<T> = [T] extends [Raw] ? Buffer : T;
export type CloneValueIn<T> = [T] extends [Raw] ? string | Uint8Array : T;

export const OPTIONS = {
  /** `/segment/…/`: holds only keys that begin with it. Default: all. */
  subtree: anything<string | Uint8Array>(),
  codec: codec<unknown>(),
  /**
   * Text of keys. `"latin1"`: each byte is a character. `"utf8"`: `entries` and `watch` leave out invalid UTF-8.
   * Default `"utf8"`.
   */
  keyEncoding: choice(["utf8", "latin1"], "utf8"),
  /** ms between two HUGZ of the server. Default 1,000, as in 12/CHP. */
  heartbeatInterval: integer({ default: 1_000 }),
  /** Missing heartbeats after which the next server is tried, at least 2. Default 2. */
  liveness: integer({ default: 2, min: 2, max: 1_000 }),
  /**
   * ms without progress of a snapshot before the next server is tried: more than the largest value takes. Default:
   * `heartbeatInterval * (liveness + 1)`.
   */
  attemptTimeout: integer(),
  /** ms for a `set`, unless the call has its own; -1: no limit. Default 10,000. */
  timeout: integer({ default: 10_000, min: -1 }),
  /** Unacknowledged updates; more reject with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPending: integer({ default: 10_000 }),
  /** Bytes of their keys and values; a single one may be larger. Default 268,435,456. */
  maxPendingBytes: bytes({ default: 268_435_456 }),
  /** Bytes of keys and values in the map. Default 4,294,967,296. */
  maxBytes: bytes({ default: 4_294_967_296 }),
  /** Options of all sockets, such as security. */
  socketOptions: object<CommonOptions>(),
  context: anything<Context>(),
};

/** Options of `CloneClient`. Times in ms. */
export type CloneClientOptions<T = Raw> = Omit<Given<typeof OPTIONS>, "codec"> & {
  /** Encodes and decodes values. Default: bytes as they are. */
  readonly codec?: Codec<T>;
};

export const DELETE_OPTIONS = {
  /**
   * Revision that the key must have, from `entry`; 0: it must not exist. Otherwise the call rejects with
   * `ERR_CONFLICT`. Default: any.
   */
  revision: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  ...CALL_OPTIONS,
};
export const SET_OPTIONS = {
  ...DELETE_OPTIONS,
  /** ms until the key is removed everywhere, unless it is set again; 0: never. Default 0. */
  ttl: integer({ default: 0, min: 0, max: 1_000_000_000_000 }),
};
export const WATCH_OPTIONS = {
  /** Queued changes; above, the oldest is dropped, with an event and a count. Default 10,000. */
  maxQueue: integer({ default: 10_000 }),
  /** Bytes of queued changes, as encoded; a single one may be larger. Default 67,108,864. */
  maxQueueBytes: bytes({ default: 67_108_864 }),
};

export type CloneDeleteOptions = Given<typeof DELETE_OPTIONS>;
export type CloneSetOptions = Given<typeof SET_OPTIONS>;
export type CloneWatchOptions = Given<typeof WATCH_OPTIONS>;
export type WatchSettings = Settings<typeof WATCH_OPTIONS>;

export interface ClientRulesOptions
  extends Pick<Settings<typeof OPTIONS>, "heartbeatInterval" | "liveness" | "maxPending" | "maxBytes"> {
  readonly subtree: Buffer;
  readonly attemptTimeout: number;
  /** 8 random bytes: the first half of this client's UUIDs. */
  readonly token: Buffer;
  /** For jitter: from 0 up to 1. */
  readonly random: () => number;
}

interface ClientSettings
  extends Omit<Settings<typeof OPTIONS>, "subtree" | "attemptTimeout">,
    ClientRulesOptions {
  readonly coder: ClientCoder;
  readonly sockets: CommonOptions;
}

/**
 * @param onInvalid called for a key or value that cannot be decoded
 * @throws InvalidArgumentError `EINVAL`
 */
export function clientSettings<T>(
  options: CloneClientOptions<T>,
  onInvalid: (key: Buffer, error: unknown) => void,
): ClientSettings {
  const settings = checkOptions("CloneClient", OPTIONS, options);
  const { keyEncoding, context, heartbeatInterval, liveness } = settings;
  const { attemptTimeout = heartbeatInterval * (liveness + 1) } = settings;
  return {
    ...settings,
    coder: new ClientCoder(settings.codec, keyEncoding, onInvalid),
    sockets: {
      linger: 0,
      reconnectInterval: Math.min(RECONNECT, heartbeatInterval),
      reconnectMaxInterval: Math.min(MAX_RECONNECT, Math.max(RECONNECT, heartbeatInterval)),
      ...settings.socketOptions,
      ...(context === undefined ? {} : { context }),
    },
    subtree: subtreeOf(settings.subtree === undefined ? "" : settings.subtree),
    attemptTimeout,
    token: crypto.randomBytes(8),
    random: Math.random,
  };
}

const SET_DEFAULTS = checkOptions("CloneClient.set", SET_OPTIONS, {});

/** @throws InvalidArgumentError `EINVAL` */
export function setSettings(options: CloneSetOptions | undefined): Settings<typeof SET_OPTIONS> {
  return options === undefined ? SET_DEFAULTS : checkOptions("CloneClient.set", SET_OPTIONS, options);
}

function subtreeOf(subtree: string | Uint8Array): Buffer {
  const given = typeof subtree === "string" || isBytes(subtree);
  const bytes = given ? Buffer.from(subtree as string) : undefined;
  if (bytes !== undefined && isSubtree(bytes)) return bytes;
  throw invalidArgument(
    `Option subtree must be empty, or /segment/…/ of at most ${MAX_KEY} bytes`,
    bytes?.toString() ?? subtree,
  );
}

/**
 * State of a client's map.
 *
 *   syncing  loading; the map before stays readable, at first empty
 *   live     each update is applied at once
 *   stale    perhaps outdated: the server is silent or the connection is lost
 *   closed
 */
export type CloneState = StatisticsOf<typeof CLONE_CLIENT>["state"];

export const EVENTS = {
  /** `silentFor`: ms since the last message of the server. */
  "state:changed": event<{ readonly state: CloneState; readonly silentFor: number }>(),
  /** The client tries the next server. */
  "server:failed-over": event<{
    readonly from: string;
    readonly to: string;
    readonly reason: "silent" | "disconnected" | "no-snapshot" | "refused" | "removed";
  }>(),
  /** Updates were missed, or the server's sequence went backwards (`expected` and `got`): the map is loaded again. */
  "update:missed": event<{ readonly expected: number; readonly got: number }>(),
  /**
   * A server refused this client, has another key, or speaks another protocol. The client continues to try its
   * servers. `server`: its snapshot endpoint.
   */
  "handshake:failed": event<{
    readonly server: string;
    readonly port: "snapshot" | "publisher" | "collector";
    readonly error: ShoalError;
  }>(),
  /** An invalid message was dropped. */
  "message:invalid": event<{
    readonly port: "snapshot" | "publisher";
    readonly reason: CloneFault | "too-large";
  }>(),
  /** A key is not text, or a value fails in the codec or schema: the entry cannot be read. */
  "entry:invalid": event<{ readonly key: Buffer; readonly error: unknown }>(),
  /** A `watch` with a full queue lost its oldest change. */
  "change:dropped": event<{ readonly lost: number }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

/** Events of a client. */
export type CloneClientEvent = EventsOf<typeof EVENTS>;

/** Counters since the start, and the present state. */
export type CloneClientStats = StatisticsOf<typeof CLONE_CLIENT>;

export interface CloneEntry<V> {
  readonly value: V;
  /** Sequence of the last `set`, for the option `revision`. */
  readonly revision: number;
}

/** A change, from `watch`. */
export interface CloneChange<V> {
  readonly type: "set" | "delete";
  readonly key: string;
  /** `undefined`: deleted. */
  readonly value: V | undefined;
  /** `undefined`: a new key, or an unreadable value. */
  readonly old: V | undefined;
  /** Its sequence: the revision of a set key. */
  readonly sequence: number;
  /** Whether this client made it. */
  readonly own: boolean;
  /** A difference between a new snapshot and the map before; intermediate changes are unknown. */
  readonly resync: boolean;
}

/** Bytes, or a text in `keyEncoding`. */
export type CloneKey = string | Uint8Array;

/** Keys and values as bytes; invalid ones are reported. */
export class ClientCoder {
  readonly #codec: Codec<unknown> | undefined;
  readonly #encoding: "utf8" | "latin1";
  readonly #onInvalid: (key: Buffer, error: unknown) => void;

  /** @param onInvalid called for a key that is not text, and an unreadable value */
  constructor(
    codec: Codec<unknown> | undefined,
    encoding: "utf8" | "latin1",
    onInvalid: (key: Buffer, error: unknown) => void,
  ) {
    this.#codec = codec;
    this.#encoding = encoding;
    this.#onInvalid = onInvalid;
  }

  /** @throws InvalidArgumentError `EINVAL` */
  bytes(key: CloneKey): Buffer {
    if (typeof key === "string") return Buffer.from(key, this.#encoding);
    if (isBytes(key)) return Buffer.from(key);
    throw invalidArgument("A key must be text or bytes", key);
  }

  /** @throws InvalidArgumentError `EINVAL` for an invalid key */
  key(key: CloneKey): Buffer {
    const bytes = this.bytes(key);
    const fault = keyFault(bytes);
    if (fault === undefined) return bytes;
    const what =
      fault === "key"
        ? `a key must have 1 to ${MAX_KEY} bytes; got ${bytes.length}`
        : `${String(key)} is a command`;
    throw new InvalidArgumentError(`No key: ${what}`);
  }

  /** @returns a copy. @throws InvalidMessageError `ERR_INVALID_MESSAGE` */
  encode(value: unknown): Buffer {
    if (this.#codec === undefined) {
      // The program may change it before a repetition.
      if (typeof value === "string" || isBytes(value)) return Buffer.from(value as string);
      throw invalidArgument("A value must be text, bytes or what a codec encodes", value);
    }
    return Buffer.from(encodeValue(this.#codec, value) as string);
  }

  decode<V>(key: Buffer, bytes: Buffer): V | undefined {
    if (this.#codec === undefined) return bytes as V;
    try {
      return this.#codec.decode(bytes) as V;
    } catch (error) {
      this.#onInvalid(key, error);
      return undefined;
    }
  }

  /** `undefined` for invalid UTF-8. */
  text(key: Buffer): string | undefined {
    if (this.#encoding === "latin1" || isUtf8(key)) return key.toString(this.#encoding);
    this.#onInvalid(key, new InvalidMessageError("The key is no UTF-8 text; see the option keyEncoding"));
    return undefined;
  }
}
