/**
 * ROUTER, STREAM, SERVER and PEER: the first frame of a message names the peer (28/REQREP, The ROUTER Socket Type).
 *
 * The name is the Identity of the peer's handshake, or else 5 bytes, `00` and a counter. A second peer with
 * the same name is refused; with `handover` it replaces the first. (libzmq makes the second deaf.)
 */
import { quoted } from "../../../core/arguments.js";
import { randomStart } from "../../../core/bytes.js";
import { allocate, copyRange, keyOf } from "../../../core/memory.js";
import {
  OfferResult,
  type OutgoingFrame,
  type OutgoingMessage,
  type RelaySink,
  type RelaySource,
} from "../../engine.js";
import { type Fault, handshakeFault, protocolFault } from "../mechanism/mechanism.js";
import { isSameId, lastGiven, type Peer, type Pipe } from "../pipe.js";
import { FairRouting } from "./routing.js";

/** Bytes (37/ZMTP, The Identity Property). */
const MAX_IDENTITY = 255;

export class RouterRouting extends FairRouting {
  readonly #byId = new Map<string, Pipe>();
  /** By the id object of received messages, which is faster than a string key. */
  readonly #byObject = new Map<OutgoingFrame | undefined, Pipe>();
  #counter = randomStart();

  /** As in libzmq, any message is accepted. */
  get writable(): boolean {
    return true;
  }

  override refuse({ identity }: Peer, pipe: Pipe | undefined): Fault | undefined {
    if (identity.length > MAX_IDENTITY || identity[0] === 0)
      return protocolFault(
        "ERR_ZMTP_INVALID_METADATA",
        "an Identity has at most 255 bytes and does not begin with a zero byte",
      );
    const other = identity.length === 0 ? undefined : this.#byId.get(keyOf(identity));
    if (other === undefined || other === pipe || this.effects.options.handover) return undefined;
    const name = quoted(identity.toString());
    return handshakeFault(`another peer has the routing id ${name}; the option handover would give it over`);
  }

  override add(pipe: Pipe): void {
    super.add(pipe);
    if (pipe.routingId !== undefined) this.#name(pipe, pipe.routingId);
    this.effects.routingOnWritable();
  }

  override joined(pipe: Pipe): void {
    const identity = pipe.peer?.identity;
    // Unless another peer has taken the name over.
    if (pipe.routingId === undefined || this.#byId.get(keyOf(pipe.routingId)) !== pipe) {
      const named = identity !== undefined && identity.length > 0;
      this.#name(pipe, named ? Buffer.from(identity) : this.newId(Buffer.alloc(5), 1));
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

  offer(message: OutgoingMessage, transfer?: boolean): OfferResult {
    if (!Array.isArray(message) || message.length < 2) return OfferResult.Unroutable;
    const pipe = this.find(message[0] as OutgoingFrame);
    if (pipe === undefined) return OfferResult.Unroutable;
    if (!pipe.hasRoom()) return OfferResult.PeerFull;
    pipe.send(message, 1, undefined, transfer);
    return OfferResult.Accepted;
  }

  /** The one peer that a send waits for is unknown here, and the others keep their marks. */
  override awaited(): void {}

  override get relaySource(): RelaySource | undefined {
    return this.effects.relays?.fairSource(this.in, true);
  }

  override get relaySink(): RelaySink | undefined {
    return this.effects.relays?.routedSink(this.#byId);
  }

  override queuedBytes(routingId: Uint8Array): number {
    return this.find(routingId)?.out.heldCost ?? 0;
  }

  protected find(id: OutgoingFrame): Pipe | undefined {
    const bytes = typeof id === "string" ? Buffer.from(id) : id;
    const pipe = this.#byObject.get(bytes);
    if (pipe?.routingId !== undefined && isSameId(bytes, pipe.routingId)) return pipe;
    return this.#byId.get(keyOf(bytes));
  }

  /** The same object, unless the program has written to it. */
  protected override idFor(pipe: Pipe): Buffer {
    const id = pipe.routingId as Buffer;
    const last = lastGiven(pipe);
    if (last !== undefined) return last;
    this.#byObject.delete(pipe.givenId);
    // Untransferable memory: the same object comes with every message.
    const given = copyRange(id);
    pipe.givenId = given;
    // Replies must reach the current owner of the name.
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

  /** @param id gets a number at `at` that is not 0, and no peer's */
  protected newId(id: Buffer, at: number): Buffer {
    do {
      this.#counter = (this.#counter + 1) >>> 0;
      id.writeUInt32BE(this.#counter, at);
    } while (this.#counter === 0 || this.#byId.has(keyOf(id)));
    return id;
  }
}

/**
 * STREAM: raw TCP. Each received chunk is a message [routing id | bytes]; an empty one reports that a peer
 * has joined or left (`notify`). Sending an empty one closes the connection.
 */
export class StreamRouting extends RouterRouting {
  override offer(message: OutgoingMessage): OfferResult {
    if (!Array.isArray(message) || message.length < 2) return OfferResult.Unroutable;
    const pipe = this.find(message[0] as OutgoingFrame);
    if (pipe === undefined) return OfferResult.Unroutable;
    const bytes = message[1] as OutgoingFrame;
    // `disconnect` ends attempts to connect.
    if (bytes.length === 0 && pipe.link === undefined) return OfferResult.Unroutable;
    // A full peer can be disconnected, too.
    if (bytes.length === 0) this.effects.closePipe(pipe, "local");
    // Mute would block other peers.
    else if (!pipe.hasRoom()) return OfferResult.PeerFull;
    else pipe.sendRaw(bytes, 1);
    return OfferResult.Accepted;
  }
}

/**
 * SERVER and PEER (41/CLISRV, The SERVER Socket Type): as ROUTER, with messages [id | body] of two frames.
 *
 * Ids are non-zero 32-bit numbers as 4 bytes, big-endian. A peer connected to keeps its id across
 * connections.
 */
export class ServerRouting extends RouterRouting {
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
