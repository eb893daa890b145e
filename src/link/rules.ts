/**
 * The state machine of a link: many channels over one stream (docs/spec/link.md). Pure.
 *
 *   own channel     OPENING ──ACCEPT──> OPEN ──FIN both ways, all read──> gone
 *                      └──────RESET───────┴────────────────────────────────^
 *   peer's channel              OPEN from the start; the program accepts or resets it in one call
 *
 * Ids ascend, so a frame for a missing channel is late if its id was used, else a fault. A channel without room in
 * `maxUnread`, the sum of windows, is refused.
 */
import { RingBuffer } from "../core/collections/queues.js";
import { allocate } from "../core/memory.js";
import { TokenBucket } from "../core/rate-meter.js";
import { ChannelWindow, type WindowBudget } from "./flow-control.js";
import {
  ANSWER,
  decodeOpen,
  decodeReason,
  encodeControl,
  encodeOpen,
  encodeReason,
  FIN,
  FRAME_HEAD,
  FrameType,
  frameReader,
  LARGEST_WINDOW,
  LinkCode,
  MAX_CHANNEL_ID,
  MAX_PAYLOAD,
  type OpenFields,
  RESET_BURST,
  SHARED_PAYLOAD,
  writeHead,
} from "./frames.js";
import type { CheckedOptions } from "./options.js";
import type { Agreement } from "./security.js";

export interface LinkSettings
  extends Pick<
      CheckedOptions,
      "window" | "maxWindow" | "maxUnread" | "maxChannels" | "pingInterval" | "pingTimeout"
    >,
    Pick<Agreement, "peerWindow" | "peerMaxChannels"> {
  readonly isFirst: boolean;
}

export interface LinkEffects {
  /** @returns why the channel is refused; `undefined`: accepted */
  onIncoming(channel: ChannelState): string | undefined;
  onAccepted(channel: ChannelState): void;
  onData(channel: ChannelState, bytes: Buffer): void;
  onFinished(channel: ChannelState): void;
  onReset(channel: ChannelState, code: number, reason: string): void;
  /** The batch has everything written to the channel. */
  onTaken(channel: ChannelState): void;
  onGoaway(code: number, reason: string): void;
  /** The link must end: the peer violated the wire format, or is silent. */
  onFailed(code: number, reason: string): void;
  onWritable(): void;
}

export class ChannelState {
  readonly id: number;
  readonly name: string;
  readonly kind: number;
  readonly isOwn: boolean;
  isQueued = false;
  isAccepted: boolean;
  isGone = false;
  credit: number;
  /** Whether this end, or the peer, sends no more. */
  isEnding = false;
  finSent = false;
  finReceived = false;
  readonly window: ChannelWindow;
  /** Unsent chunks, and sent bytes of the first. */
  waiting: RingBuffer<Buffer> | undefined = undefined;
  offset = 0;
  waitingBytes = 0;
  owner: unknown = undefined;

  constructor(id: number, fields: OpenFields, isOwn: boolean, credit: number, window: ChannelWindow) {
    this.id = id;
    this.name = fields.name;
    this.kind = fields.kind;
    this.isOwn = isOwn;
    this.isAccepted = !isOwn;
    this.credit = credit;
    this.window = window;
  }

  get hasTurn(): boolean {
    if (this.isGone || !this.isAccepted || this.finSent) return false;
    return this.waitingBytes > 0 ? this.credit > 0 : this.isEnding;
  }
}

export class FrameBatch {
  readonly buffers: Buffer[] = [];
  bytes = 0;
  /** Heads and small chunks; from `#start` on not in `buffers` yet. */
  #slab: Buffer;
  #start = 0;
  #end = 0;

  constructor(slab: Buffer) {
    this.#slab = slab;
  }

  get rest(): Buffer {
    return this.#slab.subarray(this.#end);
  }

  head(type: number, flags: number, length: number, id: number): void {
    this.#need(FRAME_HEAD);
    writeHead(this.#slab, this.#end, type, flags, length, id);
    this.#end += FRAME_HEAD;
    this.bytes += FRAME_HEAD;
  }

  piece(bytes: Buffer): void {
    this.bytes += bytes.length;
    if (bytes.length > SMALL_PIECE) {
      this.flush();
      this.buffers.push(bytes);
      return;
    }
    this.#need(bytes.length);
    bytes.copy(this.#slab, this.#end);
    this.#end += bytes.length;
  }

  flush(): void {
    if (this.#end > this.#start) this.buffers.push(this.#slab.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }

  #need(bytes: number): void {
    if (this.#slab.length - this.#end >= bytes) return;
    this.flush();
    this.#slab = allocate(32_768);
    this.#start = 0;
    this.#end = 0;
  }
}

const SMALL_PIECE = 2_048;
const NOTHING = Buffer.alloc(0);

/** Avoids a small remainder in another frame. */
function frameLength(bytes: number, most: number): number {
  if (bytes <= most) return bytes;
  return bytes < most + SMALL_PIECE ? bytes >>> 1 : most;
}

export class LinkRules {
  readonly #settings: LinkSettings;
  readonly #effects: LinkEffects;
  readonly #frames = frameReader();
  readonly channels = new Map<number, ChannelState>();
  /** Channels that take turns, frame by frame. */
  readonly #turns = new RingBuffer<ChannelState>(2);
  readonly #budget: WindowBudget;
  /** Frames other than DATA; answers to the peer are counted. */
  readonly #control = new RingBuffer<Buffer>();
  #answerBytes = 0;
  readonly #grants = new Map<ChannelState, number>();
  #slab: Buffer = NOTHING;
  #nextId: number;
  #lastOtherId = 0;
  #own = 0;
  #other = 0;
  #now: number;
  #heardAt: number;
  /** Time of the unanswered ping, and number of the last. */
  #pingedAt: number | undefined = undefined;
  #pings = 0n;
  #measuredAt: number;
  /** ms; infinite before the first measurement. */
  roundTrip = Number.POSITIVE_INFINITY;
  #roundTripAt = 0;
  readonly #resets: TokenBucket;
  #isClosing = false;
  #isClosingThere = false;
  #failed = false;
  opened = 0;
  accepted = 0;
  refused = 0;

  constructor(settings: LinkSettings, effects: LinkEffects, now: number) {
    this.#settings = settings;
    this.#effects = effects;
    this.#budget = { limit: settings.maxUnread, used: 0 };
    this.#nextId = settings.isFirst ? 1 : 2;
    this.#now = now;
    this.#heardAt = now;
    this.#measuredAt = now;
    this.#resets = new TokenBucket(RESET_BURST, 200, now);
    this.#ping();
  }

  get isFinished(): boolean {
    for (const { finSent, finReceived } of this.channels.values()) if (!finSent || !finReceived) return false;
    return true;
  }

  get windowBytes(): number {
    return this.#budget.used;
  }

  get isClosing(): boolean {
    return this.#isClosing || this.#isClosingThere;
  }

  refusal(): "closing" | "channels" | "unread" | "ids" | undefined {
    const { peerMaxChannels, window } = this.#settings;
    if (this.isClosing) return "closing";
    if (this.#own >= peerMaxChannels) return "channels";
    if (this.#nextId > MAX_CHANNEL_ID) return "ids";
    return this.#budget.used + window > this.#budget.limit ? "unread" : undefined;
  }

  /** Requires that `refusal()` returns `undefined`. */
  open(fields: OpenFields, now: number): ChannelState {
    this.#now = now;
    const channel = this.#add(this.#nextId, fields, true);
    this.#nextId += 2;
    this.#own += 1;
    this.#send(FrameType.OPEN, 0, channel.id, encodeOpen(fields));
    return channel;
  }

  /** Chunks must not change until `onTaken` and the batch is sent. */
  write(channel: ChannelState, pieces: readonly Buffer[]): void {
    if (channel.isGone || channel.isEnding) return;
    channel.waiting ??= new RingBuffer<Buffer>(2);
    for (const piece of pieces) {
      if (piece.length === 0) continue;
      channel.waiting.push(piece);
      channel.waitingBytes += piece.length;
    }
    this.#schedule(channel);
  }

  end(channel: ChannelState): void {
    channel.isEnding = true;
    this.#schedule(channel);
  }

  reset(channel: ChannelState, code: number, reason: string): void {
    if (channel.isGone) return;
    this.#forget(channel);
    const payload = encodeReason(code, reason);
    if (channel.isOwn) this.#send(FrameType.RESET, 0, channel.id, payload);
    else {
      // The peer may open channels as fast as the program resets them.
      const failure = this.#answer(FrameType.RESET, 0, channel.id, payload);
      if (failure !== undefined) this.#fail(LinkCode.PROTOCOL, failure);
    }
  }

  consumed(channel: ChannelState, bytes: number, now: number): void {
    if (channel.isGone) return;
    this.#now = now;
    const { maxWindow } = this.#settings;
    const granted = channel.window.consume(bytes, now, this.roundTrip, maxWindow, this.#budget);
    if (channel.finReceived) this.#forgetDone(channel);
    else if (granted > 0) {
      this.#grants.set(channel, (this.#grants.get(channel) ?? 0) + granted);
      if (now - this.#measuredAt >= 1_000) this.#ping();
      this.#effects.onWritable();
    }
  }

  goaway(code: number, reason: string): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#send(FrameType.GOAWAY, 0, 0, encodeReason(code, reason));
  }

  receive(chunk: Buffer, now: number): void {
    if (this.#failed) return;
    this.#now = now;
    this.#heardAt = now;
    this.#frames.push(chunk);
    for (let frame = this.#frames.next(); frame !== undefined; frame = this.#frames.next()) {
      const failure = this.#onFrame(frame);
      if (failure === undefined) continue;
      this.#fail(LinkCode.PROTOCOL, failure);
      return;
    }
    const { excess } = this.#frames;
    if (excess > 0) this.#fail(LinkCode.PROTOCOL, `a frame has ${excess - FRAME_HEAD} bytes`);
  }

  nextWakeUp(): number | undefined {
    const { pingInterval, pingTimeout } = this.#settings;
    if (this.#failed || pingInterval === 0) return undefined;
    return this.#heardAt + pingInterval + (this.#isProbing() ? pingTimeout : 0);
  }

  tick(now: number): void {
    this.#now = now;
    const { pingInterval, pingTimeout } = this.#settings;
    if (this.#failed || pingInterval === 0 || now < this.#heardAt + pingInterval) return;
    if (!this.#isProbing()) {
      this.#pingedAt = undefined;
      this.#ping();
    } else if (now >= this.#heardAt + pingInterval + pingTimeout)
      this.#fail(LinkCode.TIMEOUT, `nothing came for ${pingInterval + pingTimeout} ms`);
  }

  #isProbing(): boolean {
    return this.#pingedAt !== undefined && this.#pingedAt >= this.#heardAt + this.#settings.pingInterval;
  }

  get hasFrames(): boolean {
    return this.#control.length > 0 || this.#grants.size > 0 || this.#turns.length > 0;
  }

  take(limit: number): FrameBatch | undefined {
    if (!this.hasFrames) return undefined;
    const batch = new FrameBatch(this.#slab);
    for (let frame = this.#control.shift(); frame !== undefined; frame = this.#control.shift()) {
      batch.piece(frame);
    }
    this.#answerBytes = 0;
    this.#takeGrants(batch);
    while (batch.bytes < limit) {
      const channel = this.#turns.shift();
      if (channel === undefined) break;
      channel.isQueued = false;
      if (channel.hasTurn) this.#takeData(channel, batch);
    }
    batch.flush();
    this.#slab = batch.rest;
    return batch.bytes > 0 ? batch : undefined;
  }

  #takeGrants(batch: FrameBatch): void {
    if (this.#grants.size === 0) return;
    for (const [channel, bytes] of this.#grants) {
      if (channel.isGone) continue;
      const payload = Buffer.allocUnsafe(4);
      payload.writeUInt32BE(bytes);
      batch.head(FrameType.CREDIT, 0, payload.length, channel.id);
      batch.piece(payload);
    }
    this.#grants.clear();
  }

  #takeData(channel: ChannelState, batch: FrameBatch): void {
    const most = this.#turns.length > 0 ? SHARED_PAYLOAD : MAX_PAYLOAD;
    const length = frameLength(Math.min(channel.waitingBytes, channel.credit), most);
    const isLast = channel.isEnding && length === channel.waitingBytes;
    batch.head(FrameType.DATA, isLast ? FIN : 0, length, channel.id);
    let left = length;
    while (left > 0) {
      const piece = (channel.waiting as RingBuffer<Buffer>).peek() as Buffer;
      const taken = Math.min(left, piece.length - channel.offset);
      batch.piece(piece.subarray(channel.offset, channel.offset + taken));
      left -= taken;
      channel.offset += taken;
      if (channel.offset < piece.length) break;
      channel.offset = 0;
      channel.waiting?.shift();
    }
    channel.waitingBytes -= length;
    channel.credit -= length;
    if (isLast) channel.finSent = true;
    else if (channel.hasTurn) this.#queue(channel);
    if (channel.waitingBytes === 0) {
      channel.waiting = undefined;
      this.#effects.onTaken(channel);
    }
    if (isLast) this.#forgetDone(channel);
  }

  /** @returns why the frame is refused, which ends the link */
  #onFrame(frame: Buffer): string | undefined {
    const type = frame[0] as number;
    const flags = frame[1] as number;
    const id = frame.readUInt32BE(4);
    const payload = frame.subarray(FRAME_HEAD);
    if (type === FrameType.DATA) return this.#onData(id, flags, payload);
    // A name of 255 bytes and its fields have less.
    if (payload.length > 512) return `a frame of type ${type} has ${payload.length} bytes`;
    return this.#onControl(type, flags, id, payload);
  }

  #onData(id: number, flags: number, bytes: Buffer): string | undefined {
    const channel = this.channels.get(id);
    if (flags > FIN) return `a frame of data has flags ${flags}`;
    if (bytes.length === 0 && flags !== FIN) return "a frame of data has no bytes";
    if (channel === undefined) return this.#checkLate(id);
    if (!channel.isAccepted) return `data came for channel ${id}, which was not accepted`;
    if (channel.finReceived) return `data came for channel ${id} after its end`;
    const { window } = channel;
    if (bytes.length > window.allowed)
      return `channel ${id} got ${bytes.length} bytes, and ${window.allowed} were allowed`;
    window.unread += bytes.length;
    if (bytes.length > 0) this.#effects.onData(channel, bytes);
    // The program may have ended the channel.
    if (flags !== FIN || channel.isGone) return undefined;
    channel.finReceived = true;
    this.#grants.delete(channel);
    this.#effects.onFinished(channel);
    this.#forgetDone(channel);
    return undefined;
  }

  #onControl(type: number, flags: number, id: number, payload: Buffer): string | undefined {
    switch (type) {
      case FrameType.OPEN:
        return this.#onOpen(id, payload);
      case FrameType.ACCEPT:
        return this.#onAccept(id);
      case FrameType.CREDIT:
        return this.#onCredit(id, payload);
      case FrameType.RESET:
        return this.#onReset(id, payload);
      case FrameType.PING:
        return this.#onPing(flags, payload);
      case FrameType.GOAWAY: {
        if (this.#isClosingThere) return undefined;
        const { code, reason } = decodeReason(payload);
        this.#isClosingThere = true;
        this.#effects.onGoaway(code, reason);
        return undefined;
      }
      default: // A later version.
        return undefined;
    }
  }

  #onOpen(id: number, payload: Buffer): string | undefined {
    if (id % 2 === this.#nextId % 2 || id <= this.#lastOtherId || id > MAX_CHANNEL_ID)
      return `a channel is opened with id ${id} after ${this.#lastOtherId}`;
    const fields = decodeOpen(payload);
    if (fields === undefined) return "a channel is opened with an invalid name or kind";
    this.#lastOtherId = id;
    const { maxChannels, window } = this.#settings;
    if (this.#isClosing) return this.#refuse(id, LinkCode.CLOSED, "the link closes");
    if (this.#other >= maxChannels)
      return this.#refuse(id, LinkCode.LIMIT, `more than ${maxChannels} channels`);
    if (this.#budget.used + window > this.#budget.limit)
      return this.#refuse(id, LinkCode.LIMIT, "no room for another window");
    const channel = this.#add(id, fields, false);
    this.#other += 1;
    const refusal = this.#effects.onIncoming(channel);
    if (refusal === undefined) {
      this.accepted += 1;
      return channel.isGone ? undefined : this.#answer(FrameType.ACCEPT, 0, id, NOTHING);
    }
    if (channel.isGone) {
      // The program destroyed it, which sent the reset.
      this.refused += 1;
      return undefined;
    }
    this.#forget(channel);
    return this.#refuse(id, LinkCode.UNKNOWN, refusal);
  }

  #onAccept(id: number): string | undefined {
    const channel = this.channels.get(id);
    if (channel === undefined) return this.#checkLate(id);
    if (channel.isAccepted) return `channel ${id} is accepted twice`;
    channel.isAccepted = true;
    this.opened += 1;
    this.#effects.onAccepted(channel);
    this.#schedule(channel);
    return undefined;
  }

  #onCredit(id: number, payload: Buffer): string | undefined {
    if (payload.length !== 4) return `credit has ${payload.length} bytes`;
    const bytes = payload.readUInt32BE(0);
    const channel = this.channels.get(id);
    if (channel === undefined) return this.#checkLate(id);
    if (!channel.isAccepted) return `credit came for channel ${id}, which was not accepted`;
    if (bytes === 0 || channel.credit + bytes > LARGEST_WINDOW) return `credit of ${bytes} bytes`;
    channel.credit += bytes;
    this.#schedule(channel);
    return undefined;
  }

  #onReset(id: number, payload: Buffer): string | undefined {
    const channel = this.channels.get(id);
    if (channel === undefined) return this.#checkLate(id);
    if (!channel.isOwn && !this.#resets.take(this.#now)) return "channels are opened and reset too often";
    const { code, reason } = decodeReason(payload);
    this.#forget(channel);
    this.#effects.onReset(channel, code, reason);
    return undefined;
  }

  #onPing(flags: number, payload: Buffer): string | undefined {
    if (payload.length !== 8) return `a ping has ${payload.length} bytes`;
    if ((flags & ANSWER) === 0) return this.#answer(FrameType.PING, ANSWER, 0, Buffer.from(payload));
    if (this.#pingedAt === undefined || payload.readBigUInt64BE(0) !== this.#pings) return undefined;
    const took = this.#now - this.#pingedAt;
    this.#pingedAt = undefined;
    // Round trips of new processes are many times too long.
    if (this.#pings < 8) this.#ping();
    if (took > this.roundTrip && this.#now - this.#roundTripAt < 10_000) return undefined;
    this.roundTrip = took;
    this.#roundTripAt = this.#now;
    return undefined;
  }

  #ping(): void {
    if (this.#pingedAt !== undefined) return;
    this.#pingedAt = this.#now;
    this.#measuredAt = this.#now;
    this.#pings += 1n;
    const payload = Buffer.alloc(8);
    payload.writeBigUInt64BE(this.#pings);
    this.#send(FrameType.PING, 0, 0, payload);
  }

  /** The frame is late if its id was ever used. */
  #checkLate(id: number): string | undefined {
    const isOwn = id % 2 === this.#nextId % 2;
    const wasUsed = id > 0 && (isOwn ? id < this.#nextId : id <= this.#lastOtherId);
    return wasUsed ? undefined : `a frame came for channel ${id}, which was never opened`;
  }

  #add(id: number, fields: OpenFields, isOwn: boolean): ChannelState {
    const { window, peerWindow } = this.#settings;
    this.#budget.used += window;
    const channel = new ChannelState(id, fields, isOwn, peerWindow, new ChannelWindow(window, this.#now));
    this.channels.set(id, channel);
    return channel;
  }

  #schedule(channel: ChannelState): void {
    if (!channel.hasTurn) return;
    this.#queue(channel);
    this.#effects.onWritable();
  }

  #queue(channel: ChannelState): void {
    if (channel.isQueued) return;
    channel.isQueued = true;
    this.#turns.push(channel);
  }

  #forgetDone(channel: ChannelState): void {
    if (channel.finSent && channel.finReceived && channel.window.unread === 0) this.#forget(channel);
  }

  #forget(channel: ChannelState): void {
    if (channel.isGone) return;
    channel.isGone = true;
    channel.waiting = undefined;
    channel.waitingBytes = 0;
    this.#grants.delete(channel);
    this.channels.delete(channel.id);
    this.#budget.used -= channel.window.size;
    if (channel.isOwn) this.#own -= 1;
    else this.#other -= 1;
  }

  #refuse(id: number, code: number, reason: string): string | undefined {
    this.refused += 1;
    return this.#answer(FrameType.RESET, 0, id, encodeReason(code, reason));
  }

  #send(type: number, flags: number, id: number, payload: Uint8Array): void {
    this.#control.push(encodeControl(type, flags, id, payload));
    this.#effects.onWritable();
  }

  /** Bounded, since the peer may not read answers. */
  #answer(type: number, flags: number, id: number, payload: Uint8Array): string | undefined {
    this.#answerBytes += FRAME_HEAD + payload.length;
    if (this.#answerBytes > 1_048_576) return "answers are asked for and not read";
    this.#send(type, flags, id, payload);
    return undefined;
  }

  #fail(code: number, reason: string): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#effects.onFailed(code, reason);
  }
}
