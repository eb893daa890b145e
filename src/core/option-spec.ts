/** How a socket option is described: its type, range, unit, default and the sockets that have it (option-table.ts). */
import type { SocketTypeName } from "./socket-type.js";

/** How an option's value is checked. */
export type OptionKind = "boolean" | "integer" | "string" | "key" | "bytes" | "choice" | "certificates";

export interface OptionSpec {
  readonly kind: OptionKind;
  readonly default: unknown;
  /** Number of the option in zmq.h, Socket options (sockets/numbered-options.ts); absent: it has none. */
  readonly zmq?: number;
  /** Present where shoal deliberately differs. */
  readonly zeromqDefault?: unknown;
  readonly min?: number;
  readonly max?: number;
  readonly unit?: "ms" | "bytes" | "messages" | "s" | "kbit/s" | "hops" | "calls" | "connections";
  readonly choices?: readonly (string | null)[];
  /** Socket types that have it; absent: all. */
  readonly on?: readonly SocketTypeName[];
  /** Used above the seam only: no engine gets it. */
  readonly local?: true;
  /** The only engine that has it; every other takes its default, and no other value. */
  readonly only?: "zmtp";
  /**
   * What the engine zmtp does with a value other than the default, where Node.js has no call for it: it refuses the value, or
   * warns and keeps it without effect.
   */
  readonly zmtp?: "refused" | "ignored";
  /** A change takes effect on connections that stand, or on their next handshake; the others wait for the next bind or connect. */
  readonly live?: true;
}

/** Socket types that can send. */
export const WRITABLE = [
  "Pair",
  "Publisher",
  "Request",
  "Reply",
  "Dealer",
  "Router",
  "Push",
  "XPublisher",
  "XSubscriber",
  "Stream",
  "Client",
  "Server",
  "Radio",
  "Scatter",
  "Datagram",
  "Peer",
  "Channel",
] as const satisfies readonly SocketTypeName[];
/** Socket types that can receive. */
export const READABLE = [
  "Pair",
  "Subscriber",
  "Request",
  "Reply",
  "Dealer",
  "Router",
  "Pull",
  "XPublisher",
  "XSubscriber",
  "Stream",
  "Client",
  "Server",
  "Dish",
  "Gather",
  "Datagram",
  "Peer",
  "Channel",
] as const satisfies readonly SocketTypeName[];
export const INT32 = 2_147_483_647;

/** What a row may have beside its kind and default; `S` are the sockets that it names. */
type Extra<S extends SocketTypeName> = Partial<Omit<OptionSpec, "kind" | "default" | "on">> & On<S>;
type Kind<K extends OptionKind, S extends SocketTypeName> = Omit<OptionSpec, "kind" | "on"> & {
  readonly kind: K;
} & On<S>;
type On<S> = { readonly on?: readonly S[] };
export const flag = <S extends SocketTypeName = SocketTypeName>(
  value: boolean,
  extra: Extra<S> = {},
): Kind<"boolean", S> => ({ kind: "boolean", default: value, ...extra });
export const int = <S extends SocketTypeName = SocketTypeName>(
  value: number,
  min: number,
  max: number,
  extra: Extra<S> = {},
): Kind<"integer", S> => ({ kind: "integer", default: value, min, max, ...extra });
export const text = <S extends SocketTypeName = SocketTypeName>(extra: Extra<S> = {}): Kind<"string", S> => ({
  kind: "string",
  default: null,
  ...extra,
});
export const key = (extra: Extra<SocketTypeName> = {}): Kind<"key", SocketTypeName> => ({
  kind: "key",
  default: null,
  ...extra,
});
export const bytes = <S extends SocketTypeName = SocketTypeName>(extra: Extra<S> = {}): Kind<"bytes", S> => ({
  kind: "bytes",
  default: null,
  max: 255,
  ...extra,
});
