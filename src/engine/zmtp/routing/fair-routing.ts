/** The receiving half of PULL, DEALER, PAIR, SUB, ROUTER and SERVER. */
import type { Lease, TakenMessages } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import { FairQueue } from "./queues.js";
import { Routing, type RoutingEffects } from "./routing.js";

export abstract class FairRouting extends Routing {
  protected readonly in: FairQueue;

  /** @param inTurn as of FairQueue */
  constructor(effects: RoutingEffects, inTurn = true) {
    super(effects);
    this.in = new FairQueue(inTurn);
  }

  get readable(): boolean {
    return this.in.next() !== undefined;
  }

  override messages(pipe: Pipe): void {
    this.in.add(pipe);
    this.effects.routingOnReadable();
  }

  take(lease?: Lease): Buffer[] | undefined {
    const pipe = this.in.next();
    if (pipe === undefined) return undefined;
    const message = pipe.take(this.idFor(pipe), lease);
    this.in.advance(pipe);
    return message;
  }

  override takeMany(taken: TakenMessages, max: number, maxCost: number, lease: Lease | undefined): void {
    this.in.takeMany(taken, max, maxCost, lease, this.#idFor);
  }

  /** @returns a frame to prepend to messages of this peer */
  protected idFor(_pipe: Pipe): Buffer | undefined {
    return undefined;
  }

  #idFor = (pipe: Pipe): Buffer | undefined => this.idFor(pipe);
}
