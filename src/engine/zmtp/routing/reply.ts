/**
 * REP (28/REQREP, The REP Socket Type): takes a request from the next peer, then sends it the reply.
 *
 *   receives  envelope… | "" | body      without "" it is dropped, counted and reported
 *   sends     the same envelope | "" | body
 */
import { OfferResult, type OutgoingMessage } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import { FairQueue } from "./queues.js";
import { Routing } from "./routing.js";

const EMPTY = Buffer.alloc(0);

interface Request {
  readonly pipe: Pipe;
  readonly envelope: Buffer[];
  readonly body: Buffer[];
}

export class ReplyRouting extends Routing {
  readonly #in = new FairQueue();
  #requester: Pipe | undefined = undefined;
  #envelope: Buffer[] = [];

  get readable(): boolean {
    return this.#requester === undefined && this.#find();
  }

  get writable(): boolean {
    return this.#requester !== undefined;
  }

  override messages(pipe: Pipe): void {
    this.#in.add(pipe);
    if (this.readable) this.effects.routingOnReadable();
  }

  offer(message: OutgoingMessage, transfer?: boolean): OfferResult {
    const pipe = this.#requester;
    if (pipe === undefined) return OfferResult.Mute;
    this.#requester = undefined;
    if (pipe.isGone) this.effects.dropped("disconnected", 1, pipe);
    else if (!pipe.hasRoom()) this.effects.dropped("peer-full", 1, pipe);
    else {
      try {
        pipe.send(message, 0, this.#envelope, transfer);
      } catch (error) {
        this.#requester = pipe; // The peer still waits for its reply.
        throw error;
      }
    }
    if (this.readable) this.effects.routingOnReadable();
    return OfferResult.Accepted;
  }

  take(): Buffer[] | undefined {
    if (!this.readable) return undefined;
    const { pipe, envelope, body } = this.held as Request;
    this.held = undefined;
    this.#requester = pipe;
    this.#envelope = envelope;
    this.effects.routingOnWritable();
    return body;
  }

  #find(): boolean {
    while (this.held === undefined) {
      const pipe = this.#in.next();
      if (pipe === undefined) return false;
      const frames = pipe.take();
      this.#in.advance(pipe);
      const delimiter = frames.findIndex((frame) => frame.length === 0);
      if (delimiter < 0) {
        this.refuseMessage("a request has an empty frame before its body (28/REQREP); this one has none");
        continue;
      }
      const body = frames.splice(delimiter + 1);
      const request: Request = { pipe, envelope: frames, body: body.length === 0 ? [EMPTY] : body };
      this.held = request;
    }
    return true;
  }
}
