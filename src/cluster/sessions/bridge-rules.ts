/**
 * Which server keeps what is published over the cluster, and the keeping: operations on a view of the store, as those of rules.ts.
 *
 *   (none) ──take──> of a server ──deliver──> of a server
 *      ^                 │  └──its server is lost──take──> of another one: what the first one still wants is refused
 *      └─────leave───────┘
 *
 * One server at a time, so that a message that all of them could get is kept once by each session. Its deliveries are numbered: one that runs again
 * after it was committed changes nothing.
 */
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

interface BridgeRecord extends BridgeHandle {
  /** The last number that was kept in this term. */
  readonly delivered: number;
}

function readBridge(view: View): BridgeRecord | undefined {
  const bytes = view.get(keys.bridge);
  return bytes === undefined ? undefined : (decodeJson(keys.bridge, bytes) as BridgeRecord);
}

/** Takes it where nobody has it, or its server is lost. @returns whether it is this term's now */
export function takeBridge(
  view: View,
  { server, term }: BridgeHandle,
  isLost: (server: string) => boolean,
): boolean {
  const found = readBridge(view);
  if (found?.term === term) return true;
  if (found !== undefined && found.server !== server && !isLost(found.server)) return false;
  const record: BridgeRecord = { server, term, delivered: 0 };
  view.set(keys.bridge, encodeJson(record));
  return true;
}

/** The server stops. */
export function leaveBridge(view: View, { term }: BridgeHandle): void {
  if (readBridge(view)?.term === term) view.set(keys.bridge, undefined);
}

/**
 * Keeps a message of the cluster in each session that has a filter for it. A session that refuses what it has no room for drops it: there is
 * no publisher to refuse.
 *
 * @param number 1 greater than that of the one before, in this term
 * @returns those that have an owner; `undefined`: another server has taken over, and nothing was kept
 */
export function deliver(
  view: View,
  { term }: BridgeHandle,
  directory: SubscriptionDirectory,
  number: number,
  { topic, data }: { readonly topic: string; readonly data: Buffer },
  now: number,
): { readonly sessions: number; readonly owned: readonly Owned[] } | undefined {
  view.need([keys.bridge, keys.directory]);
  const bridge = readBridge(view);
  if (bridge?.term !== term) return undefined;
  if (number <= bridge.delivered) return { sessions: 0, owned: [] };
  if (directoryVersion(view) !== directory.version) throw new NotPrepared(() => directory.refresh());
  const message: StoredMessage = { topic, publisher: "", id: "", time: now, data };
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
  view.set(keys.bridge, encodeJson({ ...bridge, delivered: number }));
  return keepMessage(view, rooms, () => encodeMessage(message), size);
}
