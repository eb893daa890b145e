/**
 * Which server keeps what is published over the cluster, and the keeping: operations on a view of the store, as those of rules.ts.
 *
 *   (none) ──take──> of a server ──deliver──> of a server
 *      ^                 │  └──its server is lost──take──> of another one: what the first one still wants is refused
 *      ├────release──────┤
 *      │               offer: its server stops, and goes on until it releases
 *      │                 │
 *      │               take by another server: it is the next one, and makes the cluster's nodes know it
 *      │                 │
 *      │               take again, when they do: it is ready, and has what they publish from now on, as the first one has
 *      │                 │
 *      └──── or ─────release ──take by the next one──> of that one, with what the first one has kept since its offer
 *
 * One server at a time, so that a message that all of them could get is kept once by each session. Its deliveries are numbered: one that runs again
 * after it was committed changes nothing.
 */
import { createHash } from "node:crypto";
import { MAX_HANDED_OVER } from "./bounds.js";
import { decodeJson, encodeJson, encodeMessage, keys, messageSize, type StoredMessage } from "./records.js";
import {
  directoryVersion,
  keepMessage,
  makeRoom,
  type Owned,
  type Room,
  readSession,
  type SubscriptionDirectory,
} from "./rules.js";
import { NotPrepared, type View } from "./view.js";

/** The server that has it, and since when. */
export interface BridgeHandle {
  readonly server: string;
  /** Another one each time that a server takes it. */
  readonly term: string;
}

/** The server that takes it over from one that stops. */
interface NextServer extends BridgeHandle {
  /** Whether all nodes know of its interest. */
  readonly isReady: boolean;
}

interface BridgeRecord extends BridgeHandle {
  /** The last number that was kept in this term. */
  readonly delivered: number;
  /** Its server stops: names of the messages that it has kept since then. */
  readonly kept?: readonly string[];
  readonly next?: NextServer;
  /** Its server keeps nothing more. */
  readonly isReleased?: boolean;
}

/** A message of the cluster. */
export interface BridgedMessage {
  readonly topic: string;
  readonly data: Buffer;
  /** `messageName` of it. Default: it has none, and a hand-over cannot distinguish it. */
  readonly name?: string;
  /** Of its publisher's trace. */
  readonly context?: Buffer | undefined;
}

/**
 * What became of a look: this server has it (`kept`: names of what the one before kept while it stopped), is to take it over
 * next, or another one has it.
 */
export type BridgeOutcome =
  | { readonly state: "taken"; readonly kept: readonly string[] }
  | { readonly state: "next" }
  | { readonly state: "other" };

const OTHER: BridgeOutcome = { state: "other" };

/** By what two servers know a message that both get. @param node that published it */
export function messageName(node: string, topic: string, data: Uint8Array): string {
  const hash = createHash("sha256").update(`${node} ${topic}\0`).update(data);
  return hash.digest("base64url").slice(0, 16);
}

function readBridge(view: View): BridgeRecord | undefined {
  const bytes = view.get(keys.bridge);
  return bytes === undefined ? undefined : (decodeJson(keys.bridge, bytes) as BridgeRecord);
}

function writeBridge(view: View, record: BridgeRecord): void {
  view.set(keys.bridge, encodeJson(record));
}

/**
 * Takes it where nobody has it, or its server is lost; where its server stops, as the next one.
 *
 * @param isReady whether all nodes know of this server's interest
 */
export function takeBridge(
  view: View,
  { server, term }: BridgeHandle,
  isReady: boolean,
  isLost: (server: string) => boolean,
): BridgeOutcome {
  const found = readBridge(view);
  if (found?.term === term) return { state: "taken", kept: [] };
  const isOver =
    found === undefined || found.server === server || found.isReleased === true || isLost(found.server);
  const next = found?.next;
  const isNext = next?.term === term;
  const isOpen = next === undefined || next.server === server || isLost(next.server);
  if (isOver && (isNext || isOpen)) {
    writeBridge(view, { server, term, delivered: 0 });
    return { state: "taken", kept: isNext ? (found?.kept ?? []) : [] };
  }
  if (found?.kept === undefined || !(isNext || isOpen)) return OTHER;
  if (!isNext || next.isReady !== isReady) writeBridge(view, { ...found, next: { server, term, isReady } });
  return { state: "next" };
}

/** Its server stops, and keeps what comes until another one is ready. */
export function offerBridge(view: View, { term }: BridgeHandle): void {
  const found = readBridge(view);
  if (found?.term === term && found.kept === undefined) writeBridge(view, { ...found, kept: [] });
}

/** How far a hand-over has come: nobody has taken the offer; another server makes itself known; it is ready. */
export function handOverOf(view: View, { term }: BridgeHandle): "offered" | "accepted" | "ready" | "over" {
  const found = readBridge(view);
  if (found?.term !== term) return "over";
  if (found.next === undefined) return "offered";
  return found.next.isReady ? "ready" : "accepted";
}

/** A server keeps nothing more, or is not to be the next one any more. @param isLost as of `takeBridge` */
export function releaseBridge(view: View, { term }: BridgeHandle, isLost: (server: string) => boolean): void {
  const found = readBridge(view);
  if (found === undefined) return;
  const { next, ...record } = found;
  const isAwaited = next !== undefined && next.term !== term && !isLost(next.server);
  if (record.term === term && isAwaited) writeBridge(view, { ...found, isReleased: true });
  else if (record.term === term || (next?.term === term && record.isReleased === true))
    view.set(keys.bridge, undefined);
  else if (next?.term === term) writeBridge(view, record);
}

/**
 * Keeps a message of the cluster in each session that has a filter for it. A session that refuses what it has no room for drops it: there is
 * no publisher to refuse.
 *
 * @param number 1 greater than that of the one before, in this term
 * @returns those that have an owner; `undefined`: another server takes over, and nothing was kept
 */
export function deliver(
  view: View,
  { term }: BridgeHandle,
  directory: SubscriptionDirectory,
  number: number,
  { topic, data, name, context }: BridgedMessage,
  now: number,
): { readonly sessions: number; readonly owned: readonly Owned[] } | undefined {
  view.need([keys.bridge, keys.directory]);
  const bridge = readBridge(view);
  if (bridge?.term !== term || bridge.isReleased === true) return undefined;
  if (number <= bridge.delivered) return { sessions: 0, owned: [] };
  // The next server could not distinguish what is kept from what is not.
  if (bridge.kept !== undefined && bridge.kept.length >= MAX_HANDED_OVER) return undefined;
  if (directoryVersion(view) !== directory.version) throw new NotPrepared(() => directory.refresh());
  const message: StoredMessage = { topic, publisher: "", id: "", time: now, data, context };
  const size = messageSize(message);
  const targets = directory.match(topic);
  view.need(targets.map(keys.session));
  const rooms: (Room & { readonly target: string })[] = [];
  for (const target of targets) {
    const record = readSession(view, target);
    if (record === undefined) continue;
    const room = makeRoom(view, target, record, size);
    if (room !== undefined) rooms.push({ target, ...room });
    else {
      const drops = { ...record.drops, full: record.drops.full + 1 };
      rooms.push({ target, record: { ...record, drops }, evicted: [], isKept: false });
    }
  }
  const kept = bridge.kept === undefined ? {} : { kept: [...bridge.kept, name ?? ""] };
  writeBridge(view, { ...bridge, ...kept, delivered: number });
  return keepMessage(view, rooms, () => encodeMessage(message), size);
}

/**
 * Messages that another server has kept before it released: those of them that this one gets as well are left out, each as often as the other
 * one has kept it. What two servers get of one message is equal; of equal messages of one node, close to each other, one may be left out that was new.
 */
export class KeptBefore {
  readonly #counts = new Map<string, number>();

  constructor(names: readonly string[]) {
    for (const name of names) this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  get size(): number {
    return this.#counts.size;
  }

  /** Whether a message was kept before. */
  take(name: string): boolean {
    const count = this.#counts.get(name);
    if (count === undefined) return false;
    if (count === 1) this.#counts.delete(name);
    else this.#counts.set(name, count - 1);
    return true;
  }
}
