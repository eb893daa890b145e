/**
 * Ways round by way of another process, as far as a proxy's neighbours show them. Pure.
 *
 *   this -- backend --> other -- backend --> this      the other is at both sides of this one
 *   this -- backend --> this                           by an address that does not show it: a name, NAT, a forwarded port
 *
 * Each proxy has an id of its own, and its sockets tell it in their handshakes. One that is at a side where messages come
 * in and at another one where they go out leads back. A way round through two other proxies or more has no such
 * neighbour, and one through a program that is no proxy says nothing of itself: neither is seen.
 */
import type { Direction, ProxySideName } from "./pairs.js";

/** The name of the property, an application's own (37/ZMTP, Connection Metadata). */
export const PROXY_PROPERTY = "X-Shoal-Proxy";

/** A socket of a proxy that messages pass. */
export type Place = ProxySideName | "capture";

/** Whom messages come back by: this proxy, connected to itself, or another one. */
export type WayBack = "itself" | "neighbour";

/** How many connections a proxy has at each place. */
type Connections = Record<Place, number>;

export class Neighbours {
  readonly #own: string;
  /** Where messages come in, with the places where they go out from there. */
  readonly #ways: readonly (readonly [from: Place, to: Place])[];
  readonly #known = new Map<string, Connections>();
  readonly #leadBack = new Set<string>();

  /** @param own the id of this proxy */
  constructor(own: string, directions: readonly Direction[]) {
    this.#own = own;
    // Replies and subscriptions go the way back of something, which is no round.
    this.#ways = directions
      .filter(({ carries }) => carries === "messages")
      .flatMap(({ from, to }) => [[from, to] as const, [from, "capture"] as const]);
  }

  /** How many lead back now; this proxy itself counts as one. */
  get leadBack(): number {
    return this.#leadBack.size;
  }

  /** A connection to a proxy stands at a place, or has ended. @returns whom messages come back by, if that is news */
  heard(place: Place, id: string, joined: boolean): WayBack | undefined {
    if (joined) return this.#joined(place, id);
    this.#left(place, id);
    return undefined;
  }

  #joined(place: Place, id: string): WayBack | undefined {
    let connections = this.#known.get(id);
    if (connections === undefined) {
      connections = { frontend: 0, backend: 0, capture: 0 };
      this.#known.set(id, connections);
    }
    connections[place] += 1;
    if (this.#leadBack.has(id) || !this.#closes(id, connections)) return undefined;
    this.#leadBack.add(id);
    return id === this.#own ? "itself" : "neighbour";
  }

  #left(place: Place, id: string): void {
    const connections = this.#known.get(id);
    if (connections === undefined) return;
    connections[place] -= 1;
    const { frontend, backend, capture } = connections;
    if (frontend + backend + capture === 0) this.#known.delete(id);
    if (!this.#closes(id, connections)) this.#leadBack.delete(id);
  }

  #closes(id: string, connections: Connections): boolean {
    if (id === this.#own) return connections.frontend + connections.backend + connections.capture > 0;
    return this.#ways.some(([from, to]) => connections[from] > 0 && connections[to] > 0);
  }
}
