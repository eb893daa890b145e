/**
 * Batches: small messages to one peer, sent as one at the end of a turn. Rules see ordinary messages. With 1,000
 * requests in flight, a request without batches takes more than twice the processor time. Hops that handled a batch as
 * a whole took 0.86 of it, and 1,500 lines more.
 *
 *   head of the first member, with the command of a batch | index | bodies
 *
 *   0e REQUESTs    an entry of the index: number 4 | half 4 | time 4 | length 2
 *   0f FINALs      number 4 | length 2
 *
 * The half is the lower one of the number in a member's id; the upper one is the first member's, as all else in the
 * head. Members are whole answers and first deliveries without headers, with bodies of one frame.
 *
 * A broker has a {@link Batcher} for all its peers, a client or worker a {@link BatchingDealer} for each broker.
 */
import { readUint16, readUint32, writeUint32 } from "../../core/bytes.js";
import { InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import { allocate, forbidTransfer, slice } from "../../core/memory.js";
import { connected, readMessages, type Sending, SendQueue } from "../../kit/sockets.js";
import { listen, takesMessage } from "../../sockets/internal.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import type { Socket } from "../../sockets/socket.js";
import {
  type Answer,
  Body,
  COMMAND,
  Command,
  Dialect,
  decode,
  EMPTY,
  encode,
  type Fault,
  type Frames,
  type FromClient,
  type FromWorker,
  fault,
  type Mutable,
  type Numbered,
  type Received,
  type Receiver,
  type Request,
  type Role,
} from "./protocol.js";

/** Larger bodies gain nothing. */
export const MAX_BATCH_BODY = 1_024;
export const MAX_BATCH_BYTES = 15_360;
export const MAX_BATCH_MEMBERS = 512;
/** Bytes of a message that each end must accept. */
const MAX_BATCH_MESSAGE = 32_768;
/** Batches being filled, for each pair of peer and service. */
const MAX_OPEN = 64;
/** Bytes allocated at once for batches to send. */
const SLAB = 262_144;

/** What batches have for members. */
type Member = Request | Answer;

/** Bytes of an entry. */
const REQUEST_ENTRY = 14;
const ANSWER_ENTRY = 6;

/** By subtraction, which leaves small integers as they are: a division would make each a number on the heap. */
function upperOf(sequence: number): number {
  return sequence - (sequence >>> 0);
}

/** Same client and upper half. */
function areNear(
  { clientId: a, sequence: one }: Numbered,
  { clientId: b, sequence: other }: Numbered,
): boolean {
  const isSame = a === b || (a?.low === b?.low && a?.high === b?.high);
  return isSame && upperOf(one) === upperOf(other);
}

// V8 inlines a call that always has one target. With an object of functions for each kind, a broker took 8 % more.

/** Whether a message may be in a batch, apart from its body. */
function joins(message: Member): boolean {
  if (message.dialect !== Dialect.Shoal) return false;
  if (message.kind === "answer") return message.final && message.pieces === 0;
  return message.clientId !== undefined && message.attempt === 1 && message.headers.length === 0;
}

/** Whether it may be in a batch that starts with `first`, of the same kind. */
function follows(message: Member, first: Member): boolean {
  if (message.kind === "answer") return message.address === first.address;
  return message.service === (first as Request).service && areNear(message, first as Request);
}

/** Writes an entry but for its length. @returns the position after it */
function writeEntry(index: Buffer, at: number, message: Member): number {
  writeUint32(index, at, message.number);
  if (message.kind === "answer") return at + ANSWER_ENTRY;
  writeUint32(index, at + 4, message.sequence);
  writeUint32(index, at + 8, message.time);
  return at + REQUEST_ENTRY;
}

/** Changes a member of a batch to that of an entry. */
function readEntry(index: Buffer, at: number, message: Mutable<Request> | Mutable<Answer>): void {
  message.number = readUint32(index, at);
  if (message.kind === "answer") return;
  message.sequence = upperOf(message.sequence) + readUint32(index, at + 4);
  message.time = readUint32(index, at + 8) | 0;
}

/** @returns room for `needed` bytes, with the first `used` ones */
function grown(memory: Buffer, used: number, needed: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * memory.length));
  memory.copy(larger, 0, 0, used);
  return larger;
}

/** Entries and bodies of a batch that is being filled. */
class Members {
  #index: Buffer = Buffer.allocUnsafeSlow(256);
  #bodies: Buffer = Buffer.allocUnsafeSlow(1_024);
  #at = 0;
  #end = 0;
  /** Last bodies, if they follow each other in shared memory: they are copied at once. */
  #memory: ArrayBufferLike | undefined = undefined;
  #from = 0;
  #to = 0;

  /** @param bytes upper bound of the body's */
  add(message: Member, bytes: number): void {
    const start = this.#end;
    const at = this.#at;
    if (start + bytes > this.#bodies.length) this.#bodies = grown(this.#bodies, start, start + bytes);
    if (at + REQUEST_ENTRY > this.#index.length) this.#index = grown(this.#index, at, at + REQUEST_ENTRY);
    this.#append(message.body);
    const index = this.#index;
    const next = writeEntry(index, at, message);
    const length = this.#end - start;
    index[next - 2] = length >>> 8;
    index[next - 1] = length;
    this.#at = next;
  }

  /** @returns index and bodies; the next batch may be filled */
  take(): [index: Buffer, bodies: Buffer] {
    // If all bodies follow each other, they are sent from where they are.
    const shared = this.#to - this.#from === this.#end ? this.#memory : undefined;
    if (shared === undefined) this.#copyShared();
    const bodies =
      shared === undefined ? copied(this.#bodies, this.#end) : slice(shared, this.#from, this.#end);
    const index = copied(this.#index, this.#at);
    this.#at = 0;
    this.#end = 0;
    this.#memory = undefined;
    return [index, bodies];
  }

  #append(body: Body): void {
    const { memory, from, to } = body;
    if (memory === undefined) {
      this.#copyShared();
      this.#end = body.write(this.#bodies, this.#end);
      return;
    }
    if (memory !== this.#memory || from !== this.#to) {
      this.#copyShared();
      this.#memory = memory;
      this.#from = from;
    }
    this.#to = to;
    this.#end += to - from;
  }

  #copyShared(): void {
    if (this.#memory === undefined) return;
    const bytes = this.#to - this.#from;
    this.#bodies.set(slice(this.#memory, this.#from, bytes), this.#end - bytes);
    this.#memory = undefined;
  }
}

/** Unused ones: with new ones for each batch a broker takes 2.2 to 2.5 µs a pipelined request in place of 1.7. */
const spare: Members[] = [];

function membersOf(first: Member): Members {
  const members = spare.pop() ?? new Members();
  members.add(first, first.body.bytes);
  return members;
}

interface Batch<P, M> {
  readonly peer: P;
  /** A copy. */
  readonly first: M;
  count: number;
  /** Upper bound of the bodies' bytes. */
  bytes: number;
  /** From the second member on. */
  members: Members | undefined;
}

/** Keeps no message but the first of a batch: senders use one object for all. */
export class Batcher<P, M extends Member> {
  readonly #role: Role;
  readonly #send: (peer: P, message: Frames, first: M, count: number) => void;
  readonly #soon: () => void;
  #open: Batch<P, M>[] = [];
  #isAwaited = false;

  /**
   * @param role at whose connections
   * @param soon calls {@link flush} at the end of the turn
   */
  constructor(
    role: Role,
    send: (peer: P, message: Frames, first: M, count: number) => void,
    soon: (flush: () => void) => void = process.nextTick,
  ) {
    this.#role = role;
    this.#send = send;
    const flush = (): void => this.flush();
    this.#soon = () => soon(flush);
  }

  /** @returns `false` if it must be sent alone, after {@link flush} */
  add(peer: P, message: M): boolean {
    const { bytes } = message.body;
    if (bytes > MAX_BATCH_BODY || !joins(message)) return false;
    for (let i = this.#open.length - 1; i >= 0; i--) {
      const batch = this.#open[i] as Batch<P, M>;
      if (batch.peer !== peer || !follows(message, batch.first)) continue;
      if (batch.count === MAX_BATCH_MEMBERS || batch.bytes + bytes > MAX_BATCH_BYTES) continue;
      batch.members ??= membersOf(batch.first);
      batch.members.add(message, bytes);
      batch.count += 1;
      batch.bytes += bytes;
      return true;
    }
    this.#open.push({ peer, first: { ...message }, count: 1, bytes, members: undefined });
    if (!this.#isAwaited) {
      this.#isAwaited = true;
      this.#soon();
    }
    if (this.#open.length > MAX_OPEN) this.#leave(this.#open.shift() as Batch<P, M>);
    return true;
  }

  /** @param peer default: all */
  flush(peer?: P): void {
    if (peer === undefined) this.#isAwaited = false;
    if (this.#open.length === 0) return;
    const leaving = peer === undefined ? this.#open : this.#open.filter((batch) => batch.peer === peer);
    if (leaving.length === 0) return;
    this.#open = peer === undefined ? [] : this.#open.filter((batch) => batch.peer !== peer);
    for (const batch of leaving) this.#leave(batch);
  }

  #leave({ peer, first, count, members }: Batch<P, M>): void {
    const message = encode(this.#role, first);
    if (members !== undefined) {
      const [head] = message as [Buffer];
      head[COMMAND] = first.kind === "answer" ? Command.Answers : Command.Requests;
      message.splice(1, message.length, ...members.take());
      if (spare.length < MAX_OPEN) spare.push(members);
    }
    this.#send(peer, message, first, count);
  }
}

/** Memory of several batches: an allocation for each made a broker spend a fifth of its time in collections. */
let slab = EMPTY;
let used = 0;

function copied(memory: Buffer, bytes: number): Buffer {
  if (slab.length - used < bytes) {
    slab = allocate(SLAB);
    used = 0;
  }
  const copy = slice(slab.buffer, slab.byteOffset + used, bytes);
  memory.copy(copy, 0, 0, bytes);
  used += bytes;
  return copy;
}

/** Whether all entries and bodies are valid. @param at index of the second frame */
function isWhole(frames: readonly Buffer[], at: number, entry: number): boolean {
  if (frames.length !== at + 2) return false;
  const [index, bodies] = [frames[at] as Buffer, frames[at + 1] as Buffer];
  const { length } = index;
  if (length === 0 || length % entry !== 0 || length > MAX_BATCH_MEMBERS * entry) return false;
  if (bodies.length > MAX_BATCH_BYTES) return false;
  let bytes = 0;
  for (let end = entry; end <= length; end += entry) bytes += readUint16(index, end - 2);
  return bytes === bodies.length;
}

/**
 * Calls `take` for each member: one object, since an object for each was a quarter of a request's allocations.
 *
 * @param member decoded as the first one
 * @param at index of the second frame
 */
function expand(
  member: Mutable<Request> | Mutable<Answer>,
  frames: readonly Buffer[],
  at: number,
  take: (message: Member | Fault) => void,
): void {
  const entry = member.kind === "answer" ? ANSWER_ENTRY : REQUEST_ENTRY;
  if (!isWhole(frames, at, entry)) {
    take(fault("body", member.kind === "answer" ? Dialect.Shoal : undefined));
    return;
  }
  const [index, bodies] = [frames[at] as Buffer, frames[at + 1] as Buffer];
  forbidTransfer(bodies);
  const { buffer, byteOffset } = bodies;
  let from = byteOffset;
  for (let next = 0; next < index.length; next += entry) {
    const to = from + readUint16(index, next + entry - 2);
    readEntry(index, next, member);
    member.body = Body.within(buffer, from, to);
    take(member);
    from = to;
  }
}

/**
 * Calls `take` for each message. The next one may have the same object; its body and frames may be kept.
 *
 * @param frames at a broker those of the ROUTER, routing id first
 */
export function messagesAt<R extends Receiver>(
  receiver: R,
  frames: readonly Buffer[],
  take: (message: Received[R] | Fault) => void,
): void {
  const message: Received[Receiver] = decode(receiver, frames);
  const at = receiver === "broker" ? 2 : 1;
  const command = frames[at - 1]?.[COMMAND];
  const isBatch =
    (message.kind === "request" && command === Command.Requests) ||
    (message.kind === "answer" && command === Command.Answers);
  if (isBatch) expand(message, frames, at, take as (message: Member | Fault) => void);
  else take(message as Received[R]);
}

/** @throws InvalidArgumentError `EINVAL` if the socket is too small for batches; it is closed then */
export function takingBatches<S extends Socket>(socket: S): S {
  if (takesMessage(socket, MAX_BATCH_MESSAGE)) return socket;
  void socket.close({ linger: 0 });
  throw new InvalidArgumentError(`Option maxMessageSize must be at least ${MAX_BATCH_MESSAGE} here`);
}

// --- DEALER ----------------------------------------------------------------------------------------------------------

export interface DealerEvents<R extends Role> {
  /** `read` calls `take` with each message, valid during the call, even if one of them closes the connection. */
  arrived(read: (take: (message: Received[R]) => void) => void): void;
  /** The connection ended. The socket reconnects. */
  ended(): void;
  refused?(error: ShoalError | undefined): void;
  /** No message waits for room any more. */
  writable?(): void;
}

/**
 * A DEALER at one broker, of a client or a worker. Sends messages in order: small ones of a turn in batches, and those
 * without room later.
 */
export class BatchingDealer<R extends Role> {
  readonly #role: R;
  readonly #events: DealerEvents<R>;
  readonly #dealer: Dealer;
  readonly #queue: SendQueue;
  readonly #batches: Batcher<undefined, Request | Answer>;
  /** The connection ended; messages may be unread. */
  #hasEnded = false;

  /** @throws InvalidArgumentError `EINVAL`, and as a Dealer and its `connect` */
  constructor(role: R, endpoint: string, options: DealerOptions | undefined, events: DealerEvents<R>) {
    const dealer = takingBatches(new Dealer(options));
    this.#role = role;
    this.#events = events;
    this.#dealer = dealer;
    this.#queue = new SendQueue(dealer, () => events.writable?.());
    this.#batches = new Batcher(role, (_, message) => void this.#queue.send(message));
    // The event overtakes messages read in this turn or still queued.
    dealer.events.on("disconnect", () =>
      setImmediate(() => {
        this.#hasEnded = true;
        this.#reportEnd();
      }),
    );
    // Not `events.on`: the socket still warns of an unreachable endpoint.
    listen(dealer, (event) => {
      if (event.type === "connect:retry" && !dealer.closed) events.refused?.(event.error);
    });
    connected(dealer, endpoint);
    void readMessages(dealer, (messages) => this.#receive(messages));
  }

  /** Messages that wait for room. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** @throws InvalidArgumentError `EINVAL` for a message that the socket refuses */
  send(message: FromClient | FromWorker): Sending {
    const joins = message.kind === "request" || message.kind === "answer";
    if (joins && this.#queue.length === 0 && this.#batches.add(undefined, message)) return true;
    const frames = encode(this.#role, message);
    this.#batches.flush();
    return this.#queue.send(frames);
  }

  /** @param linger ms for queued messages */
  async close(linger: number): Promise<void> {
    await this.#dealer.close({ linger });
  }

  #receive(messages: readonly Buffer[][]): void {
    if (this.#dealer.closed) return;
    this.#events.arrived((take) => {
      for (const frames of messages) messagesAt(this.#role, frames, take);
    });
    if (this.#hasEnded) this.#reportEnd();
  }

  /** A client's answers come before the end. The broker gives a worker's unread requests to others. */
  #reportEnd(): void {
    const { closed, readable } = this.#dealer;
    if (closed || (readable && this.#role === "client")) return;
    this.#hasEnded = false;
    this.#events.ended();
  }
}
