/** The description of a socket option in option-table.ts. */
import { SocketType, type SocketTypeName } from "./socket-type.js";

export type OptionKind = "boolean" | "integer" | "string" | "key" | "bytes" | "choice";

export interface OptionSpec {
  readonly kind: OptionKind;
  readonly default: unknown;
  /** The package `zeromq`'s, where shoal deliberately differs. */
  readonly zeromqDefault?: unknown;
  readonly min?: number;
  /** The largest number; bytes of a `string` (default 1,024) or of `bytes` (default 255). */
  readonly max?: number;
  readonly unit?: "ms" | "bytes" | "messages" | "s" | "kbit/s" | "hops" | "calls" | "connections";
  readonly choices?: readonly (string | null)[];
  /** Absent for all. */
  readonly on?: readonly SocketTypeName[];
  /** Engines do not see it. */
  readonly local?: true;
  /** Other engines accept its default only. */
  readonly only?: "zmtp";
  /** Where Node.js has no call for another value: "refused" throws, "ignored" warns. */
  readonly zmtp?: "refused" | "ignored";
  /** Changes apply to open connections or their next handshake. */
  readonly live?: true;
}

function allBut<T extends SocketTypeName>(...others: T[]): readonly Exclude<SocketTypeName, T>[] {
  const names = Object.keys(SocketType) as SocketTypeName[];
  return names.filter((name): name is Exclude<SocketTypeName, T> => !others.some((each) => each === name));
}

export const WRITABLE = allBut("Subscriber", "Pull", "Dish", "Gather");
export const READABLE = allBut("Publisher", "Push", "Radio", "Scatter");
export const INT32 = 2_147_483_647;

type Extra<S extends SocketTypeName> = Partial<Omit<OptionSpec, "kind" | "default" | "on">> & On<S>;
type Kind<K extends OptionKind, S extends SocketTypeName> = Omit<OptionSpec, "kind" | "on"> & {
  readonly kind: K;
  readonly default: K extends "integer" ? number : unknown;
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
  max: 1_024,
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
