/** A ZRE plane without a node, with its events, and what it has counted. */
import { createId } from "../../src/cluster/identity.js";
import { EventStream } from "../../src/core/event-stream.js";
import { type ZreNodeOptions, ZrePlane, zreSettings } from "../../src/zre/plane.js";
import type { ZreEvent } from "../../src/zre/rules.js";

export interface PlaneOptions extends ZreNodeOptions {
  readonly name?: string;
  readonly uuid?: string;
}

export class Plane extends ZrePlane {
  readonly events: EventStream<ZreEvent>;
  readonly counts: Readonly<Record<string, number>>;
  #closing: Promise<void> | undefined;

  constructor({ name, uuid = createId(), ...options }: PlaneOptions = {}) {
    const events = new EventStream<ZreEvent>();
    const counts: Record<string, number> = {};
    const self = { uuid, name: name ?? uuid.slice(0, 6) };
    super(zreSettings(options), self, {
      event: (event) => events.emit(event),
      count: (reason) => {
        counts[reason] = (counts[reason] ?? 0) + 1;
      },
    });
    this.events = events;
    this.counts = counts;
  }

  override close(given: number | { readonly linger: number } = 1_000): Promise<void> {
    this.#closing ??= super.close(typeof given === "number" ? given : given.linger);
    return this.#closing;
  }
}
