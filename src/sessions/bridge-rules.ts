/**
 * Operations of the bridge on a view of the store, as those of rules.ts.
 *
 *   (none) ──take──> of a server ──deliver──> of a server ──release──> (none)
 *                         └──its server is lost──take──> of another server
 *
 * A single server has the bridge, so sessions keep each message once. Messages are numbered to detect repetitions.
 */
import { keys } from "./records.js";
import { directoryVersion, type Kept, keepMessage, type SubscriptionDirectory } from "./rules.js";
import { NotPrepared, type View } from "./view.js";

export interface BridgeHandle {
  readonly server: string;
  /** Differs each time that a server takes it. */
  readonly term: string;
}

interface BridgeRecord extends BridgeHandle {
  /** The last number of this term. */
  readonly delivered: number;
}

export interface BridgedMessage {
  readonly topic: string;
  readonly data: Buffer;
  /** The trace of its publisher. */
  readonly context?: Buffer | undefined;
}

function readBridge(view: View): BridgeRecord | undefined {
  return view.getJson<BridgeRecord>(keys.bridge);
}

/** @returns whether the server has the bridge now: no running server had it */
export function takeBridge(
  view: View,
  { server, term }: BridgeHandle,
  isLost: (server: string) => boolean,
): boolean {
  const found = readBridge(view);
  if (found?.term === term) return true;
  if (found !== undefined && found.server !== server && !isLost(found.server)) return false;
  view.setJson(keys.bridge, { server, term, delivered: 0 });
  return true;
}

export function releaseBridge(view: View, { term }: BridgeHandle): void {
  if (readBridge(view)?.term === term) view.set(keys.bridge, undefined);
}

/**
 * Keeps a message in each session with a filter for it. A full session with the policy "refuse" drops it, since there is
 * no publisher to refuse.
 *
 * @param number 1 greater than that of the message before, in this term
 * @returns `undefined`: another server has the bridge, and nothing was kept
 */
export function deliver(
  view: View,
  { term }: BridgeHandle,
  directory: SubscriptionDirectory,
  number: number,
  { topic, data, context }: BridgedMessage,
  now: number,
): Kept | undefined {
  view.need([keys.bridge, keys.directory]);
  const bridge = readBridge(view);
  if (bridge?.term !== term) return undefined;
  if (number <= bridge.delivered) return { sessions: 0, owned: [] };
  if (directoryVersion(view) !== directory.version) throw new NotPrepared(() => directory.refresh());
  const kept = keepMessage(view, directory, { topic, publisher: "", id: "", time: now, data, context });
  view.setJson(keys.bridge, { ...bridge, delivered: number });
  return kept;
}
