/** A ZRE plane without a node, with its events, and what it has counted. */
import { createId } from "../../src/cluster/identity.js";
import { type ZreNodeOptions, ZrePlane, zreSettings } from "../../src/zre/plane.js";

export interface PlaneOptions extends ZreNodeOptions {
  readonly name?: string;
  readonly uuid?: string;
}

export class Plane extends ZrePlane {
  readonly counts: Readonly<Record<string, number>>;
  #closing: Promise<void> | undefined;

  constructor({ name, uuid = createId(), ...options }: PlaneOptions = {}) {
    const counts: Record<string, number> = {};
    const self = { uuid, name: name ?? uuid.slice(0, 6) };
    super(zreSettings(options), self, (reason) => {
      counts[reason] = (counts[reason] ?? 0) + 1;
    });
    this.counts = counts;
  }

  override close(given: number | { readonly linger: number } = 1_000): Promise<void> {
    this.#closing ??= super.close(typeof given === "number" ? given : given.linger);
    return this.#closing;
  }
}
