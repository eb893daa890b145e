/**
 * SUB and XSUB (29/PUBSUB). Subscriptions go to every publisher, and again on each new connection. SUB also
 * filters messages: publishers send until a cancellation has reached them.
 * A subscription is a command to a peer of version 3.1, and a message (01 or 00, and the prefix) to one of 3.0.
 */
import { SteadyMap } from "../../../core/collections/steady-map.js";
import { costOf, keyOf } from "../../../core/memory.js";
import {
  type EngineSubscriptions,
  type Lease,
  OfferResult,
  type OutgoingFrame,
  type OutgoingMessage,
  type RelaySource,
  type TakenMessages,
} from "../../engine.js";
import { commandFrame, messageBytes, messageFrame } from "../../frame.js";
import { encodeCommand } from "../codec/command.js";
import { limitOf, type Pipe } from "../pipe.js";
import { FairRouting, type RoutingEffects } from "./routing.js";
import { LengthSet } from "./subscription-index.js";

/** A command's bytes besides its prefix, at most. */
const COMMAND_BYTES = 32;

export class SubscribeRouting extends FairRouting implements EngineSubscriptions {
  /** Counts by prefix, one character per byte. */
  readonly #prefixes = new SteadyMap<number>();
  readonly #lengths = new LengthSet();
  readonly #filters: boolean;

  /** @param filters SUB; an XSUB's program gets all messages */
  constructor(effects: RoutingEffects, filters: boolean) {
    super(effects);
    this.#filters = filters;
  }

  override get readable(): boolean {
    // Messages that need no check stay undecoded.
    if (!this.#filters || (this.held === undefined && this.wantsAll())) return super.readable;
    return this.#find();
  }

  /** XSUB drops messages without room at a publisher. */
  get writable(): boolean {
    return true;
  }

  override joined(pipe: Pipe): void {
    const frames: Buffer[] = [];
    for (const prefix of this.#prefixes.keys()) frames.push(this.frameOf(pipe, true, bytesOf(prefix)));
    if (frames.length > 0) pipe.sendRaw(Buffer.concat(frames), 0);
  }

  /**
   * The next connection gets all prefixes. Unsent commands, and messages between them (XSUB), are dropped.
   */
  override lost(pipe: Pipe): void {
    const dropped = pipe.out.clearWaiting();
    // Last, because a listener may subscribe.
    if (dropped > 0) this.effects.dropped("disconnected", dropped, pipe);
  }

  /** XSUB: 01 or 00 and a prefix is a subscription or its cancellation. */
  offer(message: OutgoingMessage): OfferResult {
    const single = Array.isArray(message) ? (message.length === 1 ? message[0] : undefined) : message;
    if (single !== undefined) {
      // Only subscriptions are copied.
      const kind = typeof single === "string" ? single.charCodeAt(0) : single[0];
      if (kind === 1 || kind === 0) {
        const prefix = Buffer.from(single as Uint8Array).subarray(1);
        if (kind === 1) this.subscribe(prefix);
        else this.unsubscribe(prefix);
        return OfferResult.Accepted;
      }
    }
    for (const pipe of this.pipes) {
      if (pipe.hasRoom()) pipe.send(message as OutgoingFrame, 0, undefined);
      else this.effects.dropped("peer-full", 1, pipe);
    }
    return OfferResult.Accepted;
  }

  override take(lease?: Lease): Buffer[] | undefined {
    if (!this.#filters) return super.take(lease);
    if (!this.#find(lease)) return undefined;
    return this.#takeHeld();
  }

  #takeHeld(): Buffer[] | undefined {
    const message = this.held as Buffer[] | undefined;
    this.held = undefined;
    return message;
  }

  override takeMany(taken: TakenMessages, max: number, maxCost: number, lease: Lease | undefined): void {
    if (this.held !== undefined) return;
    const all = !this.#filters || this.wantsAll();
    const { messages } = taken;
    const before = messages.length;
    for (;;) {
      this.in.takeMany(taken, max, maxCost, lease);
      if (all || messages.length === before) return;
      this.#filter(taken, before);
      if (messages.length > before) return;
    }
  }

  #filter(taken: TakenMessages, start: number): void {
    const { messages } = taken;
    let kept = start;
    for (let i = start; i < messages.length; i++) {
      const message = messages[i] as Buffer[];
      if (this.matches(message)) messages[kept++] = message;
      else {
        taken.bytes -= messageBytes(message);
        taken.cost -= costOf(message);
      }
    }
    if (kept < messages.length) messages.length = kept;
  }

  override get relaySource(): RelaySource | undefined {
    const { relays } = this.effects;
    if (!this.#filters) return relays?.fairSource(this.in);
    return relays?.filteredSource(this.in, {
      found: () => this.#takeHeld(),
      wantsAll: () => this.wantsAll(),
      wants: (bytes, start, end) =>
        this.#hasPrefixOf(bytes, start, end) !== this.effects.options.invertMatching,
    });
  }

  override get subscriptions(): EngineSubscriptions | undefined {
    return this.#filters ? this : undefined;
  }

  subscribe(prefix: Buffer): void {
    const key = keyOf(prefix);
    const count = this.#prefixes.get(key) ?? 0;
    this.#prefixes.set(key, count + 1);
    if (count === 0) this.#lengths.add(key.length);
    this.#sendAll(true, prefix);
  }

  unsubscribe(prefix: Buffer): void {
    const key = keyOf(prefix);
    const count = this.#prefixes.get(key);
    if (count === undefined) return;
    if (count > 1) {
      this.#prefixes.set(key, count - 1);
      return;
    }
    this.#prefixes.delete(key);
    this.#lengths.remove(key.length);
    this.#sendAll(false, prefix);
  }

  /** A publisher that does not read loses its connection; the next one gets only what is subscribed then. */
  #sendAll(on: boolean, prefix: Buffer): void {
    const { size, length } = this.#prefixes;
    const mark = limitOf(this.effects.options.sendHighWaterMarkBytes);
    for (const pipe of this.pipes) {
      if (pipe.link === undefined) continue;
      const isTooMuch = pipe.out.bytes > mark + length + COMMAND_BYTES * size;
      // What is queued in one turn is not written yet.
      if (isTooMuch && pipe.link.blocked) this.effects.closePipe(pipe, "local");
      else pipe.sendRaw(this.frameOf(pipe, on, prefix), 0);
    }
  }

  #find(lease?: Lease): boolean {
    while (this.held === undefined) {
      const message = super.take(lease);
      if (message === undefined) return false;
      if (this.matches(message)) this.held = message;
    }
    return true;
  }

  protected matches(message: readonly Buffer[]): boolean {
    const topic = message[0] as Buffer;
    return this.#hasPrefixOf(topic, 0, topic.length) !== this.effects.options.invertMatching;
  }

  protected wantsAll(): boolean {
    return this.#lengths.sorted[0] === 0 && !this.effects.options.invertMatching;
  }

  /** Exactly this prefix. */
  protected has(topic: Buffer): boolean {
    return this.#prefixes.has(keyOf(topic));
  }

  protected frameOf(pipe: Pipe, on: boolean, prefix: Buffer): Buffer {
    if (pipe.peer?.commands === true) return commandFrame(encodeCommand(on ? "SUBSCRIBE" : "CANCEL", prefix));
    return messageFrame(Buffer.concat([Buffer.of(on ? 1 : 0), prefix]));
  }

  #hasPrefixOf(bytes: Uint8Array, start: number, end: number): boolean {
    const { sorted } = this.#lengths;
    for (let i = 0; i < sorted.length; i++) {
      const length = sorted[i] as number;
      if (length === 0) return true;
      if (length > end - start) return false;
      if (this.#prefixes.has(keyOf(bytes, start, start + length))) return true;
    }
    return false;
  }
}

function bytesOf(key: string): Buffer {
  return Buffer.from(key, "latin1");
}
