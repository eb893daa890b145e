/** A configuration that has been checked: plain data, which can be compared. */
import type { ProxyKind } from "./schema.js";

/** What a socket of a proxy is given. */
export interface SocketConfiguration {
  readonly bind: readonly string[];
  readonly connect: readonly string[];
  /** As written, with the folder of keys as a whole path. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** Everything else: type, subscriptions, the socket's options with the keys of its certificate, and PLAIN users. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** The sockets of a proxy, in the order in which they are opened. */
export const SOCKET_NAMES = ["frontend", "backend", "capture", "control"] as const;

/** One of them. */
export type SocketName = (typeof SOCKET_NAMES)[number];

/** One proxy. */
export interface ProxyConfiguration {
  readonly kind: ProxyKind;
  readonly frontend: SocketConfiguration;
  readonly backend: SocketConfiguration;
  readonly capture?: SocketConfiguration;
  readonly control?: SocketConfiguration;
}

/** Proxies by their names. */
export type Proxies = Readonly<Record<string, ProxyConfiguration>>;

/** A whole file. */
export interface Configuration {
  /** ms that a drain may take. */
  readonly drain: number;
  readonly proxies: Proxies;
}

/** The sockets that a proxy has, with their names. */
export function socketsOf(
  proxy: ProxyConfiguration,
): readonly (readonly [name: SocketName, socket: SocketConfiguration])[] {
  return SOCKET_NAMES.flatMap((name) => {
    const socket = proxy[name];
    return socket === undefined ? [] : [[name, socket] as const];
  });
}

/** Whether two values of a configuration are the same, whatever the order of keys. */
export function same(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Array.isArray(one) || Array.isArray(other))
    return (
      Array.isArray(one) &&
      Array.isArray(other) &&
      one.length === other.length &&
      one.every((item, at) => same(item, other[at]))
    );
  const ones = Object.entries(one);
  const others = other as Readonly<Record<string, unknown>>;
  return (
    ones.length === Object.keys(others).length &&
    ones.every(([key, value]) => Object.hasOwn(others, key) && same(value, others[key]))
  );
}
