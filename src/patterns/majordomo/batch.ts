/**
 * Batches: small messages to one peer that leave in one turn as one message. The sockets' edges encode and expand them,
 * so the rules of brokers, clients and workers see ordinary messages only.
 *
 *   requests     SHLC01 0e id 16 span 4 n 1 service n time 4    (number 4 | length 2)*                     bodies
 *   answers      SHLC01 0f id 16                                (number 4 | length 2)*                     bodies
 *   REQUESTs     SHLW01 0e id 16 span 4                         (tag 4 | number 4 | time 4 | length 2)*    bodies
 *   FINALs       SHLW01 0f                                      (tag 4 | length 2)*                        bodies
 *
 * The head has the id of the first member, the second frame an entry for each member, and the third their bodies one behind
 * the other. A number is the lower half of a member's; the upper half is the first one's. Service, time and span are those
 * of all requests. A batch has whole answers and first deliveries without headers, each with a body of one frame.
 */
import { readUint16, readUint32, writeUint32 } from "../../core/big-endian.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { forbidTransfer } from "../../core/memory.js";
import { takesMessage } from "../../sockets/internal.js";
import type { Socket } from "../../sockets/socket.js";
import {
  type Answer,
  type AtBroker,
  type AtClient,
  type AtWorker,
  Body,
  ClientCommand,
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
  headerOf,
  headOf,
  type Reply,
  type Request,
  RequestId,
  readId,
  requestHead,
  spanOf,
  WorkerCommand,
  writeId,
} from "./wire.js";

/** Bytes of a body that goes in a batch. Larger ones gain nothing by it. */
export const MAX_BATCH_BODY = 1_024;
/** Bytes of a batch's bodies. */
export const MAX_BATCH_BYTES = 15_360;
/** Members of a batch. */
export const MAX_BATCH_MEMBERS = 512;
/** Bytes of a message that each end has to take. */
const MAX_BATCH_MESSAGE = 32_768;
/** Batches that one end gathers at once. */
const MAX_OPEN = 16;

const NO_ENVELOPE: readonly Buffer[] = [];

const HIGH = 0x1_0000_0000;
const COMMAND = 6;
const AFTER = 7;
const ID = 16;

/** How messages of one kind stand in a batch. */
export interface Layout<M> {
  /** Bytes of an entry. */
  readonly entry: number;
  /** Whether it may go in a batch, as far as all but its body is concerned. */
  takes(message: M): boolean;
  /** Whether it may go in the batch that begins with `first`. */
  follows(message: M, first: M): boolean;
  head(first: M): Buffer;
  /** Writes the entry but for the length. */
  write(index: Buffer, at: number, message: M): void;
  /** The message in its ordinary form. */
  alone(message: M): Frames;
}

/** Whether both are of one client, and of numbers with the same upper half. */
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
  /** Bytes of the bodies, at most. */
  bytes: number;
}

/** Gathers the messages of a turn. */
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

  /** @returns `false`: the message has to go alone, and what the peer has to get before it has left */
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

  /** Sends what was gathered. @param peer only what is for this one */
  flush(peer?: P): void {
    if (peer === undefined) this.#isAwaited = false;
    if (this.#open.length === 0) return;
    const leaving = peer === undefined ? this.#open : this.#open.filter((batch) => batch.peer === peer);
    if (leaving.length === 0) return;
    this.#open = peer === undefined ? [] : this.#open.filter((batch) => batch.peer !== peer);
    for (const batch of leaving) this.#leave(batch);
  }

  /** Bytes that are gathered for a peer. */
  bytesFor(peer: P): number {
    let bytes = 0;
    for (const batch of this.#open) if (batch.peer === peer) bytes += batch.bytes;
    return bytes;
  }

  /** Forgets what was gathered. */
  clear(): void {
    this.#open = [];
  }

  #leave({ peer, members, bytes }: Batch<P, M>): void {
    const alone = members.length === 1;
    const message = alone ? this.#layout.alone(members[0] as M) : encodeBatch(this.#layout, members, bytes);
    this.#send(peer, message, members);
  }
}

/** @param bytes of the bodies, at most */
export function encodeBatch<M extends { readonly body: Body }>(
  layout: Layout<M>,
  members: readonly M[],
  bytes: number,
): Frames {
  const index = Buffer.allocUnsafe(members.length * layout.entry);
  // Members that came one behind the other in a batch go on as one piece.
  const span = Body.span(members);
  const bodies = span ?? Buffer.allocUnsafe(bytes);
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
  return [layout.head(members[0] as M), index, bodies.subarray(0, end)];
}

/** The entries and bodies of a batch; nothing of it is valid unless all is. @param at index of its second frame */
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

/** The members of a batch. @param make a member from its entry and its body */
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

/** A batch's command; 0 for another message. */
function batchCommand(head: Buffer | undefined, isWorker: boolean): number {
  const command = head?.[COMMAND] ?? 0;
  if (command !== WorkerCommand.Requests && command !== WorkerCommand.Replies) return 0;
  return headerOf(head)?.isWorker === isWorker ? command : 0;
}

/** @param frames as the ROUTER gives them, the routing id first */
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

/** Makes ids of a batch that begins with this one. */
function memberIds({ high, low, sequence }: RequestId): (number: number) => RequestId {
  const base = sequence - (sequence % HIGH);
  return (number) => new RequestId(high, low, base + number);
}

/** Returns the socket. @throws InvalidArgumentError `EINVAL` if it is too small for batches; it is closed then */
export function takingBatches<S extends Socket>(socket: S): S {
  if (takesMessage(socket, MAX_BATCH_MESSAGE)) return socket;
  void socket.close({ linger: 0 });
  throw new InvalidArgumentError(`Option maxMessageSize must be at least ${MAX_BATCH_MESSAGE} here`);
}
