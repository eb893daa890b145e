/**
 * PUSH, PULL and DEALER (30/PIPELINE, 28/REQREP). SCATTER, GATHER and CLIENT do the same with single-frame
 * messages (49/SCATTERGATHER, 41/CLISRV).
 */

import { OfferResult, type OutgoingMessage, type RelaySink, type RelaySource } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import { LoadBalancer } from "./queues.js";
import { FairRouting, type RoutingEffects } from "./routing.js";

export class PipelineRouting extends FairRouting {
  protected readonly out = new LoadBalancer();
  readonly #sends: boolean;
  readonly #receives: boolean;

  constructor(effects: RoutingEffects, sends: boolean, receives: boolean) {
    super(effects);
    this.#sends = sends;
    this.#receives = receives;
  }

  get writable(): boolean {
    return this.#sends && this.out.next() !== undefined;
  }

  override add(pipe: Pipe): void {
    super.add(pipe);
    if (!this.#sends) return;
    this.out.add(pipe);
    this.effects.routingOnWritable();
  }

  override joined(pipe: Pipe): void {
    if (this.effects.options.probeRouter) pipe.send("", 0, undefined);
  }

  override removed(pipe: Pipe): void {
    super.removed(pipe);
    this.out.remove(pipe);
  }

  override release(pipe: Pipe): boolean {
    if (pipe.released || !this.#sends || !this.#receives) return false;
    pipe.released = true;
    this.out.remove(pipe);
    return true;
  }

  override messages(pipe: Pipe): void {
    if (this.#receives) super.messages(pipe);
    else pipe.discard(); // PUSH does not receive.
  }

  override room(pipe: Pipe): void {
    if (pipe.released) return;
    this.out.add(pipe);
    super.room(pipe);
  }

  offer(message: OutgoingMessage, transfer?: boolean): OfferResult {
    const pipe = this.out.send(message, undefined, transfer);
    return pipe === undefined ? OfferResult.Mute : OfferResult.Accepted;
  }

  override get relaySource(): RelaySource | undefined {
    return this.#receives ? this.effects.relays?.fairSource(this.in) : undefined;
  }

  override get relaySink(): RelaySink | undefined {
    return this.#sends ? this.effects.relays?.balancedSink(this.out) : undefined;
  }
}
