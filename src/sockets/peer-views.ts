/** Peers of sockets as plain data, for the dashboard and a proxy's control socket. */
import type { EnginePeer } from "../engine/engine.js";
import { engineStats, peersOf } from "./internal.js";
import type { Socket } from "./socket.js";

export const MAX_PEERS_LISTED = 10_000;

export interface PeerView {
  /** Routing id as text or hexadecimal, else the address. */
  readonly name: string;
  /** Socket type, such as "pull", or "" if unknown. */
  readonly type: string;
  readonly address: string;
  /** Messages queued for the peer, and waiting from it. */
  readonly queuedOut: number;
  readonly queuedIn: number;
  /** ms since an unanswered heartbeat was due. */
  readonly silentFor?: number;
}

/** Up to 10,000 peers; empty if the engine does not report them. */
export function peerViews(socket: Socket): PeerView[] {
  return peersOf(socket, MAX_PEERS_LISTED).map(viewOf);
}

function viewOf({ socketType, address, routingId, queuedOut, queuedIn, silentFor }: EnginePeer): PeerView {
  return {
    name: routingId === undefined ? address : textOfId(routingId),
    type: socketType.toLowerCase(),
    address,
    queuedOut,
    queuedIn,
    ...(silentFor === undefined ? {} : { silentFor: Math.round(silentFor) }),
  };
}

/** Text if printable, else hexadecimal. */
function textOfId(id: Uint8Array): string {
  const text = Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
  return /^[ -~]+$/.test(text) ? text : `0x${Buffer.from(text, "latin1").toString("hex")}`;
}

/** Sockets of one owner by the kind of peers, such as "clients" and "workers". */
export type OwnedSockets = Readonly<Record<string, Socket | undefined>>;

const owned = new WeakMap<object, () => OwnedSockets>();

/** @param sockets called at each listing */
export function ownSockets(owner: object, sockets: () => OwnedSockets): void {
  owned.set(owner, sockets);
}

export interface PeerList {
  readonly length: number;
  /** At most 10,000. */
  items(): readonly PeerView[];
}

export function peerListOf(socket: Socket): PeerList {
  return {
    length: socket.closed ? 0 : (engineStats(socket).peers ?? 0),
    items: () => peerViews(socket),
  };
}

export function peerListsOf(owner: unknown): Readonly<Record<string, PeerList>> {
  if (typeof owner !== "object" || owner === null) return {};
  const lists: Record<string, PeerList> = {};
  for (const [name, socket] of Object.entries(ownedSockets(owner)))
    if (socket !== undefined) lists[name] = peerListOf(socket);
  return lists;
}

export function ownedSockets(owner: object): OwnedSockets {
  return owned.get(owner)?.() ?? {};
}
