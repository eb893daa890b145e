/** The peers of a socket as data, for the dashboard. */
import { systemClock } from "../../core/clock.js";
import type { EnginePeer } from "../engine.js";
import type { Pipe } from "./pipe.js";

export function listPeers(pipes: Iterable<Pipe>, max: number): EnginePeer[] {
  const found: EnginePeer[] = [];
  for (const pipe of pipes) {
    if (found.length === max) break;
    const { peer, link } = pipe;
    if (peer === undefined || pipe.leaving !== undefined) continue;
    const id = pipe.routingId ?? peer.identity;
    found.push({
      socketType: peer.socketType,
      address: link?.remote ?? pipe.endpoint,
      routingId: id.length === 0 ? undefined : Buffer.from(id),
      queuedOut: pipe.out.messages,
      queuedIn: pipe.in.messages,
      silentFor: link?.owedSince === undefined ? undefined : systemClock.now() - link.owedSince,
    });
  }
  return found;
}
