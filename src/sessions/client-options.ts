/** What a client of sessions takes, reports and counts. */

import { describe } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { EventNames } from "../core/event-stream.js";
import { ENDPOINT_SOURCE_EVENTS, type EndpointSourceEvent } from "../patterns/kit/endpoint-list.js";
import {
  anything,
  boolean,
  bytes,
  checkOptions,
  choice,
  integer,
  object,
  text,
} from "../patterns/kit/options.js";
import type { DealerOptions } from "../sockets/request-reply.js";
import { MAX_SETTLED, MAX_TOKEN } from "./bounds.js";
import type { SessionFailure } from "./error.js";
import { isSessionId, type SessionDropPolicy } from "./records.js";

/** Options of {@link SessionClient}; times are in ms. */
export interface SessionClientOptions {
  /** The session's: 1 to 64 letters, digits and `. _ : @ -`, the first a letter or digit. */
  readonly id: string;
  /** What the servers' `authorize` gets: a text of at most 512 bytes. Default "". */
  readonly token?: string | undefined;
  /** Whether what is kept of an earlier session is removed when this client opens it first. Default false. */
  readonly clean?: boolean | undefined;
  /** ms that the session is kept without a connection; 0: not at all, -1: as long as the servers allow. Default 3,600,000. */
  readonly expiry?: number | undefined;
  /** Messages that it keeps until they are acknowledged. Default 10,000. */
  readonly maxQueue?: number | undefined;
  /** Bytes of their topics and data. Default 64 MiB. */
  readonly maxQueueBytes?: number | undefined;
  /** ms that a message is kept; -1, the default: no limit. */
  readonly maxAge?: number | undefined;
  /**
   * What happens when a message has no room: the `"oldest"` goes, or the `"newest"`, which is the one that comes; with `"refuse"` its publisher has an
   * error, and no session gets it. Default `"oldest"`.
   */
  readonly drop?: SessionDropPolicy | undefined;
  /** Messages that this client has without acknowledging one; further ones wait in the store. 1 to 8,192, default 256. */
  readonly maxUnacknowledged?: number | undefined;
  /** Bytes of them; a single one may be larger. Default 16 MiB. */
  readonly maxUnacknowledgedBytes?: number | undefined;
  /** ms of a call; -1: no limit. Default 30,000. */
  readonly timeout?: number | undefined;
  /** Calls without an answer; one more rejects with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  readonly maxPending?: number | undefined;
  /** Bytes of what they publish. Default 64 MiB. */
  readonly maxPendingBytes?: number | undefined;
  /** ms that a server has to open the session until the next one is asked. Default 2,000. */
  readonly openTimeout?: number | undefined;
  /** ms between heartbeats, and of silence after which a server is left. Default 200 and 700. */
  readonly heartbeatInterval?: number | undefined;
  readonly heartbeatTimeout?: number | undefined;
  /** ms before the servers are tried again when none has opened the session, doubling, half of it by chance. Default 50. */
  readonly reconnectInterval?: number | undefined;
  /** Where the doubling ends. Default 1,000. */
  readonly reconnectMaxInterval?: number | undefined;
  /** Options of the DEALERs, such as security. */
  readonly socketOptions?: DealerOptions | undefined;
}

/** Options of one publication. */
export interface SessionPublishOptions {
  /**
   * What the program knows the message by, at most 128 bytes: of several publications of a session with one id, within its last 1,000 ids and ten
   * minutes, the first one alone is kept.
   */
  readonly id?: string | undefined;
  /** ms; -1: no limit. Default: the client's. */
  readonly timeout?: number | undefined;
  /** Gives the call up; the message may be published all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** What happens to a client of sessions. */
export type SessionClientEvent =
  /** A server has opened the session; `queued` messages are kept for it. */
  | {
      readonly type: "session:opened";
      readonly endpoint: string;
      readonly isPresent: boolean;
      readonly queued: number;
    }
  /** The connection was lost, or was not made; the next one follows in `delay` ms. */
  | {
      readonly type: "session:lost";
      readonly endpoint: string;
      readonly reason: string;
      readonly delay: number;
    }
  /** The session is over for this client: another one has it, or it was removed or refused. All calls reject from now on. */
  | { readonly type: "session:ended"; readonly reason: SessionFailure; readonly text: string }
  /** Messages for this session were dropped: `count` since it was reported last, `old` of all those for their age. */
  | { readonly type: "messages:dropped"; readonly count: number; readonly old: number }
  /** A server sent what is not a message of this protocol. */
  | { readonly type: "message:invalid"; readonly reason: string }
  | EndpointSourceEvent;

/** The statistics of a client of sessions. */
export interface SessionClientStats {
  readonly isOpen: boolean;
  /** Sessions opened: 1, and 1 for each reconnection. */
  readonly connections: number;
  readonly received: number;
  readonly acknowledged: number;
  /** Publications that were answered, and those of them that were known already. */
  readonly published: number;
  readonly duplicates: number;
  /** Messages that the session had no room for. */
  readonly dropped: number;
  /** Publications without an answer. */
  readonly publishing: number;
  /** Messages that were not acknowledged; those of them that the program has not received. */
  readonly unacknowledged: number;
  readonly waiting: number;
}

export const SESSION_CLIENT_EVENTS: EventNames<SessionClientEvent> = {
  "session:opened": true,
  "session:lost": true,
  "session:ended": true,
  "messages:dropped": true,
  "message:invalid": true,
  ...ENDPOINT_SOURCE_EVENTS,
};

const OPTIONS = {
  id: text(),
  token: text(),
  clean: boolean(false),
  expiry: integer({ default: 3_600_000, min: -1, max: Number.MAX_SAFE_INTEGER }),
  maxQueue: integer({ default: 10_000 }),
  maxQueueBytes: bytes({ default: 67_108_864 }),
  maxAge: integer({ default: -1, min: -1, max: Number.MAX_SAFE_INTEGER }),
  drop: choice<SessionDropPolicy>(["oldest", "newest", "refuse"], "oldest"),
  maxUnacknowledged: integer({ default: 256, max: MAX_SETTLED }),
  maxUnacknowledgedBytes: bytes({ default: 16_777_216 }),
  timeout: integer({ default: 30_000, min: -1 }),
  maxPending: integer({ default: 10_000 }),
  maxPendingBytes: bytes({ default: 67_108_864 }),
  openTimeout: integer({ default: 2_000 }),
  heartbeatInterval: integer({ default: 200 }),
  heartbeatTimeout: integer({ default: 700 }),
  reconnectInterval: integer({ default: 50 }),
  reconnectMaxInterval: integer({ default: 1_000 }),
  socketOptions: object<DealerOptions>(),
};

/** Of `publish`. */
export const PUBLISH_OPTIONS = {
  id: text(),
  timeout: integer({ min: -1 }),
  signal: anything<AbortSignal>(),
};

export type SessionClientSettings = ReturnType<typeof clientSettings>;

/** @throws InvalidArgumentError `EINVAL` */
export function clientSettings(options: SessionClientOptions) {
  const settings = checkOptions("SessionClient", OPTIONS, options);
  const { id, token = "" } = settings;
  if (!isSessionId(id))
    throw new InvalidArgumentError(
      `Option id of SessionClient has 1 to 64 letters, digits and . _ : @ - and begins with a letter or digit; got ${describe(id)}`,
    );
  if (Buffer.byteLength(token) > MAX_TOKEN)
    throw new InvalidArgumentError(`Option token of SessionClient has ${MAX_TOKEN} bytes at most`);
  return { ...settings, id, token };
}
