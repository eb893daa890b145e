/**
 * Batches: small messages to one peer, sent as one at the end of a turn. Rules see ordinary messages.
 *
 *   head of the first member, with the command of a batch | index | bodies
 *
 *   0e requests    an entry of the index: half 4 | length 2
 *   0e REQUESTs    number 4 | half 4 | time 4 | length 2
 *   0f FINALs      number 4 | length 2
 *
 * The half is the lower one of the number in a member's id; the upper one is the first member's, as all else in the
 * head. Members are whole answers and first deliveries without headers, with bodies of one frame.
 */
import { readUint16, readUint32, writeUint32 } from "../../core/big-endian.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { allocate, forbidTransfer, slice } from "../../core/memory.js";
import { takesMessage } from "../../sockets/internal.js";
import type { Socket } from "../../sockets/socket.js";
import {
  type Answer,
  type AtBroker,
  type AtClient,
  type AtWorker,
  Body,
  COMMAND,
  Command,
  Dialect,
  decodeAtBroker,
  decodeAtClient,
  decodeAtWorker,
  EMPTY,
  encode,
  type Fault,
  type Frames,
  fault,
  type Given,
  HIGH,
  NO_ID,
  type Request,
  RequestId,
} from "./protocol.js";

/** Larger bodies gain nothing. */
export const MAX_BATCH_BODY = 1_024;
export const MAX_BATCH_BYTES = 15_360;
export const MAX_BATCH_MEMBERS = 512;
/** Bytes of a message that each end must accept. */
const MAX_BATCH_MESSAGE = 32_768;
/** Batches being filled. */
const MAX_OPEN = 16;
/** Bytes allocated at once for batches to send. */
const SLAB = 262_144;

export interface Layout<M> {
  /** Of a batch. */
  readonly command: number;
  readonly entry: number;
  /** Whether a message may be in a batch, apart from its body. */
  takes(message: M): boolean;
  /** Whether it may be in one that starts with `first`. */
  follows(message: M, first: M): boolean;
  /** Writes an entry but for its length. */
  write(index: Buffer, at: number, message: M): void;
  read<F extends M>(index: Buffer, at: number, first: F, body: Body): F;
  alone(message: M): Frames;
}

/** Same client and upper half. */
function areNear(a: RequestId | undefined, b: RequestId | undefined): boolean {
  return (
    a?.low === b?.low &&
    a?.high === b?.high &&
    Math.floor((a?.sequence ?? 0) / HIGH) === Math.floor((b?.sequence ?? 0) / HIGH)
  );
}

/** @param number lower half of a member's */
function idNear({ high, low, sequence }: RequestId = NO_ID, number: number): RequestId {
  return new RequestId(high, low, Math.floor(sequence / HIGH) * HIGH + number);
}

export const REQUESTS: Layout<Request> = {
  command: Command.Requests,
  entry: 6,
  takes: ({ dialect, headers }) => dialect === Dialect.Shoal && headers.length === 0,
  follows: (request, first) =>
    request.service === first.service && request.time === first.time && areNear(request.id, first.id),
  write: (index, at, { id }) => writeUint32(index, at, id?.sequence ?? 0),
  read: (index, at, first, body) => ({ ...first, id: idNear(first.id, readUint32(index, at)), body }),
  alone: (request) => encode("client", request),
};

/** From a broker to a client. */
export const ANSWERS: Layout<Answer> = {
  command: Command.Answers,
  entry: 6,
  takes: ({ dialect, final, pieces }) => dialect === Dialect.Shoal && final && pieces === 0,
  follows: () => true,
  write: (index, at, { number }) => writeUint32(index, at, number),
  read: (index, at, first, body) => ({ ...first, number: readUint32(index, at), body }),
  alone: (answer) => encode("client", answer),
};

/** From a worker to a broker. */
export const REPLIES: Layout<Answer> = { ...ANSWERS, alone: (answer) => encode("worker", answer) };

export const DELIVERIES: Layout<Given> = {
  command: Command.Requests,
  entry: 14,
  takes: ({ dialect, id, attempt, headers }) =>
    dialect === Dialect.Shoal && id !== undefined && attempt === 1 && headers.length === 0,
  follows: (delivery, first) => areNear(delivery.id, first.id),
  write(index, at, { tag, id, time }) {
    writeUint32(index, at, tag);
    writeUint32(index, at + 4, (id as RequestId).sequence);
    writeUint32(index, at + 8, time);
  },
  read(index, at, first, body) {
    const id = idNear(first.id, readUint32(index, at + 4));
    return { ...first, tag: readUint32(index, at), id, time: readUint32(index, at + 8) | 0, body };
  },
  alone: (delivery) => encode("worker", delivery),
};

interface Batch<P, M> {
  readonly peer: P;
  readonly members: M[];
  /** Upper bound of the bodies' bytes. */
  bytes: number;
}

export class Batcher<P, M extends { readonly body: Body }> {
  readonly #layout: Layout<M>;
  readonly #send: (peer: P, message: Frames, members: readonly M[]) => void;
  readonly #soon: () => void;
  #open: Batch<P, M>[] = [];
  #isAwaited = false;

  /** @param soon calls {@link flush} at the end of the turn */
  constructor(
    layout: Layout<M>,
    send: (peer: P, message: Frames, members: readonly M[]) => void,
    soon: (flush: () => void) => void = process.nextTick,
  ) {
    this.#layout = layout;
    this.#send = send;
    const flush = (): void => this.flush();
    this.#soon = () => soon(flush);
  }

  /** @returns `false` if it must be sent alone; earlier messages to the peer were sent */
  add(peer: P, message: M): boolean {
    const layout = this.#layout;
    const { bytes } = message.body;
    if (bytes > MAX_BATCH_BODY || !layout.takes(message)) {
      this.flush(peer);
      return false;
    }
    for (let i = this.#open.length - 1; i >= 0; i--) {
      const batch = this.#open[i] as Batch<P, M>;
      if (batch.peer !== peer || !layout.follows(message, batch.members[0] as M)) continue;
      if (batch.members.length === MAX_BATCH_MEMBERS || batch.bytes + bytes > MAX_BATCH_BYTES) continue;
      batch.members.push(message);
      batch.bytes += bytes;
      return true;
    }
    if (this.#open.length === MAX_OPEN) this.#leave(this.#open.shift() as Batch<P, M>);
    this.#open.push({ peer, members: [message], bytes });
    if (!this.#isAwaited) {
      this.#isAwaited = true;
      this.#soon();
    }
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

  clear(): void {
    this.#open = [];
  }

  #leave({ peer, members, bytes }: Batch<P, M>): void {
    const alone = members.length === 1;
    const message = alone ? this.#layout.alone(members[0] as M) : encodeBatch(this.#layout, members, bytes);
    this.#send(peer, message, members);
  }
}

/** Memory of several batches: an allocation for each made a broker spend a fifth of its time in collections. */
let slab = EMPTY;
let used = 0;

/** `take` keeps the first bytes of it. */
function room(bytes: number): Buffer {
  if (slab.length - used < bytes) {
    slab = allocate(SLAB);
    used = 0;
  }
  return slice(slab.buffer, slab.byteOffset + used, bytes);
}

function take(bytes: number): void {
  used += bytes;
}

/** @param bytes upper bound of the bodies' bytes */
export function encodeBatch<M extends { readonly body: Body }>(
  layout: Layout<M>,
  members: readonly M[],
  bytes: number,
): Frames {
  const index = room(members.length * layout.entry);
  take(index.length);
  // Consecutive members of a received batch are sent without a copy.
  const span = Body.span(members);
  const bodies = span ?? room(bytes);
  let end = 0;
  for (let i = 0; i < members.length; i++) {
    const member = members[i] as M;
    const start = end;
    end = span === undefined ? member.body.write(bodies, start) : start + member.body.bytes;
    const at = i * layout.entry;
    layout.write(index, at, member);
    index[at + layout.entry - 2] = (end - start) >>> 8;
    index[at + layout.entry - 1] = end - start;
  }
  if (span === undefined) take(end);
  const [head] = layout.alone(members[0] as M) as [Buffer];
  head[COMMAND] = layout.command;
  return [head, index, slice(bodies.buffer, bodies.byteOffset, end)];
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

/** @param at index of the second frame. @param worker dialect of the sending worker */
function expand<M, F extends M>(
  layout: Layout<M>,
  first: F,
  frames: readonly Buffer[],
  at: number,
  worker?: Dialect,
): readonly F[] | readonly [Fault] {
  if (!isWhole(frames, at, layout.entry)) return [fault("body", worker)];
  const [index, bodies] = [frames[at] as Buffer, frames[at + 1] as Buffer];
  forbidTransfer(bodies);
  const members: F[] = [];
  let from = 0;
  for (let next = 0; next < index.length; next += layout.entry) {
    const to = from + readUint16(index, next + layout.entry - 2);
    members.push(layout.read(index, next, first, Body.within(bodies, from, to)));
    from = to;
  }
  return members;
}

/** @param head decoded as the first member's */
function isBatch(head: Buffer | undefined): boolean {
  const command = head?.[COMMAND];
  return command === Command.Requests || command === Command.Answers;
}

/** @param frames of the ROUTER, routing id first */
export function messagesAtBroker(frames: readonly Buffer[]): readonly AtBroker[] {
  const first = decodeAtBroker(frames);
  if (!isBatch(frames[1])) return [first];
  if (first.kind === "request") return expand(REQUESTS, first, frames, 2);
  return first.kind === "answer" ? expand(REPLIES, first, frames, 2, Dialect.Shoal) : [first];
}

export function messagesAtClient(frames: readonly Buffer[]): readonly AtClient[] {
  const first = decodeAtClient(frames);
  return first.kind === "answer" && isBatch(frames[0]) ? expand(ANSWERS, first, frames, 1) : [first];
}

export function messagesAtWorker(frames: readonly Buffer[]): readonly AtWorker[] {
  const first = decodeAtWorker(frames);
  return first.kind === "request" && isBatch(frames[0]) ? expand(DELIVERIES, first, frames, 1) : [first];
}

/** @throws InvalidArgumentError `EINVAL` if the socket is too small for batches; it is closed then */
export function takingBatches<S extends Socket>(socket: S): S {
  if (takesMessage(socket, MAX_BATCH_MESSAGE)) return socket;
  void socket.close({ linger: 0 });
  throw new InvalidArgumentError(`Option maxMessageSize must be at least ${MAX_BATCH_MESSAGE} here`);
}
