/** The transports there are: a new one is its own file, and a line here; the form of its endpoints is in core/schemes/schemes.ts. */
import { hostname, networkInterfaces } from "node:os";
import { customSchemes, customTransport } from "../../../core/schemes/custom-transport.js";
import type { Spin } from "../../../core/spin.js";
import { spinHere } from "../../../core/spin.js";
import { customAsTransport } from "./custom.js";
import { ipc } from "./ipc.js";
import { tcp, tcpForHttp } from "./tcp.js";
import { tls, tlsForHttp } from "./tls.js";
import type { Transport } from "./transport.js";
import { webSocketOver } from "./ws.js";

/** By scheme. */
const TRANSPORTS = new Map<string, Transport>(
  [tcp, tls, webSocketOver("ws", tcpForHttp, 80), webSocketOver("wss", tlsForHttp, 443), ipc].map((each) => [
    each.scheme,
    each,
  ]),
);

/** The list of `machineSchemes`, and those that programs had registered when it was made; undefined: to be made again. */
let schemes: readonly string[] = [];
let registered: readonly string[] | undefined;

/** Adds what another part of shoal brings, for all contexts of this thread; again is once. */
export function addTransport(transport: Transport): void {
  TRANSPORTS.set(transport.scheme, transport);
  registered = undefined;
}

/** Transports by scheme. */
export interface TransportTable {
  get(scheme: string): Transport | undefined;
}

/** Those of this machine: shoal's, and the program's own. */
const MACHINE_TRANSPORTS: TransportTable = {
  get(scheme) {
    const known = TRANSPORTS.get(scheme);
    if (known !== undefined) return known;
    const custom = customTransport(scheme);
    return custom === undefined ? undefined : customAsTransport(custom.transport);
  },
};

/** The schemes of endpoints that sockets on this machine take; inproc and udp need no transport. */
export function machineSchemes(): readonly string[] {
  if (registered !== customSchemes()) {
    registered = customSchemes();
    schemes = Object.freeze([...TRANSPORTS.keys(), "inproc", "udp", ...registered]);
  }
  return schemes;
}

/** An address of a machine: of IPv4, or of IPv6 where that is asked for. */
export interface HostInterface {
  readonly name: string;
  readonly address: string;
  /** `undefined` where it is not known. */
  readonly netmask?: string;
  /** Loopback. */
  readonly internal: boolean;
}

/** What an engine stands on: the machine and its process, or a simulated one (src/testing). */
export interface Platform {
  readonly transports: TransportTable;
  /** What is unsent when the process ends is still sent (lifetime.ts). */
  readonly outlastsProgram: boolean;
  hostName(): string;
  interfaces(): readonly HostInterface[];
  /** The same for IPv6; link-local addresses have their zone. `undefined`: it has no IPv6. */
  readonly interfaces6?: () => readonly HostInterface[];
  /** The address of a host by its name; rejects with `ENOTFOUND`. `undefined`: the system's resolver is asked. */
  readonly lookup?: (host: string) => Promise<string>;
  /** Calls `listener` when peers may be within reach again: nothing that waits to be dialled waits any longer. @returns ends that */
  readonly onWake?: (listener: () => void) => () => void;
  /** What keeps the event loop polling for sockets of contexts with `lowLatency`. `undefined`: nothing does. */
  readonly spin?: () => Spin | undefined;
}

/** This machine. */
export const MACHINE: Platform = {
  transports: MACHINE_TRANSPORTS,
  outlastsProgram: true,
  hostName: hostname,
  spin: spinHere,
  interfaces: () =>
    Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
      addresses
        .filter(({ family }) => family === "IPv4")
        .map(({ address, netmask, internal }) => ({ name, address, netmask, internal })),
    ),
  interfaces6: () =>
    Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
      addresses.flatMap((each) => {
        if (each.family !== "IPv6") return [];
        const address = each.scopeid === 0 ? each.address : `${each.address}%${name}`;
        return [{ name, address, netmask: each.netmask, internal: each.internal }];
      }),
    ),
};

let standIn: (() => Platform | undefined) | undefined;

/** What stands in for this machine, where the caller is part of a simulation (src/testing). */
export function setPlatformStandIn(find: (() => Platform | undefined) | undefined): void {
  standIn = find;
}

/** What the caller stands on: this machine, unless it is part of a simulation. */
export function platformNow(): Platform {
  return standIn?.() ?? MACHINE;
}
