/**
 * Peers in the same process. Within a thread, a message is written to the sender's slab, and read in place, and both
 * sides share one queue with the sum of their high-water marks. Another thread is reached by a stream
 * (threads/port-stream.ts).
 */
import { TransportError } from "../../core/errors.js";
import { copyRange } from "../../core/memory.js";
import type { StreamFault } from "./codec/in-stream.js";
import type { Connections } from "./connections.js";
import { Dialer } from "./dialer.js";
import { faultEvents, tooLargeText } from "./errors.js";
import type { Fault } from "./mechanism/mechanism.js";
import { identityOf } from "./options.js";
import type { Peers } from "./peers.js";
import type { CloseReason, Link, Peer, Pipe } from "./pipe.js";
import { wireNameOf } from "./routing/routing.js";
import type { SocketState } from "./socket-state.js";
import type { ThreadNames } from "./threads/thread-names.js";
import type { Binder, Listener, Stream } from "./transport/transport.js";
import { ZAP_ENDPOINT } from "./zap.js";

/** Types that send one encoded message to many peers. */
const FANS_OUT: readonly string[] = ["PUB", "XPUB", "RADIO"];

/** Called once. @param tooLarge the oversized message that this end has refused */
type OnEnd = (reason: CloseReason | "remote", tooLarge?: string) => void;

export class InprocLink implements Link {
  /** A ROUTER needs a name for the peer before its messages. */
  blocked = true;
  readonly #pipe: Pipe;
  #other: InprocLink | undefined = undefined;
  far: Pipe | undefined = undefined;
  readonly #onEnd: OnEnd;
  #unannounced = false;
  /** Delivery stops, and the link ends after this turn. */
  #fault: StreamFault | undefined = undefined;

  constructor(pipe: Pipe, onEnd: OnEnd) {
    this.#pipe = pipe;
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
    this.far = other === undefined ? undefined : other.#pipe;
  }

  flush(): void {
    const far = this.far;
    if (far === undefined || this.blocked) return;
    this.#handOver(far);
    this.#announce();
    // The caller may be choosing a pipe, or sending to several.
    if (this.#fault !== undefined) queueMicrotask(() => this.#other?.close("protocol"));
  }

  pass(frames: Buffer[]): number {
    const far = this.far;
    if (far === undefined || this.blocked || this.#fault !== undefined) return -1;
    this.#handOver(far);
    if (this.#fault !== undefined) return -1;
    const queue = far.in;
    this.#fault = queue.pushFrames(frames);
    this.#unannounced = true;
    return this.#fault === undefined ? queue.cost : Number.POSITIVE_INFINITY;
  }

  #tooLargeFor(receiver: Pipe): string | undefined {
    return this.#fault === undefined ? undefined : tooLargeText(this.#fault, receiver.in);
  }

  #handOver(other: Pipe): void {
    const { out } = this.#pipe;
    if (out.length === 0 || this.#fault !== undefined) return;
    const segments = this.#pipe.takeOut(Number.POSITIVE_INFINITY);
    // Receivers of a publisher's message may write to their frames.
    const shared = FANS_OUT.includes(other.peer?.socketType ?? "");
    for (const { bytes, start, end } of segments) {
      this.#fault ??= shared ? other.in.push(copyRange(bytes, start, end)) : other.in.push(bytes, start, end);
    }
    // As over a wire, a refused message and those after it count as sent.
    out.handOver();
    this.#unannounced = true;
  }

  #announce(): void {
    if (!this.#unannounced) return;
    this.#unannounced = false;
    this.far?.arrived();
  }

  resume(): void {
    this.far?.relieved();
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

  peersOf(state: SocketState, peers: Peers, connections: Connections): InprocPeers {
    return new InprocPeers(state, this, peers, connections);
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
    const endSeek = this.#threadsOf(name)?.seek(name, (stream) => from.inprocOnFound(dial, stream));
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

  accept(name: string, stream: Stream): void {
    this.#bound.get(name)?.accept(name, stream);
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
  readonly #connections: Connections;

  constructor(state: SocketState, names: InprocNames, peers: Peers, connections: Connections) {
    this.#state = state;
    this.#names = names;
    this.#peers = peers;
    this.#connections = connections;
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
    const far = new InprocLink(dial.pipe, theirs.#endOf(dial.pipe, dial));
    const near = new InprocLink(pipe, this.#endOf(pipe));
    InprocLink.join(far, theirPeer, near, ourPeer);
    this.#peers.add(pipe);
    this.#peers.joined(pipe);
    theirs.#peers.joined(dial.pipe);
    InprocLink.open(near, far);
    theirs.#leaveIfOver(dial);
  }

  accept(name: string, stream: Stream): void {
    this.#connections.accept(stream, name);
  }

  inprocOnFound(dial: InprocDial, stream: Stream): void {
    const { dialer } = dial;
    // A socket of this thread may have bound the name meanwhile.
    if (!dialer.attempted() || !this.#names.disconnect(dialer.endpoint, dial)) stream.socket.destroy();
    else this.#connections.open(stream, dialer.endpoint, dialer)?.start();
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

  #asPeer(): Peer {
    const { options, type } = this.#state;
    return { socketType: wireNameOf(type), identity: Buffer.from(identityOf(options)), commands: true };
  }
}
