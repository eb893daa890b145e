/** Which of the host's interfaces a node uses. */
import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { transportError } from "../../engine/zmtp/errors.js";
import type { HostInterface, Platform } from "../../engine/zmtp/transport/transports.js";
import { isIp6, isLinkLocal } from "./addresses.js";

const LOOPBACK6: HostInterface = { name: "lo", address: "::1", internal: true };
const LOOPBACK: HostInterface = { name: "lo", address: "127.0.0.1", internal: true };

export interface InterfaceSettings {
  readonly scope: "host" | "link";
  /** Name or address; `undefined`: all. */
  readonly interface: string | undefined;
  readonly ipv6?: boolean;
}

/** Addresses that a node's sockets are bound to; `undefined`: none. */
export interface Binding {
  readonly v4: string | undefined;
  readonly v6: string | undefined;
}

/**
 * Interfaces by which packets are sent; the first one's address is the node's.
 *
 * @param list of `allInterfaces`
 * @throws InvalidArgumentError `EINVAL` for a missing interface
 */
export function usedInterfaces(
  list: readonly HostInterface[],
  { scope, interface: wanted, ipv6 = false }: InterfaceSettings,
): HostInterface[] {
  // A link-local address means nothing to another host without the interface by which that host reaches it.
  const all = list.filter(({ address }) => !address.includes(":") || (ipv6 && !isLinkLocal(address)));
  const named = all.filter(({ name, address }) => name === wanted || address === wanted);
  if (wanted !== undefined && named.length === 0) {
    const names = [...new Set(all.map(({ name }) => name))].join(", ");
    throw new InvalidArgumentError(`there is no interface ${quoted(wanted)}; there are ${names}`);
  }
  if (scope === "host") return [wanted === LOOPBACK6.address ? LOOPBACK6 : LOOPBACK];
  if (wanted !== undefined) return named;
  const found = all.filter(({ internal }) => !internal);
  // A machine without a network uses loopback.
  return found.length > 0 ? found : [LOOPBACK];
}

/** @param interfaces of `usedInterfaces`: the first one is the node's own */
export function bindingOf(
  platform: Platform,
  { scope, interface: wanted, ipv6 = false }: InterfaceSettings,
  interfaces: readonly HostInterface[],
): Binding {
  const own = interfaces[0]?.address ?? LOOPBACK.address;
  const both = ipv6 && platform.interfaces6 !== undefined;
  if (isIp6(own)) return { v4: undefined, v6: scope === "link" && wanted === undefined ? "::" : own };
  if (scope === "host") return { v4: LOOPBACK.address, v6: both ? LOOPBACK6.address : undefined };
  if (wanted === undefined) return { v4: "0.0.0.0", v6: both ? "::" : undefined };
  return { v4: own, v6: interfaces.find(({ address }) => isIp6(address))?.address };
}

/** @throws TransportError with the system's code */
export function allInterfaces(platform: Platform): readonly HostInterface[] {
  try {
    return [...platform.interfaces(), ...(platform.interfaces6?.() ?? [])];
  } catch (error) {
    // `info` has the system's error code.
    const { message, info } = error as Error & { readonly info?: { readonly code?: string } };
    const cause = info === undefined ? error : Object.assign(new Error(message), { code: info.code });
    throw transportError(cause, "list", "the host's interfaces");
  }
}
