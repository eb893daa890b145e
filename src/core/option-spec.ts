/** How a socket option is described: its type, range, unit, default and the sockets that have it (option-table.ts). */
import type { SocketTypeName } from "./socket-type.js";

/** How an option's value is checked. */
export type OptionKind = "boolean" | "integer" | "string" | "key" | "bytes" | "choice" | "certificates";

export interface OptionSpec {
  readonly kind: OptionKind;
  readonly default: unknown;
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
}

/** Socket types that can send. */
export const WRITABLE: readonly SocketTypeName[] = [
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
];
/** Socket types that can receive. */
export const READABLE: readonly SocketTypeName[] = [
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
];
export const INT32 = 2_147_483_647;

type Extra = Partial<Omit<OptionSpec, "kind" | "default">>;
type Kind<K extends OptionKind> = OptionSpec & { readonly kind: K };
export const flag = (value: boolean, extra: Extra = {}): Kind<"boolean"> => ({
  kind: "boolean",
  default: value,
  ...extra,
});
export const int = (value: number, min: number, max: number, extra: Extra = {}): Kind<"integer"> => ({
  kind: "integer",
  default: value,
  min,
  max,
  ...extra,
});
export const text = (extra: Extra = {}): Kind<"string"> => ({ kind: "string", default: null, ...extra });
export const key = (): Kind<"key"> => ({ kind: "key", default: null });
export const bytes = (extra: Extra = {}): Kind<"bytes"> => ({
  kind: "bytes",
  default: null,
  max: 255,
  ...extra,
});
