/**
 * Peers in the same process. Within a thread, a message is written to the sender's slab, and read in place;
 * another thread gets a copy (threads/port-link.ts). Both sides share one queue with the sum of their
 * high-water marks.
 */
import { TransportError } from "../../core/errors.js";
import { copyRange } from "../../core/memory.js";
import type { StreamFault } from "./codec/in-stream.js";
import { Dialer } from "./dialer.js";
import { faultEvents, tooLargeText } from "./errors.js";
import type { Fault } from "./mechanism/mechanism.js";
import { identityOf, pipeOptions } from "./options.js";
import type { Peers } from "./peers.js";
import { type CloseReason, type Link, limitOf, type Peer, type Pipe, type ReceiveMarks } from "./pipe.js";
import { wireNameOf } from "./routing/routing.js";
import type { SocketState } from "./socket-state.js";
import { type Description, type MessagePortLike, PortLink } from "./threads/port-link.js";
import type { Sought, ThreadNames, ThreadReply } from "./threads/thread-names.js";
import type { Binder, Listener } from "./transport/transport.js";
import { ZAP_ENDPOINT } from "./zap.js";

/** Types that send one encoded message to many peers. */
const FANS_OUT: readonly string[] = ["PUB", "XPUB", "RADIO"];

/** Called once. @param tooLarge the oversized message that this end has refused */
type OnEnd = (reason: CloseReason | "remote", tooLarge?: string) => void;

export class InprocLink implements Link {
  /** A ROUTER needs a name for the peer before its messages. */
  blocked = true;
  readonly instant = true;
  readonly #pipe: Pipe;
  #other: InprocLink | undefined = undefined;
  #far: Pipe | undefined = undefined;
  readonly #onEnd: OnEnd;
  #marks: ReceiveMarks;
  #unannounced = false;
  /** Delivery stops, and the link ends after this turn. */
  #fault: StreamFault | undefined = undefined;

  constructor(pipe: Pipe, marks: ReceiveMarks, onEnd: OnEnd) {
    this.#pipe = pipe;
    this.#marks = marks;
    this.#onEnd = onEnd;
  }

  static join(one: InprocLink, onePeer: Peer, other: InprocLink, otherPeer: Peer): void {
    one.#join(other);
    other.#join(one);
    one.#pipe.linked(one, otherPeer);
    other.#pipe.linked(other, onePeer);
  }

  static open(one: InprocLink, other: InprocLink): void {
    one.blocked = false;
    other.blocked = false;
    one.flush();
    other.flush();
  }

  #join(other: InprocLink | undefined): void {
    this.#other = other;
    this.#far = other === undefined ? undefined : other.#pipe;
  }

  /** Infinite after a fault. */
  get ahead(): number {
    if (this.#fault !== undefined) return Number.POSITIVE_INFINITY;
    return this.#far === undefined ? 0 : this.#far.in.messages;
  }

  get room(): number {
    return limitOf(this.#other === undefined ? 0 : this.#other.#marks.receiveHighWaterMark);
  }

  get aheadBytes(): number {
    return this.#far === undefined ? 0 : this.#far.in.cost;
  }

  get roomBytes(): number {
    return limitOf(this.#other === undefined ? 0 : this.#other.#marks.receiveHighWaterMarkBytes);
  }

  marksChanged(marks: ReceiveMarks): void {
    this.#marks = marks;
    this.#far?.roomChanged();
  }

  flush(): void {
    const far = this.#far;
    if (far === undefined || this.blocked) return;
    this.#handOver(far);
    this.#announce();
    // The caller may be choosing a pipe, or sending to several.
    if (this.#fault !== undefined) queueMicrotask(() => this.#other?.close("protocol"));
  }

  pass(frames: Buffer[]): number {
    const far = this.#far;
    if (far === undefined || this.blocked || this.#fault !== undefined) return -1;
    this.#handOver(far);
    if (this.#fault !== undefined) return -1;
    const queue = far.in;
    this.#fault = queue.pushFrames(frames);
    this.#unannounced = true;
    if (this.#fault === undefined) return queue.cost;
    this.#pipe.out.handOver(1);
    return Number.POSITIVE_INFINITY;
  }

  #tooLargeFor(receiver: Pipe): string | undefined {
    return this.#fault === undefined ? undefined : tooLargeText(this.#fault, receiver.in);
  }

  #handOver(other: Pipe): void {
    const { out } = this.#pipe;
    if (out.length === 0 || this.#fault !== undefined) return;
    const segments = this.#pipe.takeOut(Number.POSITIVE_INFINITY);
    const [given, had] = [out.messages, other.in.messages];
    // Receivers of a publisher's message may write to their frames.
    const shared = FANS_OUT.includes(other.peer?.socketType ?? "");
    for (const { bytes, start, end } of segments) {
      this.#fault ??= shared ? other.in.push(copyRange(bytes, start, end)) : other.in.push(bytes, start, end);
    }
    // The faulty message and those after it are lost with the link.
    out.handOver(this.#fault === undefined ? 0 : given - (other.in.messages - had));
    this.#unannounced = true;
  }

  #announce(): void {
    if (!this.#unannounced) return;
    this.#unannounced = false;
    this.#far?.arrived();
  }

  resume(): void {
    this.#far?.relieved();
  }

  awaitRoom(): void {
    this.#far?.watch();
  }

  drain(): void {
    this.close("local");
  }

  halfClose(): void {
    this.close("local");
  }

  close(reason: CloseReason): void {
    const other = this.#other;
    if (other === undefined) return;
    this.flush();
    // A listener may have closed the link.
    if (this.#other === undefined) return;
    // Frames delivered before the end still arrive.
    other.#announce();
    if (this.#other === undefined) return;
    this.#join(undefined);
    other.#join(undefined);
    // The receiver of an oversized message ends the link, whichever end closed first.
    const [wrong, otherWrong] = [other.#fault !== undefined, this.#fault !== undefined];
    this.#onEnd(wrong ? "protocol" : otherWrong ? "remote" : reason, other.#tooLargeFor(this.#pipe));
    other.#onEnd(otherWrong ? "protocol" : "remote", this.#tooLargeFor(other.#pipe));
  }
}

interface InprocDial {
  readonly from: InprocPeers;
  readonly pipe: Pipe;
  readonly dialer: Dialer;
}

/** The inproc names of one context. */
export class InprocNames {
  readonly #bound = new Map<string, InprocPeers>();
  readonly #waiting = new Map<string, Set<InprocDial>>();
  readonly #makeThreads: ((names: InprocNames) => ThreadNames) | undefined;
  #threads: ThreadNames | undefined = undefined;

  /** @param makeThreads for names that other threads share */
  constructor(makeThreads?: (names: InprocNames) => ThreadNames) {
    this.#makeThreads = makeThreads;
  }

  peersOf(state: SocketState, peers: Peers): InprocPeers {
    return new InprocPeers(state, this, peers);
  }

  /** `undefined`: no other thread shares the name. */
  #threadsOf(name: string): ThreadNames | undefined {
    // Each thread authenticates its own peers.
    if (name === ZAP_ENDPOINT) return undefined;
    this.#threads ??= this.#makeThreads?.(this);
    return this.#threads;
  }

  has(name: string): boolean {
    return this.#bound.has(name);
  }

  /**
   * Claims the name from other threads. Bind it in the turn in which the promise resolves.
   *
   * @returns `undefined` if there are none; rejects with `EADDRINUSE`
   */
  claim(name: string): Promise<void> | undefined {
    return this.#threadsOf(name)
      ?.claim(name)
      ?.then((isFree) => {
        if (!isFree) throw inUse(name, ", by another thread");
      });
  }

  /** @throws TransportError `EADDRINUSE` */
  bind(name: string, target: InprocPeers): void {
    if (this.#bound.has(name)) throw inUse(name, "");
    this.#bound.set(name, target);
  }

  unbind(name: string): void {
    this.#bound.delete(name);
  }

  /** Without a bound socket the dial waits, and other threads are searched. @returns ends that */
  connect(name: string, dial: InprocDial): (() => void) | undefined {
    const target = this.#bound.get(name);
    if (target !== undefined) {
      target.inprocOnPeer(dial);
      return undefined;
    }
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) this.#waiting.set(name, new Set([dial]));
    else waiting.add(dial);
    const { from } = dial;
    const endSeek = this.#threadsOf(name)?.seek(
      name,
      () => from.describe(),
      (reply) => from.inprocOnReply(dial, reply),
    );
    return () => {
      this.disconnect(name, dial);
      endSeek?.();
    };
  }

  /** Offers each waiting dial once; then other threads seek the bound name. */
  admit(name: string, target: InprocPeers): void {
    for (const dial of [...(this.#waiting.get(name) ?? [])]) {
      // An offer may have unbound the name or ended a wait.
      if (this.#bound.get(name) !== target) return;
      if (this.disconnect(name, dial)) target.inprocOnPeer(dial);
    }
    if (this.#bound.get(name) === target) this.#threadsOf(name)?.announce(name);
  }

  /** @returns whether it waited */
  disconnect(name: string, dial: InprocDial): boolean {
    const waiting = this.#waiting.get(name);
    if (waiting?.delete(dial) !== true) return false;
    if (waiting.size === 0) this.#waiting.delete(name);
    return true;
  }

  sought(name: string, socket: unknown): Sought | undefined {
    return this.#bound.get(name)?.inprocOnSeek(name, socket as Description);
  }
}

function inUse(endpoint: string, by: string): TransportError {
  return new TransportError("EADDRINUSE", `Cannot bind ${endpoint}: the address is in use${by}`, {
    endpoint,
  });
}

export class InprocPeers implements Binder {
  readonly #state: SocketState;
  readonly #names: InprocNames;
  readonly #peers: Peers;

  constructor(state: SocketState, names: InprocNames, peers: Peers) {
    this.#state = state;
    this.#names = names;
    this.#peers = peers;
  }

  async listen(name: string): Promise<Listener> {
    const claimed = this.#names.claim(name);
    if (claimed !== undefined) await claimed;
    return this.listenSync(name);
  }

  listenSync(endpoint: string): Listener {
    this.#names.bind(endpoint, this);
    return {
      endpoint,
      isListed: () => this.#names.admit(endpoint, this),
      close: async () => this.#names.unbind(endpoint),
    };
  }

  connect(endpoint: string, routingId: string | undefined, pipe: Pipe): Dialer {
    const dialer = new Dialer(this.#state, {
      endpoint,
      routingId,
      pipe,
      options: this.#state.options,
      begin: () => this.#state.effects.event({ type: "connect", address: endpoint }),
      attempt: () => this.#names.connect(endpoint, dial),
    });
    const dial: InprocDial = { from: this, pipe, dialer };
    return dialer;
  }

  inprocOnPeer(dial: InprocDial): void {
    const { from: theirs, dialer } = dial;
    const { endpoint } = dialer;
    // Its names are unbound one after the other, with events in between.
    if (this.#state.closing) {
      dialer.retry();
      return;
    }
    const [theirPeer, ourPeer] = [theirs.#asPeer(), this.#asPeer()];
    const fault = this.#peers.refuse(theirPeer, undefined) ?? theirs.#peers.refuse(ourPeer, dial.pipe);
    if (fault !== undefined) {
      dialer.retry();
      for (const side of [this, theirs]) side.#report(fault, endpoint);
      return;
    }
    this.#state.effects.event({ type: "accept", address: endpoint });
    // A listener of the event may have closed either socket.
    if (dialer.stopped) return;
    if (this.#state.closing) {
      dialer.retry();
      return;
    }
    dialer.connected();
    const pipe = this.#peers.make(endpoint, false);
    const far = new InprocLink(dial.pipe, theirs.#marks, theirs.#endOf(dial.pipe, dial));
    const near = new InprocLink(pipe, this.#marks, this.#endOf(pipe));
    InprocLink.join(far, theirPeer, near, ourPeer);
    this.#peers.add(pipe);
    this.#peers.joined(pipe);
    theirs.#peers.joined(dial.pipe);
    InprocLink.open(near, far);
    theirs.#leaveIfOver(dial);
  }

  /** For another thread. */
  describe(): Description {
    const { options, type } = this.#state;
    const { receiveHighWaterMark, receiveHighWaterMarkBytes } = this.#marks;
    return {
      socketType: wireNameOf(type),
      // Posting a view to another thread copies its whole memory.
      identity: Uint8Array.from(identityOf(options)),
      marks: { receiveHighWaterMark, receiveHighWaterMarkBytes },
    };
  }

  inprocOnSeek(name: string, theirs: Description): Sought | undefined {
    const peer = this.#peerOf(theirs);
    const fault = this.#peers.refuse(peer, undefined);
    if (fault !== undefined) {
      this.#report(fault, name);
      const { kind, code, message, status } = fault;
      return { fault: { kind, code, message, status } };
    }
    this.#state.effects.event({ type: "accept", address: name });
    // A listener of the event may have closed the socket.
    if (this.#state.closing) return undefined;
    const { port1, port2 } = new MessageChannel();
    const pipe = this.#peers.make(name, false);
    const port = port1 as unknown as MessagePortLike;
    const link = new PortLink(port, pipe, this.#marks, theirs.marks, this.#endOf(pipe));
    pipe.linked(link, peer);
    this.#peers.add(pipe);
    this.#peers.joined(pipe);
    link.open();
    return { port: port2 as unknown as MessagePortLike, socket: this.describe(), near: port1 };
  }

  inprocOnReply(dial: InprocDial, { port, socket, fault }: ThreadReply): void {
    if (port === undefined) {
      this.#refuse(dial, fault as Fault);
      return;
    }
    const { dialer } = dial;
    // A socket of this thread may have bound the name meanwhile.
    if (dialer.stopped || !this.#names.disconnect(dialer.endpoint, dial)) {
      port.close();
      return;
    }
    const theirs = socket as Description;
    const peer = this.#peerOf(theirs);
    const refused = this.#peers.refuse(peer, dial.pipe);
    if (refused !== undefined) {
      port.close();
      this.#refuse(dial, refused);
      return;
    }
    dialer.connected();
    const link = new PortLink(port, dial.pipe, this.#marks, theirs.marks, this.#endOf(dial.pipe, dial));
    dial.pipe.linked(link, peer);
    this.#peers.joined(dial.pipe);
    link.open();
    this.#leaveIfOver(dial);
  }

  /** @param dial looks for the name again */
  #endOf(pipe: Pipe, dial?: InprocDial): OnEnd {
    return (reason, tooLarge) => {
      if (tooLarge !== undefined) this.#state.routing.refuseLarge(tooLarge, pipe.endpoint);
      this.#peers.left(pipe, reason === "remote" ? "remote" : "local");
      // While a socket closes, its last messages may end the pipe of a dial.
      if (!pipe.ended) dial?.dialer.lost();
      this.#state.effects.changed();
    };
  }

  #refuse(dial: InprocDial, fault: Fault): void {
    dial.dialer.retry();
    this.#report(fault, dial.dialer.endpoint);
  }

  #report(fault: Fault, name: string): void {
    for (const event of faultEvents(fault, name, { address: name, remote: name }, "NULL"))
      this.#state.effects.event(event);
  }

  /** Closes a link that only sends the rest of a queue. */
  #leaveIfOver(dial: InprocDial): void {
    const isLeaving = dial.pipe.leaving !== undefined;
    if (isLeaving) dial.dialer.stop();
    if (this.#state.closing || isLeaving) setImmediate(() => dial.pipe.link?.close("local"));
  }

  get #marks(): ReceiveMarks {
    return pipeOptions(this.#state.options, this.#state.type);
  }

  #asPeer(): Peer {
    return this.#peerOf(this.describe());
  }

  #peerOf({ socketType, identity }: Description): Peer {
    return { socketType, identity: Buffer.from(identity), commands: true };
  }
}
