/** What programs give to `send` and `query` of a bus, and what they get. */
import type { ShoalError } from "../../core/errors.js";
import type { Member } from "../node/member.js";
import type { ResolverStep } from "../resolver.js";
import type { ClusterChannel } from "./channels.js";
import type { VetoError } from "./hooks.js";
import type { NodeLinks } from "./links.js";
import type { MulticastGroup } from "./multicast.js";

/** Which services; the union of what these find, each once. This node is one of them only with `self`. */
export interface ServiceSelection {
  /** Services, their ids or their names. */
  readonly services?: Iterable<Member | string> | undefined;
  /** Conditions, as `resolver` of the node takes them, in an array that is not empty; or a resolver, or another iterable of services. */
  readonly resolver?: readonly ResolverStep[] | Iterable<Member> | undefined;
  /** Tags, all of which a service has. */
  readonly resolve?: string | readonly string[] | undefined;
  /** Whether this node is one of them, where it is found. Default `false`. */
  readonly self?: boolean | undefined;
}

/** What `send` of a bus takes. */
export interface ServiceSendOptions extends ServiceSelection {
  /**
   * Whether it goes by one datagram to the group, which no service acknowledges: it may be lost, and overtakes other messages. Without a selection it goes to
   * all. One that is too large for a datagram goes by links, as does one of a node that has no group. Default `false`.
   */
  readonly broadcast?: boolean | undefined;
  /**
   * Those that may be used, by name. Where the service is reached by others, too, the message goes by a link that has these alone, which is made for
   * it, and arrives in order with those that name the same protocols, in no order with others. Default: all.
   */
  readonly protocols?: readonly string[] | undefined;
  /** A number from 0 to 255, or a name. Default 0. */
  readonly channel?: ClusterChannel | undefined;
  /** Request unique id: at most 128 bytes, which the recipients get with the data. */
  readonly ruid?: string | undefined;
  /** A text arrives as a text, bytes as bytes. Default "". */
  readonly data?: string | Uint8Array | undefined;
}

/** What `query` of a bus takes. */
export interface ServiceQueryOptions extends ServiceSelection {
  /** As for `send`. */
  readonly protocols?: readonly string[] | undefined;
  readonly channel?: ClusterChannel | undefined;
  /** The `ruid` that the handlers see. Default: the query's number. */
  readonly id?: string | undefined;
  readonly data?: string | Uint8Array | undefined;
  /** ms until those that have not responded are missing; -1: no limit. Default 5,000. */
  readonly timeout?: number | undefined;
  /** Ends the query. */
  readonly signal?: AbortSignal | undefined;
  /** Bytes of responses that wait to be read, or that `collect` has gathered; what is past them is a failure `unread`. Default 16 MiB. */
  readonly maxReplyBytes?: number | undefined;
}

/** A service that a message did not go to. */
export interface ServiceSendFailure {
  /** Its name, or what the selection called it. */
  readonly name: string;
  /** `undefined`: there is no such live service. */
  readonly service: Member | undefined;
  readonly error: ShoalError;
}

/** What became of a message. */
export interface ServiceSendResult {
  /** Those that it went to: their links have it, or a datagram for them was sent. */
  readonly sent: readonly Member[];
  readonly failed: readonly ServiceSendFailure[];
  /** How: by links; by datagram; some in this way and some in that; not at all. */
  readonly means: "links" | "datagram" | "both" | "none";
  /** What a hook of sending answered: those that it was sent to otherwise are in neither list. */
  readonly answer: string | Buffer | undefined;
}

/** A message that a service sent. */
export interface ServiceMessage {
  readonly service: Member;
  readonly channel: ClusterChannel;
  /** "": none. */
  readonly ruid: string;
  readonly data: string | Buffer;
  /** How it came: `tcp`, `ipc`, `udp`, `self` … */
  readonly protocol: string;
}

/** A query of a service. Its `ruid` is the query's id. */
export type ServiceQuery = ServiceMessage;

/** What a handler of messages may do: wait, which holds up its sender when 1,024 messages wait. */
export type ServiceMessageHandler = (message: ServiceMessage) => unknown;
/** What a handler of queries gives: the answer; nothing is an empty text. What it throws is a failure (`exposeErrors`). */
export type ServiceQueryHandler = (
  query: ServiceQuery,
) => string | Uint8Array | undefined | Promise<string | Uint8Array | undefined>;

/** Which channels a handler is for, and how long it may take. */
export interface HandlerOptions {
  /** Default: all that are joined. */
  readonly channels?: readonly ClusterChannel[] | undefined;
  /**
   * ms that a promise of the handler may take, -1: no limit. Default 60,000. Then it counts as failed, with an event `handler:failed` and
   * TimeoutError `ETIMEDOUT`: a query is answered by that failure, and what the handler returns later is dropped.
   */
  readonly timeout?: number | undefined;
  /**
   * Of queries: whether the requester gets the message of any error that the handler throws. Otherwise it gets that of a `ServiceError`, and of
   * an error with `expose: true`. Default `false`.
   */
  readonly exposeErrors?: boolean | undefined;
}

/** What happens in the messaging between services. */
export type ServicesEvent =
  /** A hook of another service vetoed a message of this one, and gave a reason. */
  | {
      readonly type: "message:vetoed";
      readonly member: Member;
      readonly channel: ClusterChannel;
      readonly ruid: string;
      readonly reason: string;
    }
  /** A hook of this node threw, or vetoed what came of a service. */
  | { readonly type: "hook:failed"; readonly member: Member; readonly error: VetoError }
  /** A handler of this node threw. */
  | { readonly type: "handler:failed"; readonly member: Member; readonly error: unknown };

/** What is counted of the messaging between services. */
export interface ServicesStats {
  /** Messages and queries that links, datagrams or this node took, one for each recipient. */
  readonly sent: number;
  /** Those that went nowhere, one for each recipient. */
  readonly failed: number;
  /** Messages and queries that handlers got. */
  readonly received: number;
  /** Dropped before they were decoded: their channel is not joined. */
  readonly notJoined: number;
  /** Messages that no handler is for. */
  readonly unhandled: number;
  /** Dropped since a hook vetoed them, or answered them. */
  readonly vetoed: number;
  readonly answered: number;
  /** Queries that wait, and the responses that they wait for. */
  readonly queries: number;
  readonly awaited: number;
  /** Messages and queries that are handled now, and their bytes. */
  readonly handling: number;
  readonly handlingBytes: number;
  /** What was refused or dropped, by reason: `late`, `double`, `foreign` responses; junk by its fault. */
  readonly refused: Readonly<Record<string, number>>;
}

export type ServiceLinks = Pick<
  NodeLinks,
  "send" | "room" | "protocolOf" | "protocolFrom" | "whenLinked" | "isPastLists" | "takesContext"
>;

/** What the services of a bus need of it. */
export interface ServicesEffects {
  self(): Member;
  /** The live member of an id or a name, this node included. */
  find(nameOrId: string): Member | undefined;
  /** Live members that fit, this node included. */
  resolve(steps: readonly ResolverStep[]): Iterable<Member>;
  /** The live members, without this node. */
  others(): readonly Member[];
  /** Links to members. */
  links(): ServiceLinks;
  /** Whether another node was a member, is lost, and may come back. */
  mayReturn(id: string): boolean;
  /** Settles when it is known where a newcomer takes messages, or when that takes too long; `undefined`: it is known. */
  whenKnown?(id: string): Promise<void> | undefined;
  /** Whether the details of a member are here, or it is not a member. Absent: always. */
  isKnown?(id: string): boolean;
  report(event: ServicesEvent): void;
  /** The bus's group; `undefined`: nothing goes by datagram. */
  readonly group?: MulticastGroup | undefined;
}

/** How the services of a bus are made. */
export interface ServicesOptions {
  /** Joined from the start. Default 0, 1 and 2. */
  readonly channels?: readonly ClusterChannel[] | undefined;
  /** ms that a hook may take. */
  readonly hookTimeout?: number | undefined;
  /** Names of protocols that this node has, those of the program's own among them. */
  readonly protocols?: readonly string[] | undefined;
  /** The number before that of the first query. Default: a random one, so that answers to a former life fit no query. */
  readonly firstQuery?: number | undefined;
}
