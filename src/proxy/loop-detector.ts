/**
 * Detects loops through another process, as far as the proxies connected to this one show them. Pure.
 *
 *   this -- backend --> other -- backend --> this      the other is at both sides of this one
 *   this -- backend --> this                           by an address that does not show it: a name, NAT, a forwarded port
 *
 * Each proxy has an id, which its sockets send in their handshakes (docs/spec/proxy.md). Another proxy that is connected
 * both where messages come in and where they go out closes a loop. A loop through two other proxies or more has no such
 * neighbour, and a program that is not a proxy sends no id: neither is detected.
 */
import type { Direction, ProxySide } from "./pairs.js";

/** The name of the property, an application's own (37/ZMTP, Connection Metadata). */
export const PROXY_PROPERTY = "X-Shoal-Proxy";

/** A socket of a proxy that messages pass. */
export type Place = ProxySide | "capture";

/** What closes a loop: this proxy, connected to itself, or a neighbour. */
export type ProxyLoopPeer = "itself" | "neighbour";

/** How many connections a proxy has at each place. */
type Connections = Record<Place, number>;

export class LoopDetector {
  readonly #own: string;
  /** Where messages come in, with the places where they go out from there. */
  readonly #flows: readonly (readonly [from: Place, to: Place])[];
  readonly #known = new Map<string, Connections>();
  readonly #looping = new Set<string>();

  /** @param own the id of this proxy */
  constructor(own: string, directions: readonly Direction[]) {
    this.#own = own;
    // Replies and subscriptions flow back against messages, which closes no loop.
    this.#flows = directions
      .filter(({ carries }) => carries === "messages")
      .flatMap(({ from, to }) => [[from, to] as const, [from, "capture"] as const]);
  }

  /** How many proxies close a loop now; this proxy itself counts as one. */
  get count(): number {
    return this.#looping.size;
  }

  /** A connection to a proxy joined or left a place. @returns what closes a loop, when it was not known to */
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
