/** What a socket's engine knows of its peers: for patterns that bound what they have others wait for. */
import type { EngineCapabilities } from "../engine/capabilities.js";
import { CORE, type Socket } from "./socket.js";

/** What the socket's engine can do. */
export function capabilitiesOf(socket: Socket): EngineCapabilities {
  return socket[CORE].context.load().capabilities;
}

/**
 * Bytes that a socket has accepted and the kernel has not, for one peer of a Router: with the capability `queueDepth`.
 *
 * @returns 0 over inproc, for a peer that is not there, and where the engine cannot know
 */
export function queuedBytesFor(socket: Socket, routingId: Uint8Array): number {
  const core = socket[CORE];
  return core.closed ? 0 : (core.engine.queuedBytes?.(routingId) ?? 0);
}
