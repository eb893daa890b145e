/**
 * PAIR has one peer at a time (31/EXPAIR, The PAIR Socket Type). CHANNEL is PAIR with single-frame messages
 * (52/CHANNEL).
 */

import { ignore } from "../../../core/waiter.js";
import { OfferResult, type OutgoingMessage, type RelaySink, type RelaySource } from "../../engine.js";
import { type Fault, handshakeFault } from "../mechanism/mechanism.js";
import type { Peer, Pipe } from "../pipe.js";
import { FairRouting, type RoutingEffects } from "./routing.js";

export class PairRouting extends FairRouting {
  #pipe: Pipe | undefined = undefined;
  readonly #type: "PAIR" | "CHANNEL";

  constructor(effects: RoutingEffects, type: "PAIR" | "CHANNEL" = "PAIR") {
    // Messages of a departed peer come before those of its successor.
    super(effects, false);
    this.#type = type;
  }

  get writable(): boolean {
    return this.#pipe?.hasRoom() === true;
  }

  /** libzmq completes a second peer's handshake and ignores the peer. */
  override refuse(_peer: Peer, pipe: Pipe | undefined): Fault | undefined {
    if (this.#pipe === undefined || this.#pipe === pipe) return undefined;
    return handshakeFault(`a ${this.#type} socket has one peer, and it is there already`);
  }

  override add(pipe: Pipe): void {
    super.add(pipe);
    this.#choose();
  }

  override removed(pipe: Pipe): void {
    super.removed(pipe);
    if (this.#pipe === pipe) this.#pipe = undefined;
    this.#choose();
  }

  #choose(): void {
    if (this.#pipe !== undefined) return;
    [this.#pipe] = this.pipes;
    this.effects.routingOnWritable();
  }

  offer(message: OutgoingMessage, transfer?: boolean): OfferResult {
    if (this.#pipe?.hasRoom() !== true) return OfferResult.Mute;
    this.#pipe.send(message, 0, undefined, transfer);
    return OfferResult.Accepted;
  }

  override get relaySource(): RelaySource | undefined {
    return this.effects.relays?.fairSource(this.in);
  }

  override get relaySink(): RelaySink | undefined {
    const next = (): Pipe | undefined => (this.#pipe?.hasRoom() === true ? this.#pipe : undefined);
    return this.effects.relays?.balancedSink({ next, alone: true, advance: ignore });
  }
}
