/**
 * Zones of link-local addresses: the interface in "fe80::1%eth0". Zones mean nothing to another host, so packets omit
 * them; answers use the zone of the received packet.
 */
import { LatestMap } from "../../core/collections/latest-map.js";
import type { HostInterface } from "../../engine/zmtp/transport/transports.js";
import { MAX_ZONES } from "../bounds.js";
import { isIp6, isLinkLocal, joinAddress, splitIpAddress } from "./addresses.js";

export class Zones {
  readonly #byHost = new LatestMap<string, string>(MAX_ZONES);
  /** For hosts without a received packet. */
  #default = "";

  /** The default is the zone of the first link-local address, else that of the first one of IPv6. */
  setInterfaces(interfaces: readonly HostInterface[]): void {
    const local = interfaces.find(({ address }) => isLinkLocal(address));
    this.#default = local?.name ?? interfaces.find(({ address }) => isIp6(address))?.name ?? "";
  }

  /** Remembers a packet's zone, and returns its host without it. */
  learn(from: string): string {
    const at = from.indexOf("%");
    if (at < 0) return from;
    const host = from.slice(0, at);
    this.#byHost.set(host, from.slice(at + 1));
    return host;
  }

  hostFor(host: string): string {
    if (!isLinkLocal(host) || host.includes("%")) return host;
    const zone = this.#byHost.get(host) ?? this.#default;
    return zone === "" ? host : `${host}%${zone}`;
  }

  addressFor(address: string): string {
    const parts = splitIpAddress(address);
    return parts === undefined ? address : joinAddress(this.hostFor(parts.host), parts.port);
  }
}

/** "fe80::1%eth0" -> "fe80::1" */
export function withoutZone(host: string): string {
  return host.replace(/%.*$/, "");
}
