/** Arguments and results of `send` and `query`. */
import type { ShoalError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { anything, boolean, bytes, type Given, integer } from "../../kit/options.js";
import type { MEMBER_MESSAGES } from "../../statistics/cluster.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import type { Member } from "../node/member.js";
import type { ResolverStep } from "../resolver.js";
import type { ClusterChannel } from "./channels.js";
import type { VetoError } from "./hooks.js";

const SELECTION = {
  /** Members, their ids or their names. */
  members: anything<Iterable<Member | string>>(),
  /** A non-empty array of conditions, as for the node's `resolver`; or an iterable of members, such as a resolver. */
  resolver: anything<readonly ResolverStep[] | Iterable<Member>>(),
  /** Tags that a member must all have. */
  resolve: anything<string | readonly string[]>(),
  /** Whether to include this node if it is found. Default `false`. */
  self: boolean(false),
};

export const SEND_OPTIONS = {
  ...SELECTION,
  /**
   * Whether to send one datagram to the group: it may be lost, and overtakes other messages. Without a selection it
   * goes to all. Links are used if the message is too large, or the node has no group. Default `false`.
   */
  broadcast: boolean(false),
  /**
   * Names of allowed protocols: the message is written once to a stream of the first of these that works, and is in
   * order only with such messages. It fails if none of them leads to the member. Default: the link, by any.
   */
  protocols: anything<readonly string[]>(),
  /** A number from 0 to 255, or a name. Default 0. */
  channel: anything<ClusterChannel>(),
  /** Request unique id for the receivers: at most 128 bytes. */
  ruid: anything<string>(),
  /** Arrives as text or as bytes. Default "". */
  data: anything<string | Uint8Array>(),
};

export const QUERY_OPTIONS = {
  ...SELECTION,
  /** As for `send`. */
  protocols: anything<readonly string[]>(),
  channel: anything<ClusterChannel>(),
  /** The `ruid` for the handlers. Default: the query's number. */
  id: anything<string>(),
  data: anything<string | Uint8Array>(),
  /** ms for all responses; -1: no limit. Default 5,000. */
  timeout: integer({ default: 5_000, min: -1 }),
  /** Ends the query. */
  signal: anything<AbortSignal>(),
  /** Bytes of unread responses, or for `collect` of all; further responses are failures `unread`. Default 16 MiB. */
  maxReplyBytes: bytes({ default: 16_777_216, min: 0 }),
};

/** Selects members: the union of those found, each once. This node is included only with `self`. */
export type MemberSelection = Given<typeof SELECTION>;
export type MemberSendOptions = Given<typeof SEND_OPTIONS>;
export type MemberQueryOptions = Given<typeof QUERY_OPTIONS>;

export interface MemberSendFailure {
  /** As the selection named it. */
  readonly name: string;
  /** `undefined` if there is no such live member. */
  readonly member: Member | undefined;
  readonly error: ShoalError;
}

export interface MemberSendResult {
  /** Their links have accepted the message, or a datagram was sent. With `protocols`: a stream has it. */
  readonly sent: readonly Member[];
  readonly failed: readonly MemberSendFailure[];
  readonly means: "links" | "datagram" | "both" | "none";
  /** Of a send hook. Members that got no message for this reason are in neither list. */
  readonly answer: string | Buffer | undefined;
}

/** A message from a member. */
export interface MemberMessage {
  readonly member: Member;
  readonly channel: ClusterChannel;
  /** Empty if not given. */
  readonly ruid: string;
  readonly data: string | Buffer;
  /** `tcp`, `ipc`, `udp`, `self` … */
  readonly protocol: string;
}

/** Its `ruid` is the query's id. */
export type MemberQuery = MemberMessage;

/** While 16,384 promises of handlers are pending, further messages are dropped. */
export type MemberMessageHandler = (message: MemberMessage) => unknown;
/** Returns the answer, or nothing for an empty text. An error is a failure, with its message if it has `expose: true`. */
export type MemberQueryHandler = (
  query: MemberQuery,
) => string | Uint8Array | undefined | Promise<string | Uint8Array | undefined>;

export const HANDLER_OPTIONS = {
  /** Default: all joined ones. */
  channels: anything<readonly ClusterChannel[]>(),
  /**
   * ms for a promise of the handler; -1: no limit. Default 60,000. Afterwards it has failed with TimeoutError
   * `ETIMEDOUT`, as an event `handler:failed` and for a query.
   */
  timeout: integer({ default: 60_000, min: -1 }),
};

export type HandlerOptions = Given<typeof HANDLER_OPTIONS>;

export const MEMBER_MESSAGES_EVENTS = {
  /** A hook of this node threw, or vetoed a received message. */
  "hook:failed": event<{ readonly member: Member; readonly error: VetoError }>(),
  /** A handler of this node threw. */
  "handler:failed": event<{ readonly member: Member; readonly error: unknown }>(),
};

export type MemberMessagesEvent = EventsOf<typeof MEMBER_MESSAGES_EVENTS>;

export type MemberMessagesStats = StatisticsOf<typeof MEMBER_MESSAGES>;
