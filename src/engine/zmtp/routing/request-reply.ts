/** REQ and REP (28/REQREP): a request to one peer, and its reply. */
import { randomStart } from "../../../core/bytes.js";
import { OfferResult, type OutgoingMessage } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import { PipelineRouting } from "./pipeline.js";
import { FairQueue } from "./queues.js";
import { Routing, type RoutingEffects } from "./routing.js";

const EMPTY = Buffer.alloc(0);
const PLAIN = [EMPTY];

interface Request {
  readonly pipe: Pipe;
  readonly envelope: Buffer[];
  readonly body: Buffer[];
}

/**
 * REQ (28/REQREP, The REQ Socket Type): sends a request to the next peer, then takes that peer's reply.
 *
 *   sends     [id 4] | "" | body     the id with `correlate`
 *   receives  [id 4] | "" | body     anything else is dropped; without "" the peer is closed, as libzmq does
 *
 *   idle --offer--> asking --take--> idle
 *                     | offer, with `relaxed`: the old request is given up
 */
export class RequestRouting extends PipelineRouting {
  /** While a request is unanswered. */
  #asked: Pipe | undefined = undefined;
  #askedLeft = false;
  #id = randomStart();
  #idFrame: Buffer | undefined = undefined;
  #late = 0;

  constructor(effects: RoutingEffects) {
    super(effects, true, true);
  }

  override get readable(): boolean {
    return this.#find();
  }

  override get writable(): boolean {
    return (this.#asked === undefined || this.effects.options.relaxed) && super.writable;
  }

  /** Unsent requests go over the next connection. */
  override lost(pipe: Pipe): void {
    if (pipe.out.messages === 0 && this.effects.options.routingId === null) this.#left(pipe);
  }

  override removed(pipe: Pipe): void {
    super.removed(pipe);
    this.#left(pipe);
  }

  override messages(pipe: Pipe): void {
    // Late messages must not count as a later request's reply.
    if (pipe !== this.#asked) this.#late += pipe.discard();
    else if (this.#find()) this.effects.routingOnReadable();
  }

  override offer(message: OutgoingMessage, transfer?: boolean): OfferResult {
    if (this.#asked !== undefined && !this.effects.options.relaxed) return OfferResult.Mute;
    const pipe = this.out.next();
    if (pipe === undefined) return OfferResult.Mute;
    if (this.held !== undefined) this.#late += 1;
    this.held = undefined;
    this.#late += pipe.discard();
    let prefix: Buffer[] = PLAIN;
    if (this.effects.options.correlate) {
      this.#id = (this.#id + 1) >>> 0;
      this.#idFrame = Buffer.allocUnsafe(4);
      this.#idFrame.writeUInt32BE(this.#id);
      prefix = [this.#idFrame, EMPTY];
    } else this.#idFrame = undefined;
    // First, because a peer within the process may reply within the send.
    const askedBefore = this.#asked;
    const hadLeft = this.#askedLeft;
    this.#asked = pipe;
    this.#askedLeft = false;
    try {
      this.out.send(message, prefix, transfer);
    } catch (error) {
      this.#asked = askedBefore;
      this.#askedLeft = hadLeft;
      throw error;
    }
    return OfferResult.Accepted;
  }

  override take(): Buffer[] | undefined {
    if (!this.#find()) return undefined;
    const reply = this.held as Buffer[];
    this.held = undefined;
    this.#asked = undefined;
    this.#askedLeft = false;
    this.effects.routingOnWritable();
    return reply;
  }

  override get replyLost(): boolean {
    return this.#askedLeft && !this.#find();
  }

  override get asked(): string | undefined {
    return this.#asked?.endpoint;
  }

  override get late(): number {
    return this.#late;
  }

  #left(pipe: Pipe): void {
    if (pipe !== this.#asked) return;
    this.#askedLeft = true;
    this.effects.routingOnReplyLost();
  }

  #find(): boolean {
    if (this.held !== undefined) return true;
    const pipe = this.#asked;
    if (pipe === undefined) return false;
    while (pipe.in.messages > 0) {
      const frames = pipe.take();
      const at = this.#idFrame === undefined ? 0 : 1;
      if (this.#idFrame !== undefined && frames[0]?.equals(this.#idFrame) !== true) {
        this.#late += 1;
        continue;
      }
      if (frames[at]?.length !== 0) {
        this.effects.closePipe(pipe, "protocol");
        return false;
      }
      frames.splice(0, at + 1);
      // For a reply of only the delimiter, libzmq returns an empty frame.
      this.held = frames.length === 0 ? [EMPTY] : frames;
      return true;
    }
    return false;
  }
}

/**
 * REP (28/REQREP, The REP Socket Type): takes a request from the next peer, then sends it the reply.
 *
 *   receives  envelope… | "" | body      without "" it is dropped, counted and reported
 *   sends     the same envelope | "" | body
 */
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
