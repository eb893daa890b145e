/**
 * Peers in the same context: no bytes on a wire and no handshake, but the same queues, marks and events. Both ends are
 * linked within the call. A message is written once, into the sender's slab, and read where it lies; a slab that was
 * handed over is never written again.
 *
 * Sender and receiver have one queue together, of both high-water marks.
 */
import { allocate } from "../../core/memory.js";
import { faultEvents } from "./errors.js";
import type { InprocNames, InprocTarget } from "./inproc-names.js";
import { identityOf, pipeOptions } from "./options.js";
import type { Peers } from "./peers.js";
import { type CloseReason, type Link, limitOf, type Peer, type Pipe, type ReceiveMarks } from "./pipe.js";
import { WIRE_NAMES } from "./routing/routing.js";
import type { SocketState } from "./socket-state.js";

/** Types that send one encoded message to many. */
const FANS_OUT: readonly string[] = ["PUB", "XPUB", "RADIO"];

/** One end of a link between two pipes. */
export class InprocLink implements Link {
  /** Until both sides know each other: a ROUTER must not get what it has no name for. */
  blocked = true;
  readonly #pipe: Pipe;
  #other: InprocLink | undefined = undefined;
  readonly #onEnd: (reason: CloseReason | "remote") => void;
  #marks: ReceiveMarks;

  /** @param marks of the pipe's own socket @param onEnd the link is over; called once */
  constructor(pipe: Pipe, marks: ReceiveMarks, onEnd: (reason: CloseReason | "remote") => void) {
    this.#pipe = pipe;
    this.#marks = marks;
    this.#onEnd = onEnd;
  }

  /** Joins two ends; both pipes are linked then. */
  static join(one: InprocLink, onePeer: Peer, other: InprocLink, otherPeer: Peer): void {
    one.#other = other;
    other.#other = one;
    one.#pipe.linked(one, otherPeer);
    other.#pipe.linked(other, onePeer);
  }

  /** Both sides have joined: what waits goes. */
  static open(one: InprocLink, other: InprocLink): void {
    one.blocked = false;
    other.blocked = false;
    one.flush();
    other.flush();
  }

  get #far(): Pipe | undefined {
    return this.#other === undefined ? undefined : this.#other.#pipe;
  }

  get ahead(): number {
    return this.#far?.in.messages ?? 0;
  }

  get room(): number {
    return limitOf(this.#other === undefined ? 0 : this.#other.#marks.receiveHighWaterMark);
  }

  get aheadBytes(): number {
    return this.#far?.in.bytes ?? 0;
  }

  get roomBytes(): number {
    return limitOf(this.#other === undefined ? 0 : this.#other.#marks.receiveHighWaterMarkBytes);
  }

  marksChanged(marks: ReceiveMarks): void {
    this.#marks = marks;
    this.#far?.roomChanged();
  }

  flush(): void {
    const other = this.#far;
    const { out } = this.#pipe;
    if (other === undefined || this.blocked || out.length === 0) return;
    // What a publisher sends, several get: each has a copy of its own, since a received frame may be written to.
    const shared = FANS_OUT.includes(other.peer?.socketType ?? "");
    let fault: string | undefined;
    for (const { bytes, start, end } of this.#pipe.takeOut(Number.POSITIVE_INFINITY)) {
      fault ??= shared ? other.in.push(copyOf(bytes, start, end)) : other.in.push(bytes, start, end);
    }
    out.handOver();
    other.arrived();
    if (fault !== undefined) this.#other?.close("protocol");
  }

  /** The queue is one for both: what is not read counts on the sender's side. */
  pause(): void {}

  resume(): void {
    this.#far?.relieved();
  }

  /** The sender found no room: it wants to know when the receiver has taken some. */
  awaitRoom(): void {
    this.#far?.watch();
  }

  /** What waits is handed over within the call, as far as the receiver has room. */
  drain(): void {
    this.close("local");
  }

  halfClose(): void {
    this.close("local");
  }

  readonly draining = false;

  close(reason: CloseReason): void {
    const other = this.#other;
    if (other === undefined) return;
    this.flush();
    this.#other = undefined;
    other.#other = undefined;
    this.#onEnd(reason);
    other.#onEnd("remote");
  }
}

function copyOf(bytes: Uint8Array, start: number, end: number): Buffer {
  const copy = allocate(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

/**
 * One socket's peers in the same process: those it connects to by an inproc name,
 * and those that come to the names it is bound to. No stream and no handshake: both
 * ends are linked within the call.
 */

/** A name that a socket connects to. */
export interface InprocDial {
  readonly name: string;
  readonly from: InprocPeers;
  readonly pipe: Pipe;
  stopped: boolean;
}

/** One socket's peers in the same process: those behind the inproc names it connects to, and those that come to its own. */
export class InprocPeers implements InprocTarget<InprocDial> {
  readonly #state: SocketState;
  readonly #names: InprocNames<InprocDial>;
  readonly #peers: Peers;
  readonly #dials = new Set<InprocDial>();
  /** Those of them that had no place, there or here: they wait for one. */
  readonly #refused = new Set<InprocDial>();

  constructor(state: SocketState, peers: Peers) {
    this.#state = state;
    this.#names = state.names as InprocNames<InprocDial>;
    this.#peers = peers;
    peers.onPlace = () => this.#again();
  }

  /** Peers that connect to the name are this socket's from now on. */
  bind(name: string): void {
    this.#names.bind(name, this);
  }

  connect(name: string, pipe: Pipe): void {
    const dial: InprocDial = { name, from: this, pipe, stopped: false };
    this.#dials.add(dial);
    this.#state.effects.event({ type: "connect", address: name });
    if (!dial.stopped) this.#names.connect(name, dial);
  }

  /** @returns whether there was anything to disconnect */
  disconnect(name: string): boolean {
    let found = false;
    for (const dial of [...this.#dials]) {
      const { pipe } = dial;
      if (dial.name !== name || pipe.leaving !== undefined || pipe.released) continue;
      found = true;
      // What is linked has nothing to wait for: the peer gets at once what it has not got yet.
      if (pipe.link === undefined && this.#peers.leave(pipe, () => this.#stop(dial))) continue;
      this.#stop(dial);
      this.#peers.end(pipe, "local");
    }
    return found;
  }

  /** @returns whether there was anything to release */
  release(name: string): boolean {
    let found = false;
    for (const dial of [...this.#dials]) {
      const { pipe } = dial;
      if (dial.name !== name || pipe.leaving !== undefined || pipe.released) continue;
      found = true;
      if (this.#peers.release(pipe, () => this.#stop(dial))) continue;
      this.#stop(dial);
      this.#peers.end(pipe, "local");
    }
    return found;
  }

  /** Waits for no name any more. @param unlessUnsent except for those that messages wait for */
  stopAll(unlessUnsent: boolean): void {
    for (const dial of [...this.#dials]) {
      if (unlessUnsent && dial.pipe.link === undefined && dial.pipe.out.messages > 0) continue;
      this.#stop(dial);
    }
  }

  inprocOnPeer(dial: InprocDial): void {
    const theirs = dial.from;
    const [theirPeer, ourPeer] = [theirs.#asPeer(this), this.#asPeer(theirs)];
    const fault = this.#peers.refuse(theirPeer, undefined) ?? theirs.#peers.refuse(ourPeer, dial.pipe);
    if (fault !== undefined) {
      theirs.#refused.add(dial);
      this.#names.wait(dial.name, dial);
      for (const side of [this, theirs])
        for (const event of faultEvents(fault, dial.name, dial.name, "NULL"))
          side.#state.effects.event(event);
      return;
    }
    const pipe = this.#peers.make(dial.name, false);
    const far = new InprocLink(dial.pipe, theirs.#marks, (reason) => {
      theirs.#peers.left(dial.pipe, reason === "remote" ? "remote" : "local");
      if (!dial.stopped) theirs.#names.connect(dial.name, dial);
      theirs.#state.effects.changed();
    });
    const near = new InprocLink(pipe, this.#marks, (reason) => {
      this.#peers.left(pipe, reason === "remote" ? "remote" : "local");
      this.#state.effects.changed();
    });
    InprocLink.join(far, theirPeer, near, ourPeer);
    this.#state.effects.event({ type: "accept", address: dial.name });
    this.#peers.add(pipe);
    this.#peers.joined(pipe);
    theirs.#peers.joined(dial.pipe);
    InprocLink.open(near, far);
    if (dial.pipe.leaving !== undefined) theirs.#stop(dial);
    if (theirs.#state.closing || dial.pipe.leaving !== undefined)
      setImmediate(() => dial.pipe.link?.close("local"));
  }

  /** A peer has left: those that were refused, by this socket or on its own side, are tried again. */
  #again(): void {
    this.#names.admit(this);
    for (const dial of [...this.#refused]) {
      this.#refused.delete(dial);
      if (dial.pipe.link === undefined) this.#names.again(dial.name, dial);
    }
  }

  get #marks(): ReceiveMarks {
    return pipeOptions(this.#state.options, this.#state.type);
  }

  #asPeer(of: InprocPeers): Peer {
    const [own, theirs] = [this.#state.property, of.#state.property];
    return {
      socketType: WIRE_NAMES[this.#state.type],
      identity: identityOf(this.#state.options),
      commands: true,
      property: own?.name === theirs?.name ? own?.value : undefined,
    };
  }

  #stop(dial: InprocDial): void {
    dial.stopped = true;
    this.#dials.delete(dial);
    this.#refused.delete(dial);
    this.#names.disconnect(dial.name, dial);
  }
}
