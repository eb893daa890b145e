/** Options, events and statistics of session clients. */
import { invalidArgument } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { type EventsOf, event } from "../core/event-stream.js";
import { CALL_OPTIONS } from "../kit/calls.js";
import { ENDPOINT_SOURCE_EVENTS } from "../kit/endpoint-list.js";
import {
  boolean,
  bytes,
  checkOptions,
  choice,
  type Given,
  type GivenWith,
  integer,
  object,
  text,
} from "../kit/options.js";
import type { DealerOptions } from "../sockets/request-reply.js";
import type { SessionFailure } from "./protocol.js";
import { isSessionId, MAX_SETTLED, MAX_TOKEN, type SessionDropPolicy } from "./records.js";

export const SESSION_CLIENT_EVENTS = {
  "session:opened": event<{
    readonly endpoint: string;
    readonly isPresent: boolean;
    readonly queued: number;
  }>(),
  /** The connection ended or failed; the next attempt follows in `delay` ms. */
  "session:lost": event<{ readonly endpoint: string; readonly reason: string; readonly delay: number }>(),
  /** Another program has the session, or it was removed or refused. All calls reject. */
  "session:ended": event<{ readonly reason: SessionFailure; readonly text: string }>(),
  /** `count` messages dropped since the last report; `old` of all drops were by age. */
  "messages:dropped": event<{ readonly count: number; readonly old: number }>(),
  "message:invalid": event<{ readonly reason: string }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type SessionClientEvent = EventsOf<typeof SESSION_CLIENT_EVENTS>;

export interface SessionClientStats {
  readonly isOpen: boolean;
  /** Times that a server opened the session. */
  readonly connections: number;
  readonly received: number;
  readonly acknowledged: number;
  /** Answered publications, and duplicates among them. */
  readonly published: number;
  readonly duplicates: number;
  readonly dropped: number;
  /** Unanswered publications. */
  readonly publishing: number;
  /** Unacknowledged messages, and those the program has yet to receive. */
  readonly unacknowledged: number;
  readonly waiting: number;
}

const OPTIONS = {
  /** Session id: 1 to 64 letters, digits and `. _ : @ -`, the first a letter or digit. */
  id: text(),
  /** Text for the servers' `authorize`, at most 512 bytes. Default "". */
  token: text(),
  /** Removes an earlier session of this id on the first opening. Default false. */
  clean: boolean(false),
  /** Lifetime without a connection; 0: none, -1: as long as servers allow. Default 3,600,000. */
  expiry: integer({ default: 3_600_000, min: -1, max: Number.MAX_SAFE_INTEGER }),
  /** Unacknowledged messages in the session. Default 10,000. */
  maxQueue: integer({ default: 10_000 }),
  /** Bytes of their topics and data. Default 64 MiB. */
  maxQueueBytes: bytes({ default: 67_108_864 }),
  /** Age at which messages are dropped; -1: no limit. Default -1. */
  maxAge: integer({ default: -1, min: -1, max: Number.MAX_SAFE_INTEGER }),
  /** What a full queue drops: `"oldest"` or `"newest"`; `"refuse"` rejects the publication. Default `"oldest"`. */
  drop: choice<SessionDropPolicy>(["oldest", "newest", "refuse"], "oldest"),
  /** Unacknowledged messages that this client takes, 1 to 8,192; others wait in the store. Default 256. */
  maxUnacknowledged: integer({ default: 256, max: MAX_SETTLED }),
  /** Bytes of them; one message may be larger. Default 16 MiB. */
  maxUnacknowledgedBytes: bytes({ default: 16_777_216 }),
  /** Limit of a call; -1: none. Default 30,000. */
  timeout: integer({ default: 30_000, min: -1 }),
  /** Calls without an answer; further ones reject with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  maxPending: integer({ default: 10_000 }),
  /** Bytes of their data. Default 64 MiB. */
  maxPendingBytes: bytes({ default: 67_108_864 }),
  /** Time for a server to open the session. Default 2,000. */
  openTimeout: integer({ default: 2_000 }),
  /** Time between the DEALER's PINGs. Default 200. */
  heartbeatInterval: integer({ default: 200 }),
  /** Silence after a PING until the client leaves; doubles, up to 30 s, after connections without an answer to a publication. Default 700. */
  heartbeatTimeout: integer({ default: 700 }),
  /** Delay after all servers failed; doubles each time, half of it random. Default 50. */
  reconnectInterval: integer({ default: 50 }),
  /** Longest such delay. Default 1,000. */
  reconnectMaxInterval: integer({ default: 1_000 }),
  /** Options of the DEALER, such as security, without `routingId`. */
  socketOptions: object<DealerOptions>(),
};

/** Options of {@link SessionClient}; times in ms. */
export type SessionClientOptions = GivenWith<typeof OPTIONS, "id">;

export const PUBLISH_OPTIONS = {
  /** Message id of at most 128 bytes: a session publishes it once among its last 1,000 ids within ten minutes. */
  id: text(),
  ...CALL_OPTIONS,
};

export type SessionPublishOptions = Given<typeof PUBLISH_OPTIONS>;

export type SessionClientSettings = ReturnType<typeof clientSettings>;

export function clientSettings(options: SessionClientOptions) {
  const settings = checkOptions("SessionClient", OPTIONS, options);
  const { id, token = "", socketOptions } = settings;
  if (!isSessionId(id))
    throw invalidArgument(
      "Option id of SessionClient must have 1 to 64 letters, digits and . _ : @ - and begin with a letter or digit",
      id,
    );
  if (Buffer.byteLength(token) > MAX_TOKEN)
    throw new InvalidArgumentError(
      `Option token of SessionClient must have at most ${MAX_TOKEN} bytes; got ${Buffer.byteLength(token)}`,
    );
  if (socketOptions?.routingId !== undefined)
    throw new InvalidArgumentError(
      "Option socketOptions of SessionClient must have no routingId: the server names each connection",
    );
  return { ...settings, id, token };
}
