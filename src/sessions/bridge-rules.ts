/**
 * The bridge's operations on a view of the store.
 *
 *   (none) ──take──> of a server ──deliver──> of a server ──release──> (none)
 *                         └──its server is lost──take──> of another server
 *
 * One server has the bridge, so sessions keep messages once; numbers reveal repetitions.
 */
import { keys } from "./records.js";
import { directoryVersion, isRunning, type Kept, keepMessage, type SubscriptionDirectory } from "./rules.js";
import type { SessionNodeMessage } from "./server-options.js";
import { NotPrepared, type View } from "./view.js";

export interface BridgeHandle {
  readonly server: string;
  /** New each time a server takes it. */
  readonly term: string;
}

interface BridgeRecord extends BridgeHandle {
  /** Last number of this term. */
  readonly delivered: number;
}

function readBridge(view: View): BridgeRecord | undefined {
  return view.getJson<BridgeRecord>(keys.bridge);
}

/** @returns `false` if another running server has it */
export function takeBridge(view: View, { server, term }: BridgeHandle): boolean {
  const found = readBridge(view);
  if (found?.term === term) return true;
  if (found !== undefined && found.server !== server && isRunning(view, found.server)) return false;
  view.setJson(keys.bridge, { server, term, delivered: 0 });
  return true;
}

export function releaseBridge(view: View, { term }: BridgeHandle): void {
  if (readBridge(view)?.term === term) view.set(keys.bridge, undefined);
}

/**
 * Keeps a message in matching sessions. A full one with the policy "refuse" drops it, for want of a publisher.
 *
 * @param number the previous one of this term plus 1
 * @returns `undefined`: another server has the bridge, so nothing was kept
 */
export function deliver(
  view: View,
  { term }: BridgeHandle,
  directory: SubscriptionDirectory,
  number: number,
  { topic, data, context }: SessionNodeMessage,
  now: number,
): Kept | undefined {
  view.need([keys.bridge, keys.directory]);
  const bridge = readBridge(view);
  if (bridge?.term !== term) return undefined;
  if (number <= bridge.delivered) return { refusedBy: undefined, sessions: 0, owned: [] };
  if (directoryVersion(view) !== directory.version) throw new NotPrepared(() => directory.refresh());
  const message = { topic, publisher: "", id: "", time: now, data, context };
  const kept = keepMessage(view, directory, message, false);
  view.setJson(keys.bridge, { ...bridge, delivered: number });
  return kept;
}
