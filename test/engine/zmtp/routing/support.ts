/**
 * A routing with real pipes over a link that a test plays: what the routing sent is
 * taken from it when the test says so, and what the peer says is put in.
 */
import { type OptionValues, optionValues } from "../../../../src/core/option-table.js";
import type { SocketTypeName } from "../../../../src/core/socket-type.js";
import type { SocketEvent } from "../../../../src/engine/events.js";
import type { CloseReason, Link, Peer, Pipe, PipeEffects } from "../../../../src/engine/zmtp/pipe.js";
import { RELAYS } from "../../../../src/engine/zmtp/routing/relaying.js";
import {
  LOADED_ROUTINGS,
  type Routing,
  type RoutingEffects,
  type RoutingOf,
} from "../../../../src/engine/zmtp/routing/routing.js";
import "../../../../src/index.js";
import "../../../../src/sockets/draft/index.js";
import { decodeStream, encodeFrame } from "../codec/support.js";
import { pipeOf } from "../support/pipe-owner.js";

export const text = (message: readonly Uint8Array[] | undefined): string[] | undefined =>
  message?.map((frame) => Buffer.from(frame).toString("latin1"));

export interface WorldOptions {
  readonly type: SocketTypeName;
  readonly options?: Record<string, unknown>;
  readonly sendHighWaterMark?: number;
  readonly receiveHighWaterMark?: number;
}

/** One peer of the socket under test. */
export class FakePeer implements Link {
  readonly pipe: Pipe;
  blocked = true;
  reading = true;
  closed: CloseReason | undefined = undefined;
  /** What it got, in order. */
  readonly messages: string[][] = [];
  readonly commands: string[] = [];

  constructor(
    readonly world: RoutingWorld,
    readonly number: number,
    outlives: boolean,
    marks: { sendHighWaterMark: number; receiveHighWaterMark: number },
  ) {
    this.pipe = pipeOf(world, marks, outlives);
  }

  get linked(): boolean {
    return this.pipe.link === this;
  }

  flush(): void {
    if (this.blocked) return;
    this.#takeAll();
    this.pipe.relieved();
  }

  pause(): void {
    this.reading = false;
  }

  readonly draining = false;

  drain(): void {}

  halfClose(): void {}

  resume(): void {
    this.reading = true;
  }

  close(reason: CloseReason): void {
    if (this.closed !== undefined) return;
    this.closed = reason;
    this.world.leaves(this);
  }

  /** The peer reads all that is there. */
  reads(): void {
    this.#takeAll();
    // What is sent because there is room again goes, too.
    const { blocked } = this;
    this.blocked = false;
    this.pipe.relieved();
    this.blocked = blocked;
    this.#takeAll();
  }

  /** The peer sends a message; only while it is read from. */
  says(...frames: (string | Uint8Array)[]): void {
    this.saysTogether([frames]);
  }

  /** The peer sends messages in one chunk. */
  saysTogether(messages: readonly (readonly (string | Uint8Array)[])[]): void {
    const frames = messages.flatMap((message) =>
      message.map((frame, i) =>
        encodeFrame({ flags: i < message.length - 1 ? 1 : 0, body: Buffer.from(frame as string, "latin1") }),
      ),
    );
    this.pipe.in.push(Buffer.concat(frames));
    this.pipe.arrived();
  }

  /** The peer sends a command that is not the connection's own. */
  commandsUs(name: "SUBSCRIBE" | "CANCEL" | "JOIN", prefix: string): void {
    const body = Buffer.concat([Buffer.of(name.length), Buffer.from(name), Buffer.from(prefix, "latin1")]);
    this.pipe.in.push(encodeFrame({ flags: 4, body }));
    this.pipe.arrived();
  }

  #takeAll(): void {
    const segments = this.pipe.out.take(Number.POSITIVE_INFINITY);
    const wire = Buffer.concat(segments.map(({ bytes, start, end }) => bytes.subarray(start, end)));
    this.pipe.out.confirm();
    const { messages, commands } = decodeStream(wire);
    const latin = (hex: string): string => Buffer.from(hex, "hex").toString("latin1");
    this.messages.push(...messages.map((frames) => frames.map(latin)));
    this.commands.push(...commands.map(latin));
  }
}

export class RoutingWorld implements RoutingEffects, PipeEffects {
  readonly options: OptionValues;
  readonly routing: Routing;
  readonly peers: FakePeer[] = [];
  readonly events: SocketEvent[] = [];
  readonly drops: { reason: string; peer: number }[] = [];
  readable = 0;
  /** Messages that had been accepted for a peer and ended with its pipe. */
  lost = 0;
  repliesLost = 0;
  /** Bytes that the routing keeps. */
  kept = 0;
  onDrop: (() => void) | undefined = undefined;
  onEvent: ((event: SocketEvent) => void) | undefined = undefined;
  readonly relays = RELAYS;
  readonly #marks: { sendHighWaterMark: number; receiveHighWaterMark: number };

  constructor({ type, options, sendHighWaterMark = 1_000, receiveHighWaterMark = 1_000 }: WorldOptions) {
    this.options = optionValues({ receiveHighWaterMark, ...options });
    this.#marks = { sendHighWaterMark, receiveHighWaterMark };
    this.routing = (LOADED_ROUTINGS[type] as RoutingOf)(this);
  }

  /** A peer as `connect` makes it (queue from the start), or as it is accepted. */
  peer(outlives = false): FakePeer {
    const peer = new FakePeer(this, this.peers.length, outlives, this.#marks);
    this.peers.push(peer);
    if (outlives) this.routing.add(peer.pipe);
    return peer;
  }

  /** The handshake is complete. @returns whether the routing lets it in */
  joins(peer: FakePeer, identity = "", socketType = "", commands = true): boolean {
    const who: Peer = { socketType, identity: Buffer.from(identity, "latin1"), commands };
    if (this.routing.refuse(who, peer.pipe.outlives ? peer.pipe : undefined) !== undefined) return false;
    peer.closed = undefined;
    peer.pipe.linked(peer, who);
    if (!peer.pipe.outlives) this.routing.add(peer.pipe);
    this.routing.joined(peer.pipe);
    return true;
  }

  /** A new peer that is there. */
  joined(identity = ""): FakePeer {
    const peer = this.peer();
    this.joins(peer, identity);
    return peer;
  }

  /** The connection is gone. */
  leaves(peer: FakePeer): void {
    const { pipe } = peer;
    if (!peer.linked) return;
    peer.closed ??= "local";
    this.lost += pipe.unlinked();
    if (pipe.ended) return;
    if (pipe.outlives) this.routing.lost(pipe);
    else this.#remove(pipe);
  }

  /** `disconnect`: the pipe ends whether it is linked or not. */
  disconnects(peer: FakePeer): void {
    const { link } = peer.pipe;
    this.#remove(peer.pipe);
    link?.close("local");
  }

  #remove(pipe: Pipe): void {
    if (pipe.ended) return;
    this.routing.removed(pipe);
    this.lost += pipe.end();
  }

  take(): string[] | undefined {
    return text(this.routing.take());
  }

  takeAll(): string[][] {
    const all: string[][] = [];
    for (let message = this.take(); message !== undefined; message = this.take()) all.push(message);
    return all;
  }

  readonly routingOnReadable = (): void => void this.readable++;
  readonly routingOnWritable = (): void => undefined;
  readonly routingOnReplyLost = (): void => void this.repliesLost++;
  readonly event = (event: SocketEvent): void => {
    this.events.push(event);
    this.onEvent?.(event);
  };
  dropped(reason: string, messages: number, pipe?: Pipe): void {
    if (reason === "conflated") return;
    const peer = this.peers.findIndex((one) => one.pipe === pipe);
    for (let i = 0; i < messages; i++) this.drops.push({ reason, peer });
    this.onDrop?.();
  }
  routingOnKept(bytes: number): void {
    this.kept += bytes;
  }
  closePipe(pipe: Pipe, reason: CloseReason): void {
    if (pipe.link !== undefined) pipe.link.close(reason);
    else if (!pipe.outlives) this.#remove(pipe);
  }
  readonly pipeOnMessages = (pipe: Pipe): void => this.routing.messages(pipe);
  readonly pipeOnRoom = (pipe: Pipe): void => this.routing.room(pipe);
  readonly pipeOnCommand = (pipe: Pipe, body: Buffer): void => this.routing.command(pipe, body);
}
