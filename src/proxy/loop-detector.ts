/**
 * Detects loops through directly connected proxies of other processes. Pure.
 *
 *   this -- backend --> other -- backend --> this      the other proxy is at both sides of this one
 *   this -- backend --> this                           through an address that hides it: a name, NAT, a forwarded port
 *
 * Each proxy sends its id in handshakes (docs/spec/proxy.md). Another proxy at both an input and an output closes a
 * loop. Longer loops, and programs without an id, are not detected.
 */
import type { Direction, ProxySide } from "./pairs.js";

/** A metadata property of applications (37/ZMTP, Connection Metadata). */
export const PROXY_PROPERTY = "X-Shoal-Proxy";

export type Place = ProxySide | "capture";

export type ProxyLoopPeer = "itself" | "neighbour";

type Connections = Record<Place, number>;

export class LoopDetector {
  readonly #own: string;
  readonly #flows: readonly (readonly [from: Place, to: Place])[];
  readonly #known = new Map<string, Connections>();
  readonly #looping = new Set<string>();

  constructor(own: string, directions: readonly Direction[]) {
    this.#own = own;
    // Replies and subscriptions flow against messages.
    this.#flows = directions
      .filter(({ carries }) => carries === "messages")
      .flatMap(({ from, to }) => [[from, to] as const, [from, "capture"] as const]);
  }

  /** Proxies that close a loop, including this one. */
  get count(): number {
    return this.#looping.size;
  }

  /** @returns what closes a newly found loop */
  peerChanged(place: Place, id: string, joined: boolean): ProxyLoopPeer | undefined {
    if (joined) return this.#joined(place, id);
    this.#left(place, id);
    return undefined;
  }

  #joined(place: Place, id: string): ProxyLoopPeer | undefined {
    let connections = this.#known.get(id);
    if (connections === undefined) {
      connections = { frontend: 0, backend: 0, capture: 0 };
      this.#known.set(id, connections);
    }
    connections[place] += 1;
    if (this.#looping.has(id) || !this.#closes(id, connections)) return undefined;
    this.#looping.add(id);
    return id === this.#own ? "itself" : "neighbour";
  }

  #left(place: Place, id: string): void {
    const connections = this.#known.get(id);
    if (connections === undefined) return;
    connections[place] -= 1;
    const { frontend, backend, capture } = connections;
    if (frontend + backend + capture === 0) this.#known.delete(id);
    if (!this.#closes(id, connections)) this.#looping.delete(id);
  }

  #closes(id: string, connections: Connections): boolean {
    if (id === this.#own) return connections.frontend + connections.backend + connections.capture > 0;
    return this.#flows.some(([from, to]) => connections[from] > 0 && connections[to] > 0);
  }
}
