/**
 * Peers of a socket as plain data, for those who look: the dashboard, and a proxy's control socket. And whose sockets they are:
 * what runs with sockets of its own says which they are, by side.
 */
import type { EnginePeer } from "../engine/engine.js";
import { engineStats, peersOf } from "./internal.js";
import type { Socket } from "./socket.js";

/** Peers of a socket that are listed. */
export const MAX_PEERS_LISTED = 10_000;

/** A peer, as far as the engine knows it. */
export interface PeerView {
  /** Its routing id, as text or hexadecimal; else its address. */
  readonly name: string;
  /** Its socket's type: "pull"; "": not known. */
  readonly type: string;
  readonly address: string;
  /** Messages for it that have not left; messages from it that wait. */
  readonly queuedOut: number;
  readonly queuedIn: number;
  /** ms for which it has owed an answer to a heartbeat; absent: it owes none. */
  readonly silentFor?: number;
}

/** The peers of a socket, 10,000 at most; none where the engine does not know them. */
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

/** A routing id that is printable text is shown so. */
function textOfId(id: Uint8Array): string {
  const text = Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
  return /^[ -~]+$/.test(text) ? text : `0x${Buffer.from(text, "latin1").toString("hex")}`;
}

/** The sockets of something that has its own, by what their peers are: "clients", "workers". */
export type OwnedSockets = Readonly<Record<string, Socket | undefined>>;

const owned = new WeakMap<object, () => OwnedSockets>();

/** Says which sockets an object has, for those who list their peers. @param sockets called at each look */
export function ownSockets(owner: object, sockets: () => OwnedSockets): void {
  owned.set(owner, sockets);
}

/** Peers of a socket, which are looked at when somebody asks. */
export interface PeerList {
  readonly length: number;
  /** 10,000 at most. */
  items(): readonly PeerView[];
}

export function peerListOf(socket: Socket): PeerList {
  return {
    length: socket.closed ? 0 : (engineStats(socket).peers ?? 0),
    items: () => peerViews(socket),
  };
}

/** Those of the sockets that something has: of a proxy's sides, of a broker's clients and workers. */
export function peerListsOf(owner: unknown): Readonly<Record<string, PeerList>> {
  if (typeof owner !== "object" || owner === null) return {};
  const lists: Record<string, PeerList> = {};
  for (const [name, socket] of Object.entries(ownedSockets(owner)))
    if (socket !== undefined) lists[name] = peerListOf(socket);
  return lists;
}

/** The sockets that an object has said to be its own. */
export function ownedSockets(owner: object): OwnedSockets {
  return owned.get(owner)?.() ?? {};
}
