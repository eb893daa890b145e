/**
 * Schedule of beacons by the Trickle algorithm (RFC 6206), and the nodes heard.
 *
 * Intervals double up to the longest. A beacon goes out at a random moment of an interval's second half,
 * unless 3 others were heard in it; the first always does. A new address resets the interval. So many nodes
 * send about as many beacons as a few.
 */

/** Others' beacons that suppress this node's. */
const REDUNDANCY = 3;
const DOUBLINGS = 4;
/** Most nodes of a large network are rarely heard. */
const HEARD_FOR = 600_000;
/** In total, and per IP address. */
const MAX_HEARD = 1_024;
const MAX_HEARD_OF_HOST = 64;

export class BeaconRules {
  readonly #random: () => number;
  readonly #longest: number;
  readonly #shortest: number;
  /** Last beacon by "host:port", oldest first. */
  readonly #heard = new Map<string, number>();
  readonly #hosts = new Map<string, number>();
  #interval: number;
  #end = 0;
  #beaconAt = 0;
  #others = 0;
  #hasBeaconed = false;

  /**
   * @param interval the longest
   * @param random from 0 up to 1
   */
  constructor(interval: number, random: () => number, now: number) {
    this.#random = random;
    this.#longest = interval;
    this.#shortest = interval / 2 ** DOUBLINGS;
    this.#interval = this.#shortest;
    this.#begin(now);
  }

  get addresses(): string[] {
    return [...this.#heard.keys()];
  }

  /** The network changed. */
  moved(now: number): void {
    this.#hasBeaconed = false;
    this.#interval = this.#shortest;
    this.#begin(now);
  }

  nextWakeUp(): number {
    return Math.min(this.#beaconAt, this.#end);
  }

  /** @returns whether to beacon now, and whether the addresses changed */
  tick(now: number): { readonly beacons: boolean; readonly changed: boolean } {
    let beacons = false;
    if (now >= this.#beaconAt) {
      this.#beaconAt = Number.POSITIVE_INFINITY;
      beacons = this.#others < REDUNDANCY || !this.#hasBeaconed;
      this.#hasBeaconed = true;
    }
    if (now >= this.#end) {
      this.#interval = Math.min(this.#interval * 2, this.#longest);
      this.#begin(now);
    }
    let changed = false;
    for (const [address, at] of this.#heard) {
      if (now - at < HEARD_FOR) break;
      this.#forget(address);
      changed = true;
    }
    return { beacons, changed };
  }

  onBeacon(now: number, host: string, port: number): "new" | "known" | "full" {
    const address = `${host}:${port}`;
    this.#others += 1;
    if (this.#heard.delete(address)) {
      this.#heard.set(address, now);
      return "known";
    }
    const ofHost = this.#hosts.get(host) ?? 0;
    if (this.#heard.size >= MAX_HEARD || ofHost >= MAX_HEARD_OF_HOST) return "full";
    this.#heard.set(address, now);
    this.#hosts.set(host, ofHost + 1);
    if (this.#interval > this.#shortest) {
      this.#interval = this.#shortest;
      this.#begin(now);
    }
    return "new";
  }

  /** @returns whether the node was known */
  onLeave(host: string, port: number): boolean {
    return this.#forget(`${host}:${port}`);
  }

  #forget(address: string): boolean {
    if (!this.#heard.delete(address)) return false;
    const host = address.slice(0, address.lastIndexOf(":"));
    const left = (this.#hosts.get(host) ?? 1) - 1;
    if (left === 0) this.#hosts.delete(host);
    else this.#hosts.set(host, left);
    return true;
  }

  #begin(now: number): void {
    this.#others = 0;
    this.#end = now + this.#interval;
    this.#beaconAt = now + this.#interval * (0.5 + this.#random() / 2);
  }
}
