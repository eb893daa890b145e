/**
 * A stream to a node, dialled or accepted (docs/spec/cluster.md, Streams; wire/stream.ts has its bytes).
 *
 *   OPENING ──hello──> GREETED ──a good proof──> VERIFIED ──> CLOSED
 *      └───────────10 s, junk, no good proof──┘───────────────^
 *
 *   initiator   hello, PROOF and packets as soon as the other hello is there
 *   responder  hello, then nothing until the initiator has proved itself: PROOF and packets, or REFUSED
 *
 * With node keys (admission/identities.ts), KEY comes before each PROOF, and packets after IDENTITY:
 *
 *   initiator   hello, KEY, PROOF                        IDENTITY, packets
 *   responder  hello             KEY, PROOF, IDENTITY                      packets
 *
 * A reset of a verified stream, or its end without a frame of length 0, shows that the process is gone.
 *
 * src/link cannot carry it: a link has one password, and credit for each channel. Here each cluster name has a key and
 * a proof, and messages have one resumed window per node (messaging/window.ts).
 */
import { randomBytes } from "node:crypto";
import { RunningTimeout } from "../../core/timers.js";
import { UnitReader } from "../../core/unit-reader.js";
import type { PooledBuffer } from "../../engine/zmtp/codec/pooled-buffer.js";
import type { Fault } from "../../engine/zmtp/mechanism/mechanism.js";
import type { ReadTarget, Sink } from "../../engine/zmtp/transport/reader.js";
import type { Stream } from "../../engine/zmtp/transport/transport.js";
import type { IdentityExchange, NodeIdentities, ProvedNode } from "../admission/identities.js";
import type { CheckedNamespaces, Hellos } from "../admission/proof.js";
import { MAX_ADDRESS } from "../bounds.js";
import type { PairStream } from "../messaging/pair-streams.js";
import type { Packet } from "../wire/packets.js";
import type { StreamWay } from "../wire/seal.js";
import {
  decodeProof,
  encodeFrame,
  encodeHello,
  encodeProof,
  FRAME_HEAD,
  HELLO_HEAD,
  helloAddress,
  helloNonce,
  helloSize,
  isControl,
  isTlsRecord,
  StreamFrame,
  streamWays,
} from "../wire/stream.js";
import { splitIpAddress } from "./addresses.js";
import type { NamespaceCodec } from "./namespace-codec.js";

export type StreamEnd =
  /** On purpose. */
  | "closed"
  /** The process at the other end is gone. */
  | "lost"
  /** The network failed, which proves nothing. */
  | "failed"
  /** One end does not admit the other. */
  | "refused"
  /** The other end is this node. */
  | "self";

export interface StreamNode {
  accepts(address: string): boolean;
  prove(way: StreamWay): readonly Buffer[];
  check(way: StreamWay, shown: readonly Buffer[]): CheckedNamespaces;
  /** `undefined`: this node has no key. */
  readonly identities: NodeIdentities | undefined;
  /** One end does not admit the other. @param namespace `undefined`: unknown, or both have none in common */
  onRefused(address: string, namespace: number | undefined, reason: string): void;
  /** @returns `false`: the frame is not genuine, and the stream ends */
  onFrame(stream: NodeStream, bytes: Buffer): boolean;
  count(reason: string): void;
  maxFrame(): number;
}

export interface StreamTable {
  /** This node's, for its hello. */
  readonly ownAddress: string;
  /** Whether there is room for an accepted stream. */
  hasRoom(): boolean;
  /** The stream of this node that sent a nonce. */
  streamOf(nonce: Buffer): NodeStream | undefined;
  onVerified(stream: NodeStream): void;
  /** @param fault why TLS failed, if that ended the stream */
  onEnd(stream: NodeStream, end: StreamEnd, fault: Fault | undefined): void;
}

/** Of `link`. */
export interface LinkCaller {
  resolve(address: string): void;
  reject(reason: Error): void;
}

export interface OpenedStream {
  readonly stream: Stream;
  readonly dialled?: string | undefined;
  readonly protocol: string;
  readonly copiesSent: boolean;
  /** The program handed it in: both hellos decide who is the initiator. */
  readonly caller?: LinkCaller | undefined;
}

export class NodeStream implements Sink, PairStream {
  isDialled: boolean;
  /** Of the program that handed it in. */
  readonly caller: LinkCaller | undefined;
  /** As dialled, or as it reports. Empty before its hello. */
  address: string;
  peer = "";
  /** Of the node at the other end, from its first packet. */
  id = "";
  verified = false;
  usedAt: number;
  users = 0;
  readonly protocol: string;
  readonly copiesSent: boolean;
  readonly #stream: Stream;
  readonly #table: StreamTable;
  readonly #own: StreamNode;
  readonly #hello: Buffer;
  #waiting: { readonly codec: NamespaceCodec; readonly packet: Packet }[] = [];
  #hellos: Hellos | undefined;
  #in: StreamWay | undefined;
  #out: StreamWay | undefined;
  /** The hello, then frames. */
  readonly #units = new UnitReader(
    HELLO_HEAD,
    HELLO_HEAD + MAX_ADDRESS,
    (bytes, at) =>
      this.#in === undefined ? helloSize(bytes.subarray(at)) : FRAME_HEAD + bytes.readUInt32BE(at),
    2_097_152, // Memory is allocated at once up to that.
  );
  #isTaking = false;
  #exchange: IdentityExchange | undefined;
  /** With node keys. */
  node: ProvedNode | undefined;
  /** Whether it counts towards the maximum. */
  hasPlace: boolean;
  #ended = false;
  /** How it ends once the other end has read why. */
  #leaving: "closed" | "refused" | undefined;
  #proved = false;
  /** Frames up to the proof: KEY, PROOF. */
  #unproved = 0;
  /** Of the greeting, then of the goodbye. */
  #limit: RunningTimeout;
  #fault: Fault | undefined;
  /** Bytes written since the stream was corked; -1: it is not. */
  #corked = -1;
  /** Runs from a message until bytes come. */
  #silence: RunningTimeout | undefined;
  #isAwaiting = false;
  /** Unsent bytes at the last check; -1: the other end has not been asked. */
  #askedWith = -1;

  constructor(opened: OpenedStream, table: StreamTable, own: StreamNode) {
    const { stream, dialled, protocol, copiesSent, caller } = opened;
    this.caller = caller;
    this.protocol = protocol;
    this.copiesSent = copiesSent;
    this.#stream = stream;
    this.#table = table;
    this.#own = own;
    this.isDialled = dialled !== undefined;
    this.hasPlace = this.isDialled;
    this.address = dialled ?? "";
    this.usedAt = performance.now();
    this.#hello = encodeHello(randomBytes(32), table.ownAddress);
    stream.socket.on("error", ({ code, message }: NodeJS.ErrnoException) => {
      this.#noteFault();
      const isLost = code === "ECONNRESET" || code === "EPIPE";
      if (!isLost && !this.verified && this.isGiven)
        this.#fault = { kind: "other", code: "ERR_TRANSPORT", message };
      this.#finish(isLost ? "lost" : "failed");
    });
    this.#limit = new RunningTimeout(10_000, () => this.#refuse("link:timeout"));
  }

  /** A stream in memory may answer, and end, within the call. */
  start(): void {
    const { reader, socket } = this.#stream;
    reader.start(socket, this);
    socket.write(this.#hello);
  }

  get isGiven(): boolean {
    return this.caller !== undefined;
  }

  get ended(): boolean {
    return this.#ended || this.#leaving !== undefined;
  }

  get remote(): string {
    return this.#stream.address;
  }

  /** For reports and admission: the other end's reported address is not proved. */
  get origin(): string {
    return this.isDialled ? this.address : this.remote;
  }

  get nonce(): Buffer {
    return helloNonce(this.#hello);
  }

  /** Exists since the hello. */
  get wayIn(): StreamWay {
    return this.#in as StreamWay;
  }

  send(codec: NamespaceCodec, packet: Packet): void {
    if (this.ended) {
      this.#own.count("link:closed");
      return;
    }
    this.usedAt = performance.now();
    if (this.#out === undefined || (this.#exchange !== undefined && !this.verified)) {
      if (this.#waiting.length >= 128) this.#own.count("link:full");
      else this.#waiting.push({ codec, packet });
      return;
    }
    if (this.isFull) {
      this.#own.count("link:full");
      return;
    }
    this.#stream.socket.write(encodeFrame(codec.encodeStream(this.#out, packet)));
  }

  isFor(id: string): boolean {
    if (this.id !== "") return this.id === id;
    const isAtAddress = this.isDialled && !this.isGiven;
    return isAtAddress || this.node === undefined || this.node.id === id;
  }

  get isOpen(): boolean {
    return this.verified && !this.ended;
  }

  /** Packets are dropped then; messages have separate windows. */
  get isFull(): boolean {
    return this.#stream.socket.writableLength > 16_777_216;
  }

  sendMessages(codec: NamespaceCodec, frames: readonly Uint8Array[]): void {
    if (!this.isOpen) return;
    const parts = codec.encodeMessages(this.#out as StreamWay, frames);
    let length = 0;
    for (let i = 0; i < parts.length; i++) length += (parts[i] as Uint8Array).length;
    this.#cork();
    const isSmall = length <= 4_096;
    const head = Buffer.allocUnsafe(FRAME_HEAD + (isSmall ? length : 0));
    head.writeUInt32BE(length, 0);
    if (isSmall) {
      let at = FRAME_HEAD;
      for (let i = 0; i < parts.length; i++) {
        const part = parts[i] as Uint8Array;
        head.set(part, at);
        at += part.length;
      }
    }
    const { socket } = this.#stream;
    socket.write(head);
    if (!isSmall) for (let i = 0; i < parts.length; i++) socket.write(parts[i] as Uint8Array);
    this.#corked += length;
    if (this.#corked < 2_048) return;
    // A stream in memory may answer within `uncork`, and what it causes is neither corked nor uncorked.
    this.#corked = Number.NEGATIVE_INFINITY;
    socket.uncork();
    socket.cork();
    this.#corked = 0;
  }

  /** Small writes of a turn go out in one system call. */
  #cork(): void {
    if (this.#corked !== -1) return;
    this.usedAt = performance.now();
    this.#corked = 0;
    this.#stream.socket.cork();
    process.nextTick(this.#uncork);
  }

  readonly #uncork = (): void => {
    this.#corked = -1;
    this.#stream.socket.uncork();
  };

  expectAnswer(heartbeat: number): void {
    this.#isAwaiting = true;
    this.#silence ??= new RunningTimeout(heartbeat, () => this.#onSilence(heartbeat));
  }

  /** Ends the stream unless bytes come within twice `ms`. */
  check(ms: number): void {
    this.#silence?.clear();
    this.#silence = undefined;
    if (this.isOpen) this.expectAnswer(ms);
  }

  /** A program may be slow to read messages, so the other end itself is asked. */
  #onSilence(heartbeat: number): void {
    this.#silence = undefined;
    if (!this.#isAwaiting || this.ended) return;
    const unsent = this.#stream.socket.writableLength;
    const isAsked = this.#askedWith >= 0;
    // While the question waits behind bytes that move, there is more time.
    if (isAsked && (unsent === 0 || unsent >= this.#askedWith)) {
      this.#own.count("link:silent");
      this.#finish("failed");
      return;
    }
    this.#askedWith = unsent;
    this.expectAnswer(heartbeat);
    // A stream in memory answers within the write.
    if (!isAsked) this.#sendControl(Buffer.of(StreamFrame.ASK));
  }

  close(): void {
    if (this.ended) return;
    // Without a hello the other end expects no close reason.
    if (this.#out === undefined) this.destroy();
    else this.#leave("closed", Buffer.alloc(0));
  }

  #leave(end: "closed" | "refused", frame: Buffer): void {
    this.#leaving = end;
    this.#limit.clear();
    this.#silence?.clear();
    this.#limit = new RunningTimeout(1_000, () => this.#finish(end));
    this.#stream.socket.end(encodeFrame(frame));
  }

  destroy(): void {
    this.#finish("closed");
  }

  sinkOnEnd(): void {
    this.#noteFault();
    this.#finish("lost");
  }

  sinkOnBytes(bytes: Buffer, length: number, kept: boolean, pooled?: PooledBuffer): void {
    if (this.ended) return;
    this.#isAwaiting = false;
    this.#askedWith = -1;
    if (this.#in === undefined && this.#units.length === 0 && isTlsRecord(bytes)) {
      this.#own.onRefused(this.origin, undefined, "tls");
      this.#refuse("link:tls");
      return;
    }
    // Messages are views of these bytes.
    pooled?.pin();
    const chunk = bytes.subarray(0, length);
    this.#units.push(kept ? chunk : Buffer.from(chunk));
    this.#take();
  }

  readTarget(): ReadTarget | undefined {
    const { target } = this.#units;
    if (target.length < 8_192) return undefined; // Not worth a read in place.
    return { memory: () => target, inLarge: false, relayed: false };
  }

  sinkFilled(length: number): void {
    this.#isAwaiting = false;
    this.#askedWith = -1;
    this.#units.fill(length);
    this.#take();
  }

  #noteFault(): void {
    if (this.verified || this.ended) return;
    const isSilent = this.#in === undefined;
    const fault = this.#stream.fault?.(isSilent);
    // In TLS 1.3 a node refuses a certificate by hanging up after the initiator's handshake is complete.
    const isRefused = fault !== undefined && isSilent && this.isDialled && this.#stream.opening === false;
    this.#fault = isRefused ? { ...fault, kind: "auth", code: "ERR_AUTHENTICATION" } : fault;
  }

  #take(): void {
    // A stream in memory answers within a write.
    if (this.#isTaking) return;
    this.#isTaking = true;
    while (!this.ended) {
      // The proofs of 64 clusters have 3,329 bytes.
      if (this.#in !== undefined)
        this.#units.most = FRAME_HEAD + (this.verified ? this.#own.maxFrame() : 4_096);
      const unit = this.#units.next();
      if (unit === undefined) break;
      if (this.#in === undefined) this.#takeHello(unit);
      else this.#takeFrame(unit.subarray(FRAME_HEAD));
    }
    this.#isTaking = false;
    if (this.#units.excess > 0 && !this.ended)
      this.#refuse(this.#in === undefined ? "link:hello" : "link:oversized");
  }

  #takeHello(hello: Buffer): void {
    const address = helloAddress(hello);
    if (splitIpAddress(address) === undefined || !(this.isGiven || this.#own.accepts(address))) {
      this.#refuse("link:hello");
      return;
    }
    this.peer = address;
    if (this.isGiven) this.isDialled = this.nonce.compare(helloNonce(hello)) > 0;
    if (this.isGiven || !this.isDialled) this.address = address;
    if (helloNonce(hello).equals(this.nonce)) {
      this.#refuse("link:reflected");
      return;
    }
    const own = this.#table.streamOf(helloNonce(hello));
    if (own !== undefined) {
      this.#finish("self");
      own.#finish("self");
      return;
    }
    this.#hellos = this.isDialled
      ? { initiator: this.#hello, responder: Buffer.from(hello) }
      : { initiator: Buffer.from(hello), responder: this.#hello };
    const ways = this.isDialled ? streamWays(this.#hello, hello) : streamWays(hello, this.#hello);
    this.#out = this.isDialled ? ways.toResponder : ways.toInitiator;
    this.#in = this.isDialled ? ways.toInitiator : ways.toResponder;
    this.#units.head = FRAME_HEAD;
    this.#exchange = this.#own.identities?.exchange(this.isDialled ? "initiator" : "responder");
    if (this.isDialled) this.#prove();
    if (this.#exchange === undefined) this.#flush();
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { codec, packet } of waiting) this.send(codec, packet);
  }

  #takeFrame(frame: Buffer): void {
    if (frame.length === 0) {
      this.#finish("closed");
      return;
    }
    if (!this.#proved) this.#unproved += 1;
    if (this.#unproved > 2 || !(this.verified || isControl(frame))) {
      this.#refuse("link:proof");
      return;
    }
    this.usedAt = performance.now();
    if (isControl(frame)) this.#onControl(frame);
    else if (!this.#own.onFrame(this, frame)) this.destroy();
  }

  #onControl(frame: Buffer): void {
    switch (frame[0]) {
      case StreamFrame.PROOF:
        this.#onProof(frame);
        return;
      case StreamFrame.KEY:
        if (this.#exchange !== undefined && !this.#exchange.onKey(frame)) this.#refuse("link:proof");
        return;
      case StreamFrame.IDENTITY:
        if (this.#exchange !== undefined) this.#onIdentity(this.#exchange, frame);
        return;
      case StreamFrame.ASK:
        // Queued bytes are an answer, too, for a peer without reads.
        if (this.verified && this.#stream.socket.writableLength === 0)
          this.#sendControl(Buffer.of(StreamFrame.ANSWER));
        return;
      case StreamFrame.ANSWER:
        return;
      case StreamFrame.REFUSED:
        this.#own.count("link:refused");
        this.#own.onRefused(this.origin, undefined, "peer");
        this.#finish("refused");
        return;
      default: // Of a later version.
        this.#own.count("link:unknown");
    }
  }

  #onProof(frame: Buffer): void {
    const shown = decodeProof(frame);
    if (shown === undefined || this.#proved) {
      this.#refuse("link:proof");
      return;
    }
    const { proved, refused } = this.#own.check(this.wayIn, shown);
    for (const { namespace, reason } of refused) {
      this.#own.count(reason);
      this.#own.onRefused(this.origin, namespace, reason);
    }
    if (!proved) {
      if (refused.length > 0) this.#reject();
      else this.#refuse("link:none");
      return;
    }
    this.#proved = true;
    if (this.#exchange?.hasKey === false) {
      this.refuseNode("identity");
      return;
    }
    // First: without a proof of this end, the other end waits longer each time.
    this.hasPlace ||= this.#table.hasRoom();
    if (!this.hasPlace) {
      this.destroy();
      return;
    }
    if (!this.isDialled) this.#prove();
    if (this.#exchange === undefined) this.#verify();
    else if (!this.isDialled) this.#sendControl(this.#exchange.identity(this.#hellos as Hellos));
  }

  #onIdentity(exchange: IdentityExchange, frame: Buffer): void {
    const node =
      this.#proved && this.node === undefined ? exchange.open(frame, this.#hellos as Hellos) : undefined;
    if (node === undefined) {
      this.refuseNode("identity");
      return;
    }
    this.node = node;
    if (this.#own.identities?.keys.has(node.publicKey) !== true) {
      this.refuseNode("denied");
      return;
    }
    const hellos = this.#hellos as Hellos;
    if (this.isDialled) this.#sendControl(exchange.identity(hellos));
    const secret = exchange.secret(hellos);
    if (this.#in !== undefined) this.#in.secret = secret;
    if (this.#out !== undefined) this.#out.secret = secret;
    this.#verify();
  }

  /** The node at the other end is not admitted, or no longer. */
  refuseNode(reason: "identity" | "denied" | "address"): void {
    this.#own.count(reason);
    this.#own.onRefused(this.origin, undefined, reason);
    this.#reject();
  }

  #sendControl(frame: Buffer): void {
    this.#stream.socket.write(encodeFrame(frame));
  }

  #prove(): void {
    if (this.#exchange !== undefined) this.#sendControl(this.#exchange.key);
    this.#sendControl(encodeProof(this.#own.prove(this.#out as StreamWay)));
  }

  #reject(): void {
    if (!this.ended) this.#leave("refused", Buffer.of(StreamFrame.REFUSED));
  }

  #verify(): void {
    if (this.ended) return; // By a listener of the refusal, or within the write.
    this.verified = true;
    this.#limit.clear();
    this.#table.onVerified(this);
    this.#flush();
  }

  #refuse(reason: string): void {
    this.#own.count(reason);
    this.#finish("failed");
  }

  #finish(end: StreamEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#limit.clear();
    this.#silence?.clear();
    this.#waiting = [];
    this.#stream.socket.destroy();
    this.#table.onEnd(this, this.#leaving ?? end, this.#fault);
  }
}
