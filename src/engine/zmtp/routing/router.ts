/**
 * ROUTER and STREAM, whose messages name a peer.
 *
 * ROUTER (28/REQREP, The ROUTER Socket Type): the first frame names the peer.
 *
 *   receives  routing id | what the peer sent
 *   sends     to the peer named by the first frame, without it
 *
 * A peer is called by the Identity in its handshake; one without gets a name of
 * 5 bytes, `00` and a counter. A second peer of the same name is refused; with
 * `handover` it takes the name over, and the first is closed. (libzmq keeps the
 * second connected but deaf, even when the first leaves.)
 */
import { quoted } from "../../../core/arguments.js";
import { allocate, keyOf } from "../../../core/memory.js";
import { randomStart } from "../../../core/random.js";
import {
  OfferResult,
  type OutgoingFrame,
  type OutgoingMessage,
  type PeerQueues,
  type RelaySink,
  type RelaySource,
  type TakenMessages,
} from "../../engine.js";
import type { Lease } from "../../lease.js";
import type { Fault } from "../mechanism/mechanism.js";
import type { Peer, Pipe } from "../pipe.js";
import { isSameId, lastGiven } from "./given-id.js";
import { FairQueue } from "./queues.js";
import { fairSource, routedSink } from "./relaying.js";
import { Routing } from "./routing.js";

/** Bytes of an Identity at most (37/ZMTP, The Identity Property). */
const MAX_IDENTITY = 255;

export class RouterRouting extends Routing implements PeerQueues {
  readonly #in = new FairQueue();
  /** By the id's bytes, as a string of one character a byte. */
  readonly #byId = new Map<string, Pipe>();
  /** By the object that came with its messages: to make a text of an id costs more than the rest of finding its peer. */
  readonly #byObject = new Map<OutgoingFrame | undefined, Pipe>();
  #counter = randomStart();

  get readable(): boolean {
    return this.#in.next() !== undefined;
  }

  /** As in libzmq: a ROUTER takes any message, and says what became of it. */
  get writable(): boolean {
    return true;
  }

  override refuse({ identity }: Peer, pipe: Pipe | undefined): Fault | undefined {
    if (identity.length > MAX_IDENTITY || identity[0] === 0) {
      return {
        kind: "protocol",
        code: "ERR_ZMTP_INVALID_METADATA",
        message: "an Identity has at most 255 bytes and does not begin with a zero byte",
      };
    }
    const other = identity.length === 0 ? undefined : this.#byId.get(keyOf(identity));
    if (other === undefined || other === pipe || this.effects.options.handover) return undefined;
    return {
      kind: "other",
      code: "ERR_HANDSHAKE",
      message: `another peer has the routing id ${quoted(identity.toString())}; the option handover would give it over`,
    };
  }

  /** @param pipe one with a routing id has it from `connect` */
  override add(pipe: Pipe): void {
    super.add(pipe);
    if (pipe.routingId !== undefined) this.#name(pipe, pipe.routingId);
    this.effects.routingOnWritable();
  }

  override joined(pipe: Pipe): void {
    const identity = pipe.peer?.identity;
    // A peer we connect to keeps its name, unless another has taken it over meanwhile.
    if (pipe.routingId === undefined || this.#byId.get(keyOf(pipe.routingId)) !== pipe) {
      const named = identity !== undefined && identity.length > 0;
      this.#name(pipe, named ? Buffer.from(identity) : this.#autoId());
    }
    if (this.effects.options.probeRouter) pipe.send("", 0, undefined);
    this.effects.routingOnWritable();
  }

  override removed(pipe: Pipe): void {
    super.removed(pipe);
    const key = pipe.routingId === undefined ? "" : keyOf(pipe.routingId);
    this.#byObject.delete(pipe.givenId);
    if (this.#byId.get(key) === pipe) this.#byId.delete(key);
  }

  override messages(pipe: Pipe): void {
    this.#in.add(pipe);
    this.effects.routingOnReadable();
  }

  offer(message: OutgoingMessage, transfer?: boolean): OfferResult {
    if (!Array.isArray(message) || message.length < 2) return OfferResult.Unroutable;
    const pipe = this.find(message[0] as OutgoingFrame);
    if (pipe === undefined) return OfferResult.Unroutable;
    if (!pipe.hasRoom()) return OfferResult.PeerFull;
    pipe.send(message, 1, undefined, transfer);
    return OfferResult.Accepted;
  }

  override get relaySource(): RelaySource | undefined {
    return fairSource(this.#in, true);
  }

  override get relaySink(): RelaySink | undefined {
    return routedSink(this.#byId);
  }

  override get peerQueues(): PeerQueues {
    return this;
  }

  take(lease?: Lease): Buffer[] | undefined {
    const pipe = this.#in.next();
    if (pipe === undefined) return undefined;
    const message = pipe.take(this.#idFor(pipe), lease);
    this.#in.advance(pipe);
    return message;
  }

  override takeMany(taken: TakenMessages, max: number, maxCost: number, lease: Lease | undefined): void {
    this.#in.takeMany(taken, max, maxCost, lease, (pipe) => this.#idFor(pipe));
  }

  queuedBytes(routingId: Uint8Array): number {
    return this.find(routingId)?.out.heldCost ?? 0;
  }

  protected find(id: OutgoingFrame): Pipe | undefined {
    const bytes = typeof id === "string" ? Buffer.from(id) : id;
    const pipe = this.#byObject.get(bytes);
    // The object is the program's: it may have another id by now.
    if (pipe?.routingId !== undefined && isSameId(bytes, pipe.routingId)) return pipe;
    return this.#byId.get(keyOf(bytes));
  }

  /** A peer's id as the program gets it: the same object each time, unless the program has written to that. */
  #idFor(pipe: Pipe): Buffer {
    const id = pipe.routingId as Buffer;
    const last = lastGiven(pipe);
    if (last !== undefined) return last;
    this.#byObject.delete(pipe.givenId);
    // The program gets it with each message, and must not be able to take it away.
    const given = allocate(id.length);
    given.set(id);
    pipe.givenId = given;
    // Unless another has taken its name over, or it has gone: an answer is for who has the name now.
    if (this.#byId.get(keyOf(id)) === pipe) this.#byObject.set(given, pipe);
    return given;
  }

  #name(pipe: Pipe, id: Buffer): void {
    const key = keyOf(id);
    const other = this.#byId.get(key);
    this.#byObject.delete(other?.givenId);
    if (other !== undefined && other !== pipe) this.effects.closePipe(other, "local");
    pipe.routingId = id;
    this.#byId.set(key, pipe);
  }

  #autoId(): Buffer {
    const id = Buffer.allocUnsafe(5);
    id[0] = 0;
    do {
      this.#counter = (this.#counter + 1) >>> 0;
      id.writeUInt32BE(this.#counter, 1);
    } while (this.#byId.has(keyOf(id)));
    return id;
  }
}

/**
 * STREAM: raw TCP. Each piece that comes is a message [routing id | bytes]; an
 * empty piece reports that a peer has joined or left (option `notify`), and one that is
 * sent closes the connection.
 */
export class StreamRouting extends RouterRouting {
  /** What passes here is not framed. */
  override get relaySource(): undefined {
    return undefined;
  }

  override get relaySink(): undefined {
    return undefined;
  }

  override offer(message: OutgoingMessage): OfferResult {
    if (!Array.isArray(message) || message.length < 2) return OfferResult.Unroutable;
    const pipe = this.find(message[0] as OutgoingFrame);
    if (pipe === undefined) return OfferResult.Unroutable;
    const bytes = message[1] as OutgoingFrame;
    // There is no connection to end yet; `disconnect` ends the attempts.
    if (bytes.length === 0 && pipe.link === undefined) return OfferResult.Unroutable;
    // A peer that does not read can be hung up on, too.
    if (bytes.length === 0) this.effects.closePipe(pipe, "local");
    // Not mute: other peers go on.
    else if (!pipe.hasRoom()) return OfferResult.PeerFull;
    else pipe.sendRaw(bytes, 1);
    return OfferResult.Accepted;
  }
}
