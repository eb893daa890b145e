/**
 * The option interfaces, which a reader sees, have the names and the types of the option table: an option that one of the two
 * lacks, or has otherwise, is an error of the compiler that names the socket and the option.
 */
import type { OPTIONS, OptionName, OptionValues } from "../../src/core/option-table.js";
import type { SocketTypeName } from "../../src/core/socket-type.js";
import type * as sockets from "../../src/index.js";
import type * as draft from "../../src/sockets/draft/index.js";

interface Interfaces extends Record<SocketTypeName, object> {
  Pair: sockets.PairOptions;
  Publisher: sockets.PublisherOptions;
  Subscriber: sockets.SubscriberOptions;
  Request: sockets.RequestOptions;
  Reply: sockets.ReplyOptions;
  Dealer: sockets.DealerOptions;
  Router: sockets.RouterOptions;
  Pull: sockets.PullOptions;
  Push: sockets.PushOptions;
  XPublisher: sockets.XPublisherOptions;
  XSubscriber: sockets.XSubscriberOptions;
  Stream: sockets.StreamOptions;
  Channel: draft.ChannelOptions;
  Client: draft.ClientOptions;
  Datagram: draft.DatagramOptions;
  Dish: draft.DishOptions;
  Gather: draft.GatherOptions;
  Peer: draft.PeerOptions;
  Radio: draft.RadioOptions;
  Scatter: draft.ScatterOptions;
  Server: draft.ServerOptions;
}

/** Options of the constructor that are not entries of the table. */
type Beside = "context" | "authenticate" | "codec";

/** The sockets that have an option. */
type SocketsWith<N extends OptionName> = (typeof OPTIONS)[N] extends { readonly on?: readonly (infer S)[] }
  ? unknown extends S
    ? SocketTypeName
    : S
  : SocketTypeName;

/** The options of a socket by the table. */
type Table<T extends SocketTypeName> = {
  [N in OptionName as T extends SocketsWith<N> ? N : never]: OptionValues[N];
};

/** The keys that two types do not have alike. */
type Differing<A, B> = {
  [K in keyof A | keyof B]: K extends keyof A & keyof B ? ([A[K], B[K]] extends [B[K], A[K]] ? never : K) : K;
}[keyof A | keyof B];

type Wrong = {
  [T in SocketTypeName]: `${T}.${string & Differing<Required<Omit<Interfaces[T], Beside>>, Table<T>>}`;
}[SocketTypeName];

/** An error here has the names of what differs. */
export const wrong: Record<Wrong, never> = {};
