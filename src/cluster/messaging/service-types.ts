/** Arguments and results of `send` and `query`. */
import type { ShoalError } from "../../core/errors.js";
import type { Member } from "../node/member.js";
import type { ResolverStep } from "../resolver.js";
import type { ClusterChannel } from "./channels.js";
import type { VetoError } from "./hooks.js";
import type { NodeLinks } from "./links.js";
import type { MulticastGroup } from "./multicast.js";

/** Selects members: the union of those found, each once. This node is included only with `self`. */
export interface ServiceSelection {
  /** Members, their ids or their names. */
  readonly services?: Iterable<Member | string> | undefined;
  /** Conditions as for the node's `resolver`, in a non-empty array; or a resolver or another iterable of members. */
  readonly resolver?: readonly ResolverStep[] | Iterable<Member> | undefined;
  /** Tags that a member must all have. */
  readonly resolve?: string | readonly string[] | undefined;
  /** Whether to include this node if it is found. Default `false`. */
  readonly self?: boolean | undefined;
}

export interface ServiceSendOptions extends ServiceSelection {
  /**
   * Whether to send one datagram to the group, without acknowledgement: it may be lost, and overtakes other messages.
   * Without a selection it goes to all. Links are used instead if the message is too large, or the node has no group.
   * Default `false`.
   */
  readonly broadcast?: boolean | undefined;
  /**
   * Names of allowed protocols. If the member is reached by another one, the message uses a separate link with these.
   * It is ordered only relative to messages with the same protocols. Default: all.
   */
  readonly protocols?: readonly string[] | undefined;
  /** A number from 0 to 255, or a name. Default 0. */
  readonly channel?: ClusterChannel | undefined;
  /** Request unique id: at most 128 bytes, passed to the receivers. */
  readonly ruid?: string | undefined;
  /** A text arrives as text, bytes as bytes. Default "". */
  readonly data?: string | Uint8Array | undefined;
}

export interface ServiceQueryOptions extends ServiceSelection {
  /** As for `send`. */
  readonly protocols?: readonly string[] | undefined;
  readonly channel?: ClusterChannel | undefined;
  /** The `ruid` for the handlers. Default: the query's number. */
  readonly id?: string | undefined;
  readonly data?: string | Uint8Array | undefined;
  /** ms until members without a response count as missing; -1: no limit. Default 5,000. */
  readonly timeout?: number | undefined;
  /** Ends the query. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Bytes of responses that were not read, or that `collect` has gathered; further responses are failures `unread`.
   * Default 16 MiB.
   */
  readonly maxReplyBytes?: number | undefined;
}

/** A member to which a message was not sent. */
export interface ServiceSendFailure {
  /** Its name, or how the selection named it. */
  readonly name: string;
  /** `undefined` if there is no such live member. */
  readonly service: Member | undefined;
  readonly error: ShoalError;
}

export interface ServiceSendResult {
  /** Their links have accepted the message, or a datagram was sent. */
  readonly sent: readonly Member[];
  readonly failed: readonly ServiceSendFailure[];
  /** Transport: links, datagram, both for different members, or none. */
  readonly means: "links" | "datagram" | "both" | "none";
  /** Answer of a send hook. Members to which the message did not go for this reason are in neither list. */
  readonly answer: string | Buffer | undefined;
}

/** A message from a member. */
export interface ServiceMessage {
  readonly service: Member;
  readonly channel: ClusterChannel;
  /** Empty if not given. */
  readonly ruid: string;
  readonly data: string | Buffer;
  /** `tcp`, `ipc`, `udp`, `self` … */
  readonly protocol: string;
}

/** A query from a member. Its `ruid` is the query's id. */
export type ServiceQuery = ServiceMessage;

/** Handler of messages. A pending promise delays its sender once 1,024 messages wait. */
export type ServiceMessageHandler = (message: ServiceMessage) => unknown;
/** Handler of queries; returns the answer, or nothing for an empty text. Errors are failures (`exposeErrors`). */
export type ServiceQueryHandler = (
  query: ServiceQuery,
) => string | Uint8Array | undefined | Promise<string | Uint8Array | undefined>;

export interface HandlerOptions {
  /** Default: all joined ones. */
  readonly channels?: readonly ClusterChannel[] | undefined;
  /**
   * ms for a promise of the handler; -1: no limit. Default 60,000. Afterwards it counts as failed, with an event
   * `handler:failed` and TimeoutError `ETIMEDOUT`: a query gets that failure, and a later result is dropped.
   */
  readonly timeout?: number | undefined;
  /**
   * For queries: whether the requester gets the message of any error, not only of a `ServiceError` or an error with
   * `expose: true`. Default `false`.
   */
  readonly exposeErrors?: boolean | undefined;
}

export type ServicesEvent =
  /** Another member's hook vetoed a message of this node, with a reason. */
  | {
      readonly type: "message:vetoed";
      readonly member: Member;
      readonly channel: ClusterChannel;
      readonly ruid: string;
      readonly reason: string;
    }
  /** A hook of this node threw, or vetoed a received message. */
  | { readonly type: "hook:failed"; readonly member: Member; readonly error: VetoError }
  /** A handler of this node threw. */
  | { readonly type: "handler:failed"; readonly member: Member; readonly error: unknown };

export interface ServicesStats {
  /** Sent messages and queries, one per receiver. */
  readonly sent: number;
  /** Messages and queries that could not be sent, one per receiver. */
  readonly failed: number;
  /** Messages and queries passed to handlers. */
  readonly received: number;
  /** Messages dropped before decoding, since their channel is not joined. */
  readonly notJoined: number;
  /** Messages without a handler. */
  readonly unhandled: number;
  /** Messages dropped because a hook vetoed or answered them. */
  readonly vetoed: number;
  readonly answered: number;
  /** Waiting queries, and the responses that they wait for. */
  readonly queries: number;
  readonly awaited: number;
  /** Messages and queries being handled, and their bytes. */
  readonly handling: number;
  readonly handlingBytes: number;
  /** Refused items by reason: `late`, `double`, `foreign` responses; malformed ones by their fault. */
  readonly refused: Readonly<Record<string, number>>;
}

export type ServiceLinks = Pick<
  NodeLinks,
  "send" | "drop" | "room" | "laneOf" | "protocolOf" | "protocolFrom" | "whenLinked"
>;

export interface ServicesEffects {
  self(): Member;
  /** The live member with an id or a name; may be this node. */
  find(nameOrId: string): Member | undefined;
  /** Live members that match, including this node. */
  resolve(steps: readonly ResolverStep[]): Iterable<Member>;
  /** Live members except this node. */
  others(): readonly Member[];
  links(): ServiceLinks;
  /** Whether a lost member may return. */
  mayReturn(id: string): boolean;
  /** Settles when a new member's messaging address is known, or after a timeout; `undefined` if it is known. */
  whenKnown?(id: string): Promise<void> | undefined;
  /** Whether a member's details are known, or it is not a member. Default: always. */
  isKnown?(id: string): boolean;
  report(event: ServicesEvent): void;
  /** The cluster's group; `undefined`: no datagrams. */
  readonly group?: MulticastGroup | undefined;
}

export interface ServicesOptions {
  /** Channels joined from the start. Default 0, 1 and 2. */
  readonly channels?: readonly ClusterChannel[] | undefined;
  readonly hookTimeout?: number | undefined;
  /** Names of this node's protocols, including the program's. */
  readonly protocols?: readonly string[] | undefined;
  /** Number before the first query's. Default: random, so that answers to an earlier life match no query. */
  readonly firstQuery?: number | undefined;
}
