/**
 * SERVER and PEER (41/CLISRV, The SERVER Socket Type): as ROUTER, with messages [id | body] of two frames.
 *
 * Ids are non-zero 32-bit numbers as 4 bytes, big-endian. A peer connected to keeps its id across
 * connections.
 */
import { allocate } from "../../../core/memory.js";
import { OfferResult, type OutgoingMessage } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import { RouterRouting } from "./router.js";

export class ServerRouting extends RouterRouting {
  override isRelayed = false;

  /** Peers do not name themselves. */
  override refuse(): undefined {
    return undefined;
  }

  override add(pipe: Pipe): void {
    // Untransferable memory: the program of a PEER gets it.
    pipe.routingId = this.newId(allocate(4), 0);
    super.add(pipe);
  }

  override offer(message: OutgoingMessage, transfer?: boolean): OfferResult {
    if (!Array.isArray(message) || message.length !== 2) return OfferResult.Unroutable;
    return super.offer(message, transfer);
  }
}
