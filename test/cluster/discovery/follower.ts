/** Reads a source as a node does: starts it again when it fails, sooner than a node, and remembers what it gave. */
import type { DiscoverySelf, DiscoverySource } from "../../../src/cluster/discovery/source.js";

/** ms between a failure and the next start. */
const PAUSE = 50;

export class Follower {
  readonly #controller = new AbortController();
  readonly #ended: Promise<void>;
  readonly #waiting = new Set<() => void>();
  list: readonly string[] | undefined;
  /** The last failure; gone with the next list. */
  error: (Error & { readonly code?: string }) | undefined;
  failures = 0;
  lists = 0;

  constructor(source: DiscoverySource, self: DiscoverySelf) {
    this.#ended = this.#run(source, self);
  }

  /** Settles as soon as `holds` does: looked at after every list and failure. */
  async until(holds: (follower: this) => boolean): Promise<void> {
    while (!holds(this)) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** Settles when it has this list, in any order. */
  has(...addresses: string[]): Promise<void> {
    const wanted = [...addresses].sort().join(" ");
    return this.until(({ list }) => list !== undefined && [...list].sort().join(" ") === wanted);
  }

  /** As a node that leaves. */
  async stop(): Promise<void> {
    this.#controller.abort();
    await this.#ended;
  }

  async #run(source: DiscoverySource, self: DiscoverySelf): Promise<void> {
    const { signal } = this.#controller;
    while (!signal.aborted) {
      try {
        for await (const list of source.discover(self, signal)) {
          this.list = list;
          this.lists += 1;
          this.error = undefined;
          this.#changed();
        }
      } catch (error) {
        if (signal.aborted) return;
        this.error = error as Error;
        this.failures += 1;
        this.#changed();
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }

  #changed(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

let count = 0;

/** A node that asks, unlike every other one. */
export function selfAt(address: string, cluster = "kitchen"): DiscoverySelf {
  const id = (++count).toString(16).padStart(32, "0");
  return { id, name: `node-${count}@here`, cluster, address };
}
