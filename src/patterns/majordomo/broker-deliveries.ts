/**
 * The requests that are with workers, each by the tag of its delivery. A tag is not
 * given again before its delivery is over.
 */
import { NumberTable } from "../../core/collections/number-table.js";
import type { BrokerOutbox } from "./broker-outbox.js";
import { type BrokerRequest, Stage, type Worker } from "./broker-tables.js";
import { delivery } from "./messages-broker.js";
import { MAX_TAG } from "./protocol.js";

export class BrokerDeliveries {
  readonly #outbox: BrokerOutbox;
  readonly #byTag = new NumberTable<BrokerRequest>();
  #tag: number;

  /** @param firstTag where the tags begin */
  constructor(outbox: BrokerOutbox, firstTag: number) {
    this.#outbox = outbox;
    this.#tag = firstTag % MAX_TAG;
  }

  get size(): number {
    return this.#byTag.size;
  }

  /** Gives a worker with room a request. @returns whether it has it; if not, its connection is gone */
  give(worker: Worker, request: BrokerRequest): boolean {
    const tag = this.#nextTag();
    request.stage = Stage.Delivered;
    request.worker = worker;
    request.tag = tag;
    request.deliveries += 1;
    this.#byTag.set(tag, request);
    worker.inFlight.push(request.placeLink);
    worker.place(true);
    const { head, frames, bodyAt } = request;
    const message = delivery(worker.routingId, worker.dialect, tag, head, frames, bodyAt);
    if (this.#outbox.send(message) === "sent") return true;
    // It never had it: this was no delivery.
    request.deliveries -= 1;
    this.end(request);
    worker.draining = true;
    worker.availableLink.unlink();
    return false;
  }

  /** What this worker was given under this tag. */
  of(worker: Worker, tag: number): BrokerRequest | undefined {
    const request = this.#byTag.get(tag);
    return request?.worker === worker ? request : undefined;
  }

  /** The worker does not have it any more. */
  end(request: BrokerRequest): void {
    this.#byTag.delete(request.tag);
    request.placeLink.unlink();
  }

  #nextTag(): number {
    do this.#tag = this.#tag >= MAX_TAG ? 1 : this.#tag + 1;
    while (this.#byTag.has(this.#tag));
    return this.#tag;
  }
}
