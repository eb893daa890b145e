/**
 * SERVER and PEER (41/CLISRV, The SERVER Socket Type): messages [id | body] from and to named peers.
 *
 * Ids are non-zero 32-bit numbers as 4 bytes, big-endian. A peer connected to keeps its id across
 * connections.
 */
import { allocate, keyOf } from "../../../core/memory.js";
import { randomStart } from "../../../core/random.js";
import { OfferResult, type OutgoingFrame, type OutgoingMessage, type PeerQueues } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import { FairRouting } from "./fair-routing.js";

export class ServerRouting extends FairRouting implements PeerQueues {
  readonly #byId = new Map<string, Pipe>();
  #counter = randomStart();

  get writable(): boolean {
    return true;
  }

  override add(pipe: Pipe): void {
    super.add(pipe);
    // Untransferable memory: the same object comes with every message.
    const id = allocate(4);
    do {
      this.#counter = (this.#counter + 1) >>> 0;
      id.writeUInt32BE(this.#counter);
    } while (this.#counter === 0 || this.#byId.has(keyOf(id)));
    pipe.routingId = id;
    this.#byId.set(keyOf(id), pipe);
    this.effects.routingOnWritable();
  }

  override removed(pipe: Pipe): void {
    super.removed(pipe);
    if (pipe.routingId !== undefined) this.#byId.delete(keyOf(pipe.routingId));
  }

  offer(message: OutgoingMessage, transfer?: boolean): OfferResult {
    if (!Array.isArray(message) || message.length !== 2) return OfferResult.Unroutable;
    const pipe = this.#byId.get(keyOf(message[0] as Uint8Array));
    if (pipe === undefined) return OfferResult.Unroutable;
    if (!pipe.hasRoom()) return OfferResult.PeerFull;
    pipe.send(message[1] as OutgoingFrame, 0, undefined, transfer);
    return OfferResult.Accepted;
  }

  protected override idFor({ routingId }: Pipe): Buffer | undefined {
    return routingId;
  }

  override get peerQueues(): PeerQueues {
    return this;
  }

  queuedBytes(routingId: Uint8Array): number {
    return this.#byId.get(keyOf(routingId))?.out.heldCost ?? 0;
  }
}
