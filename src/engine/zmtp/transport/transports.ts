/** The table of transports. core/schemes/schemes.ts has the form of their endpoints. */
import { hostname, networkInterfaces } from "node:os";
import { type Spin, spinHere } from "../../../core/spin.js";
import { ipc } from "./ipc.js";
import { tcp, tcpForHttp } from "./tcp.js";
import { tls } from "./tls.js";
import type { Transport } from "./transport.js";
import { webSocketOver } from "./ws.js";

const TRANSPORTS: ReadonlyMap<string, Transport> = new Map(
  [tcp, tls, webSocketOver("ws", tcpForHttp, 80), webSocketOver("wss", tls, 443), ipc].map((each) => [
    each.scheme,
    each,
  ]),
);

export interface TransportTable {
  get(scheme: string): Transport | undefined;
}

/** inproc and udp need no transport. */
export const MACHINE_SCHEMES: readonly string[] = [...TRANSPORTS.keys(), "inproc", "udp"];

export interface HostInterface {
  readonly name: string;
  readonly address: string;
  /** `undefined`: unknown. */
  readonly netmask?: string;
  /** Bits of the network. `undefined`: unknown. */
  readonly prefix?: number;
  /** Loopback. */
  readonly internal: boolean;
}

/** The machine of an engine, or a simulated one (src/testing). */
export interface Platform {
  readonly transports: TransportTable;
  hostName(): string;
  interfaces(): readonly HostInterface[];
  /** IPv6 addresses, link-local ones with their zone. */
  readonly interfaces6?: () => readonly HostInterface[];
  /** Rejects with `ENOTFOUND`. `undefined`: the system's resolver. */
  readonly lookup?: (host: string) => Promise<string>;
  /** `undefined`: unavailable. */
  readonly spin?: () => Spin | undefined;
}

export const MACHINE: Platform = {
  transports: TRANSPORTS,
  hostName: hostname,
  spin: spinHere,
  interfaces: () => interfacesOf("IPv4"),
  interfaces6: () => interfacesOf("IPv6"),
};

function interfacesOf(wanted: "IPv4" | "IPv6"): HostInterface[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses
      .filter(({ family }) => family === wanted)
      .map(({ address: bare, netmask, cidr, internal, scopeid = 0 }) => {
        const address = scopeid === 0 ? bare : `${bare}%${name}`;
        return { name, address, netmask, prefix: Number(cidr?.split("/")[1] ?? 0), internal };
      }),
  );
}

let standIn: (() => Platform | undefined) | undefined;

/** For callers in a simulation (src/testing). */
export function setPlatformStandIn(find: (() => Platform | undefined) | undefined): void {
  standIn = find;
}

export function platformNow(): Platform {
  return standIn?.() ?? MACHINE;
}
