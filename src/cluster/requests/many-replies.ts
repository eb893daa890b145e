/** Replies of many nodes to one request, one per node. */
import { AbortedError, ClosedError, InvalidStateError, TimeoutError } from "../../core/errors.js";
import type { Member } from "../node/member.js";
import type { ServiceManyResult } from "./types.js";

/** @param count enough replies */
export async function manyReplies(
  nodes: readonly Member[],
  count: number,
  signal: AbortSignal | undefined,
  ask: (node: Member, signal: AbortSignal) => Promise<unknown>,
): Promise<ServiceManyResult> {
  const replies: { readonly service: Member; readonly body: unknown }[] = [];
  const failed: { readonly service: Member; readonly error: Error }[] = [];
  const missing = new Set(nodes);
  const stop = new AbortController();
  const signalOnAbort = (): void => stop.abort();
  let refused: unknown;
  const end = async (service: Member): Promise<void> => {
    if (stop.signal.aborted) return;
    try {
      const body = await ask(service, stop.signal);
      if (stop.signal.aborted) return;
      missing.delete(service);
      replies.push({ service, body });
      if (replies.length >= count) stop.abort();
    } catch (error) {
      // It is missing, not failed.
      if (stop.signal.aborted || error instanceof TimeoutError) return;
      if (error instanceof ClosedError || error instanceof InvalidStateError) {
        refused = error;
        stop.abort();
        return;
      }
      missing.delete(service);
      failed.push({ service, error: error as Error });
    }
  };
  signal?.addEventListener("abort", signalOnAbort);
  // It may have aborted during the lookup.
  if (signal?.aborted === true) stop.abort();
  await Promise.all(nodes.map(end));
  signal?.removeEventListener("abort", signalOnAbort);
  if (signal?.aborted === true) throw new AbortedError(signal.reason);
  if (refused !== undefined) throw refused;
  return { replies, failed, missing: [...missing] };
}
