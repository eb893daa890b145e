/** What a worker and a broker say to each other, built and parsed at both ends, and what a broker's ROUTER makes of any message (forms: protocol.ts). */

import { readUint16, readUint32 } from "../../core/big-endian.js";
import { MAX_FORWARDED_FRAMES } from "../../core/frame-cost.js";
import { forbidTransfer, slice } from "../../core/memory.js";
import {
  type Fault,
  type FromClient,
  fault,
  isServiceName,
  levelIn,
  type Negotiated,
  parseExtendedClient,
  parseNegotiated,
  parsePlainClient,
} from "./client-messages.js";
import {
  commandOf,
  countedReplyHead,
  DELIVERY_ID,
  deliveryHead,
  deliveryHeadWith,
  hasId,
  isDelivery,
  isDeliveryRunHead,
  isDeliveryWith,
  isTagged,
  memberDeliveryHead,
  oldestIn,
  RUN_ID,
  replyHead,
  runBase,
  sequenceIn,
  tagCountIn,
  tagIn,
  workerCreditHead,
  workerSignalHead,
} from "./header.js";
import {
  commandFrame,
  Dialect,
  EMPTY,
  type Frames,
  framesFrom,
  headerOf,
  MAX_CAPACITY,
  type Room,
  TAG_LENGTH,
  WORKER_HEADERS,
  WorkerCommand,
  workerCommandFrame,
  workerCommandOf,
} from "./protocol.js";
import { isRun, RunEntry } from "./runs.js";

/** A request for a worker, and what its answer has to begin with. Of a run it has no head before one is asked for. */
export class Delivery {
  readonly kind = "request";
  readonly dialect: Dialect;
  /** A plain broker's address frames. */
  readonly envelope: readonly Buffer[];
  readonly body: Buffer[];
  /** The registration that it came to. */
  epoch = 0;
  /** When it came, by the system's monotonic clock. A double from the start: the shape of all deliveries is one. */
  receivedAt = Number.MIN_VALUE;

  /** The broker's number of it; 0 in MDP. */
  readonly tag: number;
  /** The head of the run that it came in. */
  readonly run: Buffer | undefined;
  readonly #sequence: number;
  readonly #oldest: number;
  readonly #time: number;
  #head: Buffer | undefined;

  constructor(
    dialect: Dialect,
    head: Buffer | undefined,
    envelope: readonly Buffer[],
    body: Buffer[],
    tag: number,
    run?: Buffer,
    sequence = 0,
    oldest = 0,
    time = 0,
  ) {
    this.dialect = dialect;
    this.#head = head;
    this.envelope = envelope;
    this.body = body;
    this.tag = tag;
    this.run = run;
    this.#sequence = sequence;
    this.#oldest = oldest;
    this.#time = time;
  }

  /** Has the tag and the id; only in the third dialect. */
  get head(): Buffer {
    this.#head ??= memberDeliveryHead(this.run as Buffer, this.tag, this.#sequence, this.#time);
    return this.#head;
  }

  /** Whether the request has an id. */
  get repeatable(): boolean {
    return this.run !== undefined || (this.dialect === Dialect.Shoal && hasId(this.head));
  }

  /** The number in its id. */
  get sequence(): number {
    return this.run === undefined ? sequenceIn(this.head, DELIVERY_ID) : this.#sequence;
  }

  /** The lowest that its client still wants answered. */
  get oldest(): number {
    return this.run === undefined ? oldestIn(this.head, DELIVERY_ID, this.sequence) : this.#oldest;
  }

  /** Where its client's key stands: a head, and where the id begins in it. */
  get idHead(): Buffer {
    return this.run ?? this.head;
  }

  get idAt(): number {
    return this.run === undefined ? DELIVERY_ID : RUN_ID;
  }

  /** Bytes of its head, about. */
  get headLength(): number {
    return this.run === undefined ? this.head.length : 0;
  }
}

/** Several requests for a worker, of one client. */
export class DeliveryRun {
  readonly kind = "requests";
  readonly head: Buffer;
  readonly index: Buffer;
  readonly bodies: Buffer;

  constructor(head: Buffer, index: Buffer, bodies: Buffer) {
    this.head = head;
    this.index = index;
    this.bodies = bodies;
  }

  /** Gives each of them to `take`. */
  each(take: (delivery: Delivery) => void): void {
    const { head, index, bodies } = this;
    const base = runBase(head);
    const oldest = oldestIn(head, RUN_ID, sequenceIn(head, RUN_ID));
    const { buffer } = bodies;
    forbidTransfer(bodies);
    let from = bodies.byteOffset;
    const end = index.length;
    for (let at = 0; at < end; at += RunEntry.Delivery) {
      const length = readUint16(index, at + 12);
      const sequence = base + readUint32(index, at + 4);
      const body = [slice(buffer, from, length)];
      const tag = readUint32(index, at);
      const time = readUint32(index, at + 8);
      take(new Delivery(Dialect.Shoal, undefined, NO_ENVELOPE, body, tag, head, sequence, oldest, time));
      from += length;
    }
  }
}

export type WorkerInput =
  | Delivery
  | DeliveryRun
  | { readonly kind: "cancel"; readonly tag: number }
  | { readonly kind: "credit"; readonly tag: number; readonly bytes: number }
  | { readonly kind: "heartbeat" | "disconnect"; readonly dialect: Dialect }
  | Negotiated
  | { readonly kind: "fault" };

const NO_ENVELOPE: readonly Buffer[] = [];

const WORKER_FAULT: WorkerInput = { kind: "fault" };

export function parseAtWorker(frames: readonly Buffer[]): WorkerInput {
  const start = frames[0]?.length === 0 ? 1 : 0;
  const header = headerOf(frames[start]);
  if (header === undefined) return WORKER_FAULT;
  const { role, dialect } = header;
  if ((dialect === Dialect.Mdp01) !== (start === 1)) return WORKER_FAULT;
  if (role === "client") return parseNegotiated(frames, dialect) ?? WORKER_FAULT;
  if (dialect === Dialect.Shoal) return parseExtendedAtWorker(frames, frames[0] as Buffer);
  switch (workerCommandOf(dialect, frames[start + 1])) {
    case WorkerCommand.Request:
      return parsePlainDelivery(frames, start + 2, dialect);
    case WorkerCommand.Heartbeat:
      return { kind: "heartbeat", dialect };
    case WorkerCommand.Disconnect:
      return { kind: "disconnect", dialect };
    default:
      return WORKER_FAULT;
  }
}

function parseExtendedAtWorker(frames: readonly Buffer[], head: Buffer): WorkerInput {
  const dialect = Dialect.Shoal;
  switch (commandOf(head)) {
    case WorkerCommand.Request:
      if (!isDelivery(head) || frames.length < 2) return WORKER_FAULT;
      return new Delivery(dialect, head, NO_ENVELOPE, framesFrom(frames, 1), tagIn(head));
    case WorkerCommand.RequestWith:
    case WorkerCommand.PlainRequestWith:
      if (!isDeliveryWith(head) || frames.length < 2) return WORKER_FAULT;
      return new Delivery(dialect, head, NO_ENVELOPE, framesFrom(frames, 1), tagIn(head));
    case WorkerCommand.Requests:
      if (!isDeliveryRunHead(head) || !isRun(frames, 1, RunEntry.Delivery)) return WORKER_FAULT;
      return new DeliveryRun(head, frames[1] as Buffer, frames[2] as Buffer);
    case WorkerCommand.Heartbeat:
      return { kind: "heartbeat", dialect };
    case WorkerCommand.Disconnect:
      return { kind: "disconnect", dialect };
    case WorkerCommand.Cancel:
      return isTagged(head) ? { kind: "cancel", tag: tagIn(head) } : WORKER_FAULT;
    case WorkerCommand.Credit:
      return isTagged(head) ? { kind: "credit", tag: tagIn(head), bytes: tagCountIn(head) } : WORKER_FAULT;
    default:
      return WORKER_FAULT;
  }
}

/** The address is what stands before the empty frame: one frame, or more behind a chain of brokers. */
function parsePlainDelivery(frames: readonly Buffer[], at: number, dialect: Dialect): WorkerInput {
  let end = at;
  while (end < frames.length && (frames[end] as Buffer).length > 0) end += 1;
  if (end === at || end + 1 >= frames.length) return WORKER_FAULT;
  return new Delivery(dialect, EMPTY, frames.slice(at, end), frames.slice(end + 1), 0);
}

/** @param level of the broker; one of level 1 gets no frame for it */
export function readyMessage(dialect: Dialect, service: Buffer, room: Room, name: string, level = 1): Frames {
  if (dialect === Dialect.Shoal) {
    const declared = Buffer.alloc(8);
    declared.writeUInt32BE(room.concurrency, 0);
    declared.writeUInt32BE(room.capacity, 4);
    const frames: Frames = [workerSignalHead(WorkerCommand.Ready), service, declared, name];
    if (level > 1) frames.push(commandFrame(level));
    return frames;
  }
  const command = workerCommandFrame(dialect, "Ready");
  if (dialect === Dialect.Mdp01) return [EMPTY, WORKER_HEADERS[dialect], command, service];
  return [WORKER_HEADERS[dialect], command, service];
}

export function signalMessage(dialect: Dialect, name: "Heartbeat" | "Disconnect"): Frames {
  if (dialect === Dialect.Shoal) return [workerSignalHead(WorkerCommand[name])];
  const command = workerCommandFrame(dialect, name);
  return dialect === Dialect.Mdp01
    ? [EMPTY, WORKER_HEADERS[dialect], command]
    : [WORKER_HEADERS[dialect], command];
}

/** A worker of shoal's takes nothing new. */
export function drainMessage(): Frames {
  return [workerSignalHead(WorkerCommand.Drain)];
}

/**
 * A piece of an answer, or its end. 0.1 has no pieces; 0.1 and 0.2 no end without a body.
 *
 * @param pieces that were sent before
 * @param reuse its head is copied before the next one is made
 */
export function replyMessage(
  { dialect, head: delivery, envelope }: Delivery,
  final: boolean,
  body: readonly (Buffer | string)[],
  pieces: number,
  reuse = false,
): Frames {
  let frames: Frames;
  if (dialect === Dialect.Shoal) {
    const command = final ? WorkerCommand.Final : WorkerCommand.Partial;
    const bare = final && pieces === 0;
    const head = bare ? replyHead(command, delivery, reuse) : countedReplyHead(command, delivery, pieces);
    if (body.length === 1) return [head, body[0] as Buffer | string];
    frames = [head];
  } else {
    const command = final ? workerCommandFrame(dialect, "Final") : commandFrame(WorkerCommand.Partial);
    frames =
      dialect === Dialect.Mdp01
        ? [EMPTY, WORKER_HEADERS[dialect], command]
        : [WORKER_HEADERS[dialect], command];
    for (const hop of envelope) frames.push(hop);
    frames.push(EMPTY);
    if (body.length === 0) frames.push(EMPTY);
  }
  for (let i = 0; i < body.length; i++) frames.push(body[i] as Buffer | string);
  return frames;
}

/** The handler failed; in the third dialect only. @param delivery the head of the request. @param details for a broker of level 2 */
export function failureMessage(delivery: Buffer, reason: string, text: string, details?: Buffer): Frames {
  const frames: Frames = [replyHead(WorkerCommand.Failure, delivery), reason, text];
  if (details !== undefined) frames.push(details);
  return frames;
}

/** A worker gives a request back that no handler of it has begun; for a broker of level 3. @param delivery the head of the request */
export function returnMessage(delivery: Buffer): Frames {
  return [replyHead(WorkerCommand.Return, delivery)];
}

/**
 * A request for a worker. Plain ones get the tag as the client's address.
 *
 * @param head the request's; empty for a plain client's
 * @param frames the body begins at `at`
 * @param attempt for a worker of level 2: 1 for the first delivery; 0: its level is lower
 * @param waited ms that the request has waited at the broker
 * @param reuse its head is copied before the next one is made
 */
export function delivery(
  to: Buffer,
  dialect: Dialect,
  tag: number,
  head: Buffer,
  frames: readonly Buffer[],
  at: number,
  attempt = 0,
  waited = 0,
  reuse = false,
): Frames {
  let message: Frames;
  if (dialect === Dialect.Shoal) {
    const first =
      attempt > 0
        ? deliveryHeadWith(tag, head, attempt, waited, reuse)
        : deliveryHead(WorkerCommand.Request, tag, head);
    if (frames.length === at + 1) return [to, first, frames[at] as Buffer];
    message = [to, first];
  } else {
    const tagFrame = Buffer.allocUnsafe(4);
    tagFrame.writeUInt32BE(tag, 0);
    const command = workerCommandFrame(dialect, "Request");
    message =
      dialect === Dialect.Mdp01
        ? [to, EMPTY, WORKER_HEADERS[Dialect.Mdp01], command, tagFrame, EMPTY]
        : [to, WORKER_HEADERS[Dialect.Mdp02], command, tagFrame, EMPTY];
  }
  for (let i = at; i < frames.length; i++) message.push(frames[i] as Buffer);
  return message;
}

/** HEARTBEAT or DISCONNECT for a worker. */
export function workerSignal(to: Buffer, dialect: Dialect, name: "Heartbeat" | "Disconnect"): Frames {
  if (dialect === Dialect.Shoal) return [to, workerSignalHead(WorkerCommand[name])];
  const command = workerCommandFrame(dialect, name);
  return dialect === Dialect.Mdp01
    ? [to, EMPTY, WORKER_HEADERS[dialect], command]
    : [to, WORKER_HEADERS[dialect], command];
}

/** Nobody waits for this delivery's answer any more; plain workers get no message. */
export function cancellation(to: Buffer, tag: number): Frames {
  return [to, deliveryHead(WorkerCommand.Cancel, tag, EMPTY)];
}

/** More of an answer's pieces are wanted; plain workers know no credit. */
export function credit(to: Buffer, tag: number, bytes: number): Frames {
  return [to, workerCreditHead(WorkerCommand.Credit, tag, bytes)];
}

/** A worker's answer, or a piece of it, to the delivery with this tag. */
export class ReplyCommand {
  readonly kind: "partial" | "final";
  readonly dialect: Dialect;
  readonly tag: number;
  /** The whole message; the body begins at `bodyAt`. */
  readonly frames: Buffer[];
  readonly bodyAt: number;
  /** Pieces that the worker has sent before this; -1 from a plain one, which does not say. */
  readonly pieces: number;

  constructor(
    kind: "partial" | "final",
    dialect: Dialect,
    tag: number,
    frames: Buffer[],
    bodyAt: number,
    pieces: number,
  ) {
    this.pieces = pieces;
    this.kind = kind;
    this.dialect = dialect;
    this.tag = tag;
    this.frames = frames;
    this.bodyAt = bodyAt;
  }

  get body(): Buffer[] {
    return framesFrom(this.frames, this.bodyAt);
  }
}

/** Answers of a worker, each whole. */
export class ReplyRun {
  readonly kind = "replies";
  readonly index: Buffer;
  readonly bodies: Buffer;

  constructor(index: Buffer, bodies: Buffer) {
    this.index = index;
    this.bodies = bodies;
  }
}

/** What a broker receives from its workers. */
export type FromWorker =
  | ReplyCommand
  | ReplyRun
  | {
      readonly kind: "ready";
      readonly dialect: Dialect;
      readonly service: Buffer;
      readonly concurrency: number;
      readonly capacity: number;
      readonly name: string;
      /** Of the third dialect; 0 in MDP. */
      readonly level: number;
    }
  | {
      readonly kind: "failure";
      readonly tag: number;
      readonly reason: string;
      readonly text: string;
      /** Code and data of the handler's error (kit/errors.ts). */
      readonly details: Buffer | undefined;
    }
  | { readonly kind: "heartbeat"; readonly dialect: Dialect }
  | { readonly kind: "disconnect"; readonly dialect: Dialect }
  | { readonly kind: "drain" }
  | { readonly kind: "return"; readonly tag: number }
  | Fault;

export type BrokerCommand = FromClient | FromWorker;

const HEARTBEATS = {
  [Dialect.Mdp01]: { kind: "heartbeat", dialect: Dialect.Mdp01 },
  [Dialect.Mdp02]: { kind: "heartbeat", dialect: Dialect.Mdp02 },
  [Dialect.Shoal]: { kind: "heartbeat", dialect: Dialect.Shoal },
} as const;

/** @param frames as the ROUTER gives them: the first is the routing id */
export function parseAtBroker(frames: Buffer[]): BrokerCommand {
  if (frames.length > MAX_FORWARDED_FRAMES) return fault("frames", undefined);
  // 7/MDP: each message of 0.1 begins with an empty frame; the others begin with their header.
  const start = frames[1]?.length === 0 ? 2 : 1;
  const header = headerOf(frames[start]);
  if (header === undefined) return fault(frames.length < 3 ? "frames" : "header", undefined);
  const { role, dialect } = header;
  if ((dialect === Dialect.Mdp01) !== (start === 2)) {
    return fault("frames", role === "worker" ? dialect : undefined);
  }
  const head = frames[start] as Buffer;
  if (role === "worker") {
    return dialect === Dialect.Shoal
      ? parseExtendedWorker(frames, head)
      : parsePlainWorker(frames, start + 1, dialect);
  }
  return dialect === Dialect.Shoal
    ? parseExtendedClient(frames, head)
    : parsePlainClient(frames, start + 1, dialect);
}

function parseExtendedWorker(frames: Buffer[], head: Buffer): FromWorker {
  const dialect = Dialect.Shoal;
  const command = commandOf(head);
  switch (command) {
    case WorkerCommand.Final:
    case WorkerCommand.Partial: {
      if (!isTagged(head)) return fault("tag", dialect);
      const kind = command === WorkerCommand.Final ? "final" : "partial";
      return new ReplyCommand(kind, dialect, tagIn(head), frames, 2, tagCountIn(head));
    }
    case WorkerCommand.Replies:
      if (!isRun(frames, 2, RunEntry.Reply)) return fault("body", dialect);
      return new ReplyRun(frames[2] as Buffer, frames[3] as Buffer);
    case WorkerCommand.Heartbeat:
      return HEARTBEATS[dialect];
    case WorkerCommand.Ready:
      return ready(dialect, frames, 2);
    case WorkerCommand.Disconnect:
      return { kind: "disconnect", dialect };
    case WorkerCommand.Drain:
      return { kind: "drain" };
    case WorkerCommand.Return:
      return isTagged(head) ? { kind: "return", tag: tagIn(head) } : fault("tag", dialect);
    case WorkerCommand.Failure:
      if (!isTagged(head)) return fault("tag", dialect);
      if (frames.length !== 4 && frames.length !== 5) return fault("frames", dialect);
      return {
        kind: "failure",
        tag: tagIn(head),
        reason: String(frames[2]),
        text: String(frames[3]),
        details: frames[4],
      };
    default: // REQUEST and CANCEL, too: a broker sends these.
      return fault("command", dialect);
  }
}

function parsePlainWorker(frames: Buffer[], at: number, dialect: Dialect): FromWorker {
  switch (workerCommandOf(dialect, frames[at])) {
    case WorkerCommand.Partial:
      return plainReply("partial", dialect, frames, at + 1);
    case WorkerCommand.Final:
      return plainReply("final", dialect, frames, at + 1);
    case WorkerCommand.Heartbeat:
      return HEARTBEATS[dialect];
    case WorkerCommand.Ready:
      return ready(dialect, frames, at + 1);
    case WorkerCommand.Disconnect:
      return { kind: "disconnect", dialect };
    default: // REQUEST, too: a broker sends it.
      return fault("command", dialect);
  }
}

function ready(dialect: Dialect, frames: Buffer[], at: number): FromWorker {
  const service = frames[at];
  if (!isServiceName(service)) return fault("service", dialect);
  if (dialect !== Dialect.Shoal) {
    return { kind: "ready", dialect, service, concurrency: 1, capacity: 1, name: "", level: 0 };
  }
  const declared = frames[at + 1];
  if (declared?.length !== 8) return fault("capacity", dialect);
  const concurrency = readUint32(declared, 0);
  const capacity = readUint32(declared, 4);
  if (concurrency < 1 || capacity < concurrency || capacity > MAX_CAPACITY) return fault("capacity", dialect);
  return {
    kind: "ready",
    dialect,
    service,
    concurrency,
    capacity,
    name: String(frames[at + 2] ?? ""),
    level: levelIn(frames[at + 3]),
  };
}

function plainReply(kind: "partial" | "final", dialect: Dialect, frames: Buffer[], at: number): FromWorker {
  const tag = frames[at];
  if (tag?.length !== TAG_LENGTH) return fault("tag", dialect);
  if (frames[at + 1]?.length !== 0) return fault("frames", dialect);
  if (frames.length === at + 2) return fault("body", dialect);
  return new ReplyCommand(kind, dialect, readUint32(tag, 0), frames, at + 2, -1);
}
