/** One message to many pipes (PUB, XPUB, RADIO): encoded once. */
import { OfferResult, type OutgoingMessage } from "../../engine.js";
import { Encoder, letGo } from "../codec/encoder.js";
import type { Pipe } from "../pipe.js";

export interface FanOutEffects {
  readonly options: { readonly noDrop?: boolean | undefined };
  dropped(reason: "peer-full", messages: number, pipe: Pipe): void;
}

/** In use during one send. Small neighbours share the encoder's slab. */
export class FanOut {
  readonly encoder = new Encoder();
  readonly pipes: Pipe[] = [];

  /** Drops the message for full pipes; with `noDrop` none gets it then. */
  send(message: OutgoingMessage, pipes: readonly Pipe[], effects: FanOutEffects): OfferResult {
    if (pipes.length === 0) return OfferResult.Accepted;
    const { encoder } = this;
    const { noDrop } = effects.options;
    if (noDrop === true) {
      let isFull = false;
      for (let i = 0; i < pipes.length; i++) if (!(pipes[i] as Pipe).hasRoom()) isFull = true;
      if (isFull) return OfferResult.Mute;
    }
    encoder.encode(message, 0, undefined);
    const held = encoder.hold();
    let full: Pipe[] | undefined;
    for (let i = 0; i < pipes.length; i++) {
      const pipe = pipes[i] as Pipe;
      if (noDrop === true || pipe.hasRoom()) pipe.sendEncoded(encoder);
      else if (full === undefined) full = [pipe];
      else full.push(pipe);
    }
    letGo(held);
    // Last, because a listener may publish: its message comes after this one.
    if (full !== undefined) for (const pipe of full) effects.dropped("peer-full", 1, pipe);
    return OfferResult.Accepted;
  }
}

/** A transport of the program may publish within a write, when the first one is in use. */
export class FanOuts {
  #idle: FanOut | undefined = undefined;

  begin(): FanOut {
    const fanOut = this.#idle ?? new FanOut();
    this.#idle = undefined;
    return fanOut;
  }

  end(fanOut: FanOut): void {
    if (this.#idle === undefined) this.#idle = fanOut;
    else fanOut.encoder.close();
  }
}
