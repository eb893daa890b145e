/**
 * Batches: small messages to one peer, sent as one at the end of a turn. Rules see ordinary messages.
 *
 *   requests     SHLC01 0e id 16 span 4 n 1 service n time 4    (number 4 | length 2)*                     bodies
 *   answers      SHLC01 0f id 16                                (number 4 | length 2)*                     bodies
 *   REQUESTs     SHLW01 0e id 16 span 4                         (tag 4 | number 4 | time 4 | length 2)*    bodies
 *   FINALs       SHLW01 0f                                      (tag 4 | length 2)*                        bodies
 *
 * A number is the lower half of a member's; the upper half is the first one's. All requests share service, time and
 * span. Members are whole answers and first deliveries without headers, with bodies of one frame.
 */
import { readUint16, readUint32, writeUint32 } from "../../core/big-endian.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { allocate, forbidTransfer, slice } from "../../core/memory.js";
import { takesMessage } from "../../sockets/internal.js";
import type { Socket } from "../../sockets/socket.js";
import {
  AFTER,
  type Answer,
  type AtBroker,
  type AtClient,
  type AtWorker,
  Body,
  ClientCommand,
  COMMAND,
  Dialect,
  decodeAtBroker,
  decodeAtClient,
  decodeAtWorker,
  decodeRequestHead,
  EMPTY,
  encodeFromClient,
  encodeFromWorker,
  encodeToClient,
  encodeToWorker,
  type Frames,
  fault,
  type Given,
  HIGH,
  headerOf,
  headOf,
  ID,
  NO_ENVELOPE,
  type Reply,
  type Request,
  RequestId,
  readId,
  requestHead,
  spanOf,
  WorkerCommand,
  writeId,
} from "./wire.js";

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
  readonly entry: number;
  /** Whether a message may be in a batch, apart from its body. */
  takes(message: M): boolean;
  /** Whether it may be in one that starts with `first`. */
  follows(message: M, first: M): boolean;
  head(first: M): Buffer;
  /** Writes an entry but for its length. */
  write(index: Buffer, at: number, message: M): void;
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

function writeNumber(index: Buffer, at: number, { id }: Request | Answer): void {
  writeUint32(index, at, (id?.sequence ?? 0) >>> 0);
}

export const REQUESTS: Layout<Request> = {
  entry: 6,
  takes: ({ dialect, headers }) => dialect === Dialect.Shoal && headers.length === 0,
  follows: (request, first) =>
    request.service === first.service && request.time === first.time && areNear(request.id, first.id),
  head: (first) => requestHead(ClientCommand.Requests, first),
  write: writeNumber,
  alone: encodeFromClient,
};

export const ANSWERS: Layout<Answer> = {
  entry: 6,
  takes: ({ dialect, final, pieces }) => dialect === Dialect.Shoal && final && pieces === 0,
  follows: (answer, first) => areNear(answer.id, first.id),
  head(first) {
    const head = headOf("client", ClientCommand.Answers, ID);
    writeId(head, AFTER, first.id as RequestId);
    return head;
  },
  write: writeNumber,
  alone: (answer) => encodeToClient(answer, []),
};

export const DELIVERIES: Layout<Given> = {
  entry: 14,
  takes: ({ dialect, id, attempt, headers }) =>
    dialect === Dialect.Shoal && id !== undefined && attempt === 1 && headers.length === 0,
  follows: (delivery, first) => areNear(delivery.id, first.id),
  head({ id, oldest }) {
    const head = headOf("worker", WorkerCommand.Requests, ID + 4);
    writeId(head, AFTER, id as RequestId);
    writeUint32(head, AFTER + ID, spanOf((id as RequestId).sequence, oldest));
    return head;
  },
  write(index, at, { tag, id, time }) {
    writeUint32(index, at, tag);
    writeUint32(index, at + 4, (id as RequestId).sequence >>> 0);
    writeUint32(index, at + 8, time);
  },
  alone: (delivery) => encodeToWorker(delivery, []),
};

export const REPLIES: Layout<Reply> = {
  entry: 6,
  takes: ({ dialect, final, pieces }) => dialect === Dialect.Shoal && final && pieces === 0,
  follows: () => true,
  head: () => headOf("worker", WorkerCommand.Replies, 0),
  write: (index, at, { tag }) => writeUint32(index, at, tag),
  alone: encodeFromWorker,
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

  bytesFor(peer: P): number {
    let bytes = 0;
    for (const batch of this.#open) if (batch.peer === peer) bytes += batch.bytes;
    return bytes;
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
  return [layout.head(members[0] as M), index, slice(bodies.buffer, bodies.byteOffset, end)];
}

/** Whether all entries and bodies are valid. @param at index of the second frame */
function isBatch(frames: readonly Buffer[], at: number, entry: number): boolean {
  if (frames.length !== at + 2) return false;
  const [index, bodies] = [frames[at] as Buffer, frames[at + 1] as Buffer];
  const { length } = index;
  if (length === 0 || length % entry !== 0 || length > MAX_BATCH_MEMBERS * entry) return false;
  if (bodies.length > MAX_BATCH_BYTES) return false;
  let bytes = 0;
  for (let end = entry; end <= length; end += entry) bytes += readUint16(index, end - 2);
  return bytes === bodies.length;
}

/** @param make creates a member from its entry and body */
function expand<M>(
  [index, bodies]: readonly Buffer[],
  entry: number,
  make: (index: Buffer, at: number, body: Body) => M,
): M[] {
  const members: M[] = [];
  const { length } = index as Buffer;
  forbidTransfer(bodies as Buffer);
  let from = 0;
  for (let at = 0; at < length; at += entry) {
    const to = from + readUint16(index as Buffer, at + entry - 2);
    members.push(make(index as Buffer, at, Body.within(bodies as Buffer, from, to)));
    from = to;
  }
  return members;
}

/** Command of a batch; else 0. */
function batchCommand(head: Buffer | undefined, isWorker: boolean): number {
  const command = head?.[COMMAND] ?? 0;
  if (command !== WorkerCommand.Requests && command !== WorkerCommand.Replies) return 0;
  return headerOf(head)?.isWorker === isWorker ? command : 0;
}

/** @param frames of the ROUTER, routing id first */
export function messagesAtBroker(frames: readonly Buffer[]): readonly AtBroker[] {
  const [, head] = frames;
  if (batchCommand(head, false) === ClientCommand.Requests) return requestsIn(frames, head as Buffer);
  if (batchCommand(head, true) !== WorkerCommand.Replies) return [decodeAtBroker(frames)];
  if (!isBatch(frames, 2, REPLIES.entry)) return [fault("body", Dialect.Shoal)];
  return expand(frames.slice(2), REPLIES.entry, (index, at, body) => ({
    kind: "reply",
    dialect: Dialect.Shoal,
    tag: readUint32(index, at),
    envelope: NO_ENVELOPE,
    final: true,
    pieces: 0,
    body,
  }));
}

function requestsIn(frames: readonly Buffer[], head: Buffer): readonly AtBroker[] {
  const first = decodeRequestHead(head, Body.of([]));
  if (first.kind === "fault") return [first];
  if (first.headers.length > 0) return [fault("headers")];
  if (!isBatch(frames, 2, REQUESTS.entry)) return [fault("body")];
  const { dialect, id, oldest, service, time } = first;
  const idOf = memberIds(id as RequestId);
  return expand(frames.slice(2), REQUESTS.entry, (index, at, body) => ({
    kind: "request",
    dialect,
    id: idOf(readUint32(index, at)),
    oldest,
    service,
    time,
    headers: EMPTY,
    body,
  }));
}

export function messagesAtClient(frames: readonly Buffer[]): readonly AtClient[] {
  const [head] = frames;
  if (batchCommand(head, false) !== ClientCommand.Answers) return [decodeAtClient(frames)];
  if ((head as Buffer).length !== AFTER + ID) return [fault("id")];
  if (!isBatch(frames, 1, ANSWERS.entry)) return [fault("body")];
  const idOf = memberIds(readId(head as Buffer, AFTER));
  return expand(frames.slice(1), ANSWERS.entry, (index, at, body) => ({
    kind: "answer",
    dialect: Dialect.Shoal,
    id: idOf(readUint32(index, at)),
    service: EMPTY,
    final: true,
    pieces: 0,
    body,
  }));
}

export function messagesAtWorker(frames: readonly Buffer[]): readonly AtWorker[] {
  const [head] = frames;
  if (batchCommand(head, true) !== WorkerCommand.Requests) return [decodeAtWorker(frames)];
  if ((head as Buffer).length !== AFTER + ID + 4) return [fault("id")];
  if (!isBatch(frames, 1, DELIVERIES.entry)) return [fault("body")];
  const first = readId(head as Buffer, AFTER);
  const oldest = first.sequence - Math.min(first.sequence, readUint32(head as Buffer, AFTER + ID));
  const idOf = memberIds(first);
  return expand(frames.slice(1), DELIVERIES.entry, (index, at, body) => ({
    kind: "request",
    dialect: Dialect.Shoal,
    tag: readUint32(index, at),
    envelope: NO_ENVELOPE,
    id: idOf(readUint32(index, at + 4)),
    oldest,
    attempt: 1,
    time: readUint32(index, at + 8) | 0,
    headers: EMPTY,
    body,
    epoch: 0,
    receivedAt: Number.MIN_VALUE,
  }));
}

function memberIds({ high, low, sequence }: RequestId): (number: number) => RequestId {
  const base = sequence - (sequence % HIGH);
  return (number) => new RequestId(high, low, base + number);
}

/** @throws InvalidArgumentError `EINVAL` if the socket is too small for batches; it is closed then */
export function takingBatches<S extends Socket>(socket: S): S {
  if (takesMessage(socket, MAX_BATCH_MESSAGE)) return socket;
  void socket.close({ linger: 0 });
  throw new InvalidArgumentError(`Option maxMessageSize must be at least ${MAX_BATCH_MESSAGE} here`);
}
