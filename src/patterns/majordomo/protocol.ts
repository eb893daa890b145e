/**
 * The messages of Majordomo, encoded and decoded ("" is an empty frame; a body is 1 or more frames).
 *
 *                0.1 (7/MDP)                     0.2 (18/MDP)                  shoal (head | frames)
 *   request      "" MDPC01 service body          MDPC02 01 service body        SHLC01 02 number id span attempt time n service headers | body
 *   partial                                      MDPC02 02 service body        SHLC01 03 number pieces | body
 *   final        "" MDPC01 service body          MDPC02 03 service body        SHLC01 04 number pieces | body?
 *   heartbeat                                                                  SHLC01 05
 *   forgotten                                                                  SHLC01 06
 *   failure      (a final: ERROR_MARK …)         (a final: ERROR_MARK …)       SHLC01 07 number | reason | text | details?
 *   cancel                                                                     SHLC01 08 number
 *   credit                                                                     SHLC01 0a number bytes
 *
 *   READY        "" MDPW01 01 service            MDPW02 01 service             SHLW01 01 | service | room | name
 *   REQUEST      "" MDPW01 02 address "" body    MDPW02 02 address "" body     SHLW01 02 number id span attempt time n service headers | body
 *   PARTIAL                                      MDPW02 03 address "" body     SHLW01 03 number pieces | body
 *   FINAL        "" MDPW01 03 address "" body    MDPW02 04 address "" body     SHLW01 04 number pieces | body?
 *   HEARTBEAT    "" MDPW01 04                    MDPW02 05                     SHLW01 05
 *   DISCONNECT   "" MDPW01 05                    MDPW02 06                     SHLW01 06
 *   FAILURE      (a FINAL: ERROR_MARK …)         (a FINAL: ERROR_MARK …)       SHLW01 07 number | reason | text | details?
 *   CANCEL                                                                     SHLW01 08 number
 *   DRAIN                                                                      SHLW01 09
 *   CREDIT                                                                     SHLW01 0a number bytes
 *   batches      (0e and 0f: batch.ts)
 *
 * A request has a number at each connection: at the client's the lower half of its number, at the worker's the tag of
 * the delivery. docs/spec/majordomo.md has the fields. One frame has all but the body, since each frame costs every hop
 * as much as its bytes. A plain worker gets the tag as the client's address, so a reply belongs to exactly one delivery.
 * Each command has one form, whichever way it goes.
 */
import { describe, invalidArgument } from "../../core/arguments.js";
import { owned, readUint16, readUint32, writeUint32, writeUint64 } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { costOf, frameCost, MAX_FORWARDED_FRAMES, slice } from "../../core/memory.js";
import { ERROR_MARK, failure, type HandlerFailure, MAX_DETAILS } from "../../kit/errors.js";

export const Dialect = { Mdp01: 1, Mdp02: 2, Shoal: 3 } as const;
export type Dialect = (typeof Dialect)[keyof typeof Dialect];
export const DIALECT_NAMES = {
  [Dialect.Mdp01]: "0.1",
  [Dialect.Mdp02]: "0.2",
  [Dialect.Shoal]: "shoal",
} as const;

/** The failure of an answer in pieces to a peer of MDP 0.1. */
export const NO_PIECES: HandlerFailure = failure(
  "invalid-reply",
  "The answer has pieces, which MDP 0.1 does not have.",
);

export const EMPTY: Buffer = Buffer.alloc(0);

export type Role = "client" | "worker";

const HEADERS: Readonly<Record<Role, Readonly<Record<Dialect, Buffer>>>> = {
  client: {
    [Dialect.Mdp01]: Buffer.from("MDPC01"),
    [Dialect.Mdp02]: Buffer.from("MDPC02"),
    [Dialect.Shoal]: Buffer.from("SHLC01"),
  },
  worker: {
    [Dialect.Mdp01]: Buffer.from("MDPW01"),
    [Dialect.Mdp02]: Buffer.from("MDPW02"),
    [Dialect.Shoal]: Buffer.from("SHLW01"),
  },
};

/**
 * Commands of shoal's dialect, and up to DISCONNECT of 0.2's workers. Those of 0.2's clients are one lower; so are
 * those of 0.1's workers from 3 on, which have no PARTIAL.
 */
export const Command = {
  Ready: 1,
  Request: 2,
  Partial: 3,
  Final: 4,
  Heartbeat: 5,
  /** To a client: forgotten. */
  Disconnect: 6,
  Failure: 7,
  Cancel: 8,
  Drain: 9,
  Credit: 10,
  Requests: 14,
  Answers: 15,
} as const;

const MAX_SERVICE_NAME = 255;
/** Of the broker's own services (8/MMI). */
export const RESERVED_PREFIX = "mmi.";
export const NEGOTIATION: Buffer = Buffer.from("mmi.shoal");
export const MAX_CAPACITY = 65_535;
/** Bytes of pieces before the first grant. A piece that begins within the credit is sent whole. */
export const STREAM_WINDOW = 65_536;
/** Tags wrap to 1 after this. */
export const MAX_TAG = 0x3fff_ffff;
/** `ffffffff` on the wire. V8 stores integers of 31 bits without allocation. */
export const NO_LIMIT = -1;
/** ms. */
export const MAX_TIME = 0x7fff_ffff;
export const MAX_HEADERS = 8_192;
/** Bytes of a worker's name and of a failure's text that are read. */
const MAX_NAME = 255;
const MAX_TEXT = 4_096;

/** Values of the lower half of a number. */
const HIGH = 0x1_0000_0000;
const MAX_SPAN = HIGH - 1;
/** Of a number below 2^53. */
const MAX_UPPER = 0x1f_ffff;
/** ms between heartbeats that a broker may request, at least. */
const MIN_INTERVAL = 10;

/* Offsets in a head, and the bytes of an id. */
export const COMMAND = 6;
const AFTER = 7;
/** After the number: the id of a request, or a count. */
const NUMBERED = AFTER + 4;
const COUNTED = NUMBERED + 4;
const ID = 16;
/* In a request. */
const SPAN = NUMBERED + ID;
const ATTEMPT = SPAN + 4;
const TIME = ATTEMPT + 1;
const NAME = TIME + 4;

export type Frame = Buffer | string;
export type Frames = Frame[];

/** 8 bytes as two signed numbers, which V8 stores without allocation. */
export interface ClientId {
  readonly high: number;
  readonly low: number;
}

const NO_CLIENT: ClientId = { high: 0, low: 0 };

/** Identifies a request, the same for repetitions. */
export interface Numbered {
  /** `undefined` of a plain client. */
  readonly clientId: ClientId | undefined;
  /** From 1; 0 of a plain client. */
  readonly sequence: number;
}

/** In hexadecimal digits. */
export function idText(request: Numbered): string {
  const bytes = Buffer.allocUnsafe(ID);
  writeId(bytes, 0, request);
  return bytes.toString("hex");
}

/**
 * Frames of a request, answer or piece: in a batch, a range of shared memory until they are read. With a view for each a
 * request takes 5 % more processor time.
 */
export class Body {
  readonly #frames: readonly Frame[] | undefined;
  /** Of a range. */
  readonly memory: ArrayBufferLike | undefined;
  readonly from: number;
  readonly to: number;

  private constructor(
    frames: readonly Frame[] | undefined,
    memory: ArrayBufferLike | undefined,
    from: number,
    to: number,
  ) {
    this.#frames = frames;
    this.memory = memory;
    this.from = from;
    this.to = to;
  }

  /** @param from index of the first frame */
  static of(frames: readonly Frame[], from = 0): Body {
    return new Body(frames, undefined, from, frames.length);
  }

  static within(memory: ArrayBufferLike, from: number, to: number): Body {
    return new Body(undefined, memory, from, to);
  }

  get length(): number {
    return this.#frames === undefined ? 1 : this.to - this.from;
  }

  get frames(): Frames {
    const frames = this.#frames;
    if (frames === undefined) return [slice(this.memory as ArrayBufferLike, this.from, this.to - this.from)];
    return this.length === 1 ? [frames[this.from] as Frame] : frames.slice(this.from);
  }

  get cost(): number {
    return this.#frames === undefined ? frameCost(this.to - this.from) : costOf(this.#frames, this.from);
  }

  /** Upper bound of the bytes of a single frame; `Infinity` for several frames. */
  get bytes(): number {
    if (this.#frames === undefined) return this.to - this.from;
    if (this.length !== 1) return Number.POSITIVE_INFINITY;
    const frame = this.#frames[this.from] as Frame;
    return typeof frame === "string" ? frame.length * 3 : frame.length;
  }

  addTo(message: Frames): void {
    const frames = this.#frames;
    if (frames === undefined) message.push(...this.frames);
    else for (let i = this.from; i < frames.length; i++) message.push(frames[i] as Frame);
  }

  /** Writes a single frame, not of a range. @returns the position after it */
  write(target: Buffer, at: number): number {
    const frame = (this.#frames as readonly Frame[])[this.from] as Frame;
    if (typeof frame === "string") return at + target.write(frame, at);
    target.set(frame, at);
    return at + frame.length;
  }

  /** Copies frames out of larger memory. */
  owned(): Body {
    return Body.of(this.frames.map((frame) => (typeof frame === "string" ? frame : owned(frame))));
  }
}

export const NO_BODY: Body = Body.of([]);
export const NO_ADDRESS: readonly Buffer[] = [];

/** A message whose object is used for the next one as well; without its body meanwhile, which may be large. */
export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** From a client, or its delivery to a worker. */
export interface Request extends Numbered, Addressed {
  readonly kind: "request";
  readonly body: Body;
  /** The client's lowest pending number; 0 of a plain one. */
  readonly oldest: number;
  /** Empty at a worker. */
  readonly service: Buffer;
  /** 1 for the first delivery. */
  readonly attempt: number;
  /** Remaining ms of the client, or NO_LIMIT. */
  readonly time: number;
  readonly headers: Buffer;
}

/** From a client to a worker: about an answer of this number. */
export type Control =
  | { readonly kind: "cancel"; readonly number: number }
  | { readonly kind: "credit"; readonly number: number; readonly bytes: number };

export type FromClient = Request | Control | { readonly kind: "client-heartbeat" } | Question;

/** Sent in MDP 0.1: which dialect the broker speaks. */
export interface Question {
  readonly kind: "negotiation";
}

/** Which request it is, or where its answer belongs. */
export interface Addressed {
  readonly dialect: Dialect;
  /** Of the request at this connection; 0 from plain clients and brokers. */
  readonly number: number;
  /** Frames of a plain message: the service, or at a worker's connection the client's address and its delimiter. */
  readonly address: readonly Buffer[];
}

/** A whole answer or, without `final`, a piece. */
export interface Answer extends Addressed {
  readonly kind: "answer";
  readonly final: boolean;
  /** Earlier pieces; -1: unknown at a plain peer. */
  readonly pieces: number;
  readonly body: Body;
}

export interface Failed {
  readonly reason: string;
  readonly text: string;
  /** Code and data of the handler's error, as JSON. */
  readonly details?: Buffer | undefined;
}

export interface Failure extends Addressed, Failed {
  readonly kind: "failure";
}

export interface Negotiated {
  readonly kind: "negotiated";
  readonly extended: boolean;
  /** ms between expected heartbeats; 0: unknown. */
  readonly heartbeatInterval: number;
}

export type ToClient =
  | Answer
  | Failure
  /** `forgotten`: the broker has dropped the client's requests. */
  | { readonly kind: "client-heartbeat" | "forgotten" };

export type ToWorker =
  | Request
  | Control
  | { readonly kind: "heartbeat" | "disconnect"; readonly dialect: Dialect };

export interface Ready {
  readonly kind: "ready";
  readonly dialect: Dialect;
  readonly service: Buffer;
  readonly concurrency: number;
  /** Concurrency plus prefetched requests. */
  readonly capacity: number;
  readonly name: string;
}

/** To be filled in for each request. */
export function newRequest(): Mutable<Request> {
  return {
    kind: "request",
    dialect: Dialect.Shoal,
    number: 0,
    address: NO_ADDRESS,
    clientId: undefined,
    sequence: 0,
    oldest: 0,
    service: EMPTY,
    attempt: 1,
    time: NO_LIMIT,
    headers: EMPTY,
    body: NO_BODY,
  };
}

/** To be filled in for each answer. */
export function newAnswer(): Mutable<Answer> {
  return {
    kind: "answer",
    dialect: Dialect.Shoal,
    number: 0,
    address: NO_ADDRESS,
    final: true,
    pieces: 0,
    body: NO_BODY,
  };
}

export type FromWorker =
  | Ready
  | Answer
  | Failure
  | { readonly kind: "heartbeat" | "disconnect"; readonly dialect: Dialect }
  | { readonly kind: "drain" }
  | Question;

/** Invalid part of a message. */
export type MajordomoFaultReason =
  | "frames"
  | "header"
  | "command"
  | "service"
  | "body"
  | "id"
  | "number"
  | "capacity"
  | "headers";

export interface Fault {
  readonly kind: "fault";
  readonly reason: MajordomoFaultReason;
  /** Dialect of the sending worker, which gets DISCONNECT. */
  readonly worker: Dialect | undefined;
}

export type AtBroker = Exclude<FromClient | FromWorker, Question> | Fault;
type ClientsMessage = Exclude<FromClient, Question>;

/** Other kinds at a broker are a worker's. */
const CLIENT_KINDS: Readonly<Record<ClientsMessage["kind"], true>> = {
  request: true,
  cancel: true,
  credit: true,
  "client-heartbeat": true,
};

export function isFromClient(message: AtBroker): message is ClientsMessage {
  return message.kind in CLIENT_KINDS;
}

export type AtClient = ToClient | Negotiated | Fault;
export type AtWorker = ToWorker | Negotiated | Fault;

/** What each peer receives. */
export interface Received {
  readonly broker: AtBroker;
  readonly client: AtClient;
  readonly worker: AtWorker;
}

export type Receiver = keyof Received;

/* ---- decoding ---- */

/** Whether a worker sent this negotiation. */
export function isWorkersQuestion({ body }: Request): boolean {
  return HEADERS.worker[Dialect.Shoal].equals(body.frames[0] as Buffer);
}

const ASKING = [Command.Request, Command.Heartbeat, Command.Cancel, Command.Credit];
const ANSWERING = [Command.Partial, Command.Final, Command.Heartbeat, Command.Disconnect, Command.Failure];

/** Commands of the connections of either role, at the broker and at the peer. Others are faults. */
const COMMANDS: Readonly<Record<Role, Readonly<Record<"atBroker" | "atPeer", ReadonlySet<number>>>>> = {
  client: { atBroker: new Set(ASKING), atPeer: new Set(ANSWERING) },
  worker: {
    atBroker: new Set([...ANSWERING, Command.Ready, Command.Drain]),
    atPeer: new Set([...ASKING, Command.Disconnect]),
  },
};

/** @param frames at a broker those of the ROUTER, routing id first */
export function decode<R extends Receiver>(receiver: R, frames: readonly Buffer[]): Received[R];
export function decode(receiver: Receiver, frames: readonly Buffer[]): Received[Receiver] {
  const isBroker = receiver === "broker";
  if (isBroker && frames.length > MAX_FORWARDED_FRAMES) return fault("frames");
  const first = isBroker ? 1 : 0;
  const start = frames[first]?.length === 0 ? first + 1 : first;
  const header = headerOf(frames[start]);
  if (header === undefined) return fault(frames.length < first + 2 ? "frames" : "header");
  const { role, dialect } = header;
  const worker = role === "worker" ? dialect : undefined;
  // 7/MDP: messages of 0.1 start with an empty frame.
  if ((dialect === Dialect.Mdp01) !== start > first) return fault("frames", worker);
  if (!isBroker) {
    const isAnswer = role === "client" && dialect === Dialect.Mdp01;
    const negotiated = isAnswer ? decodeNegotiated(frames) : undefined;
    if (negotiated !== undefined) return negotiated;
    if (role !== receiver) return fault("header");
  }
  const head = frames[start] as Buffer;
  const isPlain = dialect !== Dialect.Shoal;
  const command = isPlain ? plainCommand(header, frames[start + 1], isBroker) : commandOf(head);
  if (command === undefined || !COMMANDS[role][isBroker ? "atBroker" : "atPeer"].has(command))
    return fault("command", worker);
  const hasCommand = isPlain && (dialect === Dialect.Mdp02 || role === "worker");
  const at = hasCommand ? start + 2 : start + 1;
  switch (command) {
    case Command.Ready:
      return decodeReady(frames, at, dialect);
    case Command.Heartbeat:
      return role === "client" ? { kind: "client-heartbeat" } : { kind: "heartbeat", dialect };
    case Command.Disconnect:
      return role === "client" ? { kind: "forgotten" } : { kind: "disconnect", dialect };
    case Command.Drain:
      return { kind: "drain" };
    case Command.Cancel:
    case Command.Credit:
      return decodeControl(head);
    default:
      if (isPlain) return decodePlain(header, frames, at, command);
      if (command === Command.Request) return decodeRequest(frames, at, isBroker);
      return decodeAnswer(header, frames, at, command);
  }
}

/**
 * Requests and answers, whose frames begin with the service, or at a worker's connection with an address.
 *
 * @param at index of the frame after header and command
 */
function decodePlain(
  { role, dialect }: Header,
  frames: readonly Buffer[],
  at: number,
  command: number,
): Request | Answer | Failure | Fault {
  const isRequest = command === Command.Request;
  const worker = role === "worker" ? dialect : undefined;
  const first = frames[at];
  let end = at + 1;
  if (worker === undefined) {
    if (!isServiceName(first)) return fault("service");
  } else {
    // A worker returns the tag of its delivery. Behind a chain of brokers, an address has several frames.
    if (!isRequest && first?.length !== 4) return fault("number", worker);
    const delimiter = frames.findIndex((frame, index) => index >= at && frame.length === 0);
    if (isRequest ? delimiter <= at : delimiter !== end) return fault("frames", worker);
    end = delimiter + 1;
  }
  if (frames.length === end) return fault("body", worker);
  const address = frames.slice(at, end);
  const body = Body.of(frames, end);
  if (isRequest) {
    const service = worker === undefined ? (first as Buffer) : EMPTY;
    return Object.assign(newRequest(), { dialect, address, service, body });
  }
  const number = worker === undefined ? 0 : readUint32(first as Buffer, 0);
  const final = command === Command.Final;
  const failed = final ? failureIn(body) : undefined;
  if (failed !== undefined) return { kind: "failure", dialect, number, address, ...failed };
  return { kind: "answer", dialect, number, address, final, pieces: -1, body };
}

/** From a client, or for a worker. */
function decodeControl(head: Buffer): Control | Fault {
  const isCancel = head[COMMAND] === Command.Cancel;
  if (head.length !== (isCancel ? NUMBERED : COUNTED)) return fault("number");
  const number = readUint32(head, AFTER);
  if (isCancel) return { kind: "cancel", number };
  return { kind: "credit", number, bytes: readUint32(head, NUMBERED) };
}

function decodeRequest(frames: readonly Buffer[], at: number, isBroker: boolean): Request | Fault {
  const head = frames[at - 1] as Buffer;
  if (head.length < NAME) return fault("id");
  const nameEnd = NAME + 1 + (head[NAME] ?? 0);
  if ((isBroker && nameEnd === NAME + 1) || head.length < nameEnd) return fault("service");
  if (head.length > nameEnd + MAX_HEADERS) return fault("headers");
  if (frames.length === at) return fault("body");
  const sequence = readSequence(head, NUMBERED);
  return {
    kind: "request",
    dialect: Dialect.Shoal,
    number: readUint32(head, AFTER),
    address: NO_ADDRESS,
    clientId: sequence === 0 && !isBroker ? undefined : readClient(head, NUMBERED),
    sequence,
    oldest: sequence - Math.min(sequence, readUint32(head, SPAN)),
    service: isBroker ? slice(head.buffer, head.byteOffset + NAME + 1, nameEnd - NAME - 1) : EMPTY,
    attempt: head[ATTEMPT] as number,
    time: readUint32(head, TIME) | 0,
    headers: head.length === nameEnd ? EMPTY : head.subarray(nameEnd),
    body: Body.of(frames, at),
  };
}

function decodeAnswer(
  { role, dialect }: Header,
  frames: readonly Buffer[],
  at: number,
  command: number,
): Answer | Failure | Fault {
  const worker = role === "worker" ? dialect : undefined;
  const head = frames[at - 1] as Buffer;
  const number = readUint32(head, AFTER);
  const address = NO_ADDRESS;
  if (command === Command.Failure) {
    if (head.length !== NUMBERED) return fault("number", worker);
    if (frames.length !== at + 2 && frames.length !== at + 3) return fault("frames", worker);
    const text = textOf(frames[at + 1], MAX_TEXT);
    const details = detailsOf(frames[at + 2]);
    return { kind: "failure", dialect, number, address, reason: String(frames[at]), text, details };
  }
  if (head.length !== COUNTED) return fault("number", worker);
  const final = command === Command.Final;
  if (!final && frames.length === at) return fault("body", worker);
  const pieces = readUint32(head, NUMBERED);
  return { kind: "answer", dialect, number, address, final, pieces, body: Body.of(frames, at) };
}

function decodeReady(frames: readonly Buffer[], at: number, dialect: Dialect): Ready | Fault {
  const service = frames[at];
  if (!isServiceName(service)) return fault("service", dialect);
  if (dialect !== Dialect.Shoal)
    return { kind: "ready", dialect, service, concurrency: 1, capacity: 1, name: "" };
  const room = frames[at + 1];
  if (room?.length !== 8) return fault("capacity", dialect);
  const concurrency = readUint32(room, 0);
  const capacity = readUint32(room, 4);
  if (concurrency < 1 || capacity < concurrency || capacity > MAX_CAPACITY) return fault("capacity", dialect);
  return { kind: "ready", dialect, service, concurrency, capacity, name: textOf(frames[at + 2], MAX_NAME) };
}

/* ---- encoding ---- */

const SIGNALS = {
  "client-heartbeat": Command.Heartbeat,
  forgotten: Command.Disconnect,
  heartbeat: Command.Heartbeat,
  disconnect: Command.Disconnect,
  drain: Command.Drain,
} as const;

/**
 * @param role at whose connection
 * @param to frames in front: the routing id of the client or worker
 */
export function encode(
  role: Role,
  message: FromClient | FromWorker | ToClient | ToWorker,
  to: Frames = [],
): Frames {
  switch (message.kind) {
    case "request":
      return encodeRequest(role, message, to);
    case "answer":
      return encodeAnswer(role, message, to);
    case "failure": {
      const { dialect, number, reason, text, details } = message;
      if (dialect !== Dialect.Shoal) {
        const body = Body.of([ERROR_MARK, reason, text]);
        return encodeAnswer(role, { ...message, kind: "answer", final: true, pieces: 0, body }, to);
      }
      to.push(numberedHead(role, Command.Failure, number), reason, text);
      if (details !== undefined) to.push(details);
      return to;
    }
    case "ready":
      return encodeReady(message);
    case "negotiation":
      return [EMPTY, HEADERS.client[Dialect.Mdp01], NEGOTIATION, HEADERS[role][Dialect.Shoal]];
    case "cancel":
      to.push(numberedHead(role, Command.Cancel, message.number));
      return to;
    case "credit":
      to.push(countedHead(role, Command.Credit, message.number, message.bytes));
      return to;
    default: {
      const command = SIGNALS[message.kind];
      const dialect = "dialect" in message ? message.dialect : Dialect.Shoal;
      if (dialect === Dialect.Shoal) to.push(headOf(role, command, 0));
      else to.push(...plainHead(role, dialect, command));
      return to;
    }
  }
}

function encodeRequest(role: Role, request: Request, to: Frames): Frames {
  const { dialect, number, service, body } = request;
  if (dialect === Dialect.Shoal) to.push(requestHead(role, request));
  else {
    to.push(...plainHead(role, dialect, Command.Request));
    if (role === "client") to.push(service);
    else to.push(numberFrame(number), EMPTY);
  }
  body.addTo(to);
  return to;
}

function requestHead(role: Role, request: Request): Buffer {
  const { number, sequence, oldest, service, attempt, time, headers } = request;
  const nameEnd = NAME + 1 + service.length;
  const head = headOf(role, Command.Request, nameEnd + headers.length - AFTER);
  writeUint32(head, AFTER, number);
  writeId(head, NUMBERED, request);
  writeUint32(head, SPAN, spanOf(sequence, oldest));
  head[ATTEMPT] = Math.min(attempt, 255);
  writeUint32(head, TIME, time);
  head[NAME] = service.length;
  head.set(service, NAME + 1);
  if (headers.length > 0) head.set(headers, nameEnd);
  return head;
}

function encodeReady({ dialect, service, concurrency, capacity, name }: Ready): Frames {
  if (dialect !== Dialect.Shoal) return [...plainHead("worker", dialect, Command.Ready), service];
  const room = Buffer.allocUnsafe(8);
  writeUint32(room, 0, concurrency);
  writeUint32(room, 4, capacity);
  return [headOf("worker", Command.Ready, 0), service, room, name];
}

function encodeAnswer(
  role: Role,
  { dialect, number, address, final, pieces, body }: Answer,
  to: Frames,
): Frames {
  const command = final ? Command.Final : Command.Partial;
  if (dialect === Dialect.Shoal) to.push(countedHead(role, command, number, pieces));
  else to.push(...plainHead(role, dialect, command), ...address);
  body.addTo(to);
  // MDP requires a body.
  if (body.length === 0 && dialect !== Dialect.Shoal) to.push(EMPTY);
  return to;
}

/** @returns `undefined` if it is not the answer to a negotiation */
function decodeNegotiated(frames: readonly Buffer[]): Negotiated | undefined {
  if (frames[2]?.equals(NEGOTIATION) !== true) return undefined;
  const extended = frames[3]?.toString() === "200" && frames.length > 4;
  const heartbeatInterval = extended ? Number(frames[4]?.toString("latin1", 0, 10)) || 0 : 0;
  return { kind: "negotiated", extended, heartbeatInterval };
}

/** ms between heartbeats: the shorter of both ends' intervals. */
export function beatInterval(own: number, expected: number): number {
  return expected > 0 ? Math.min(own, Math.max(expected, MIN_INTERVAL)) : own;
}

/** A plain peer's error reply. */
function failureIn(body: Body): Failed | undefined {
  if (body.length !== 3) return undefined;
  const [mark, reason, text] = body.frames;
  if (!ERROR_MARK.equals(mark as Buffer)) return undefined;
  return { reason: String(reason), text: textOf(text as Buffer, MAX_TEXT) };
}

/** Of the first bytes of a frame. */
function textOf(frame: Buffer | undefined, bytes: number): string {
  return frame?.toString("utf8", 0, bytes) ?? "";
}

/** A copy, since a broker keeps a failure for repetitions. */
function detailsOf(frame: Buffer | undefined): Buffer | undefined {
  return frame === undefined || frame.length > MAX_DETAILS ? undefined : owned(frame);
}

/* ---- headers of a request ---- */

/** @throws InvalidArgumentError `EINVAL` for anything but texts of at most MAX_HEADERS bytes */
export function encodeHeaders(headers: Readonly<Record<string, string>>): Buffer {
  if (typeof headers !== "object" || headers === null || Array.isArray(headers))
    throw invalidArgument("Option headers must be an object of texts", headers);
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    if (typeof value !== "string") throw invalidArgument(`The header ${name} must be a text`, value);
    const nameBytes = Buffer.from(name);
    const valueBytes = Buffer.from(value);
    if (nameBytes.length === 0 || nameBytes.length > 255)
      throw new InvalidArgumentError(`A header's name must have 1 to 255 bytes; got ${nameBytes.length}`);
    const length = Buffer.of(valueBytes.length >>> 8, valueBytes.length);
    parts.push(Buffer.of(nameBytes.length), nameBytes, length, valueBytes);
    if (valueBytes.length > MAX_HEADERS) break;
  }
  const encoded = Buffer.concat(parts);
  if (encoded.length > MAX_HEADERS)
    throw invalidArgument(`The headers of a request must have at most ${MAX_HEADERS} bytes`, encoded);
  return encoded;
}

/** Ignores a malformed header and all after it. */
export function decodeHeaders(encoded: Buffer): Readonly<Record<string, string>> {
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  let at = 0;
  while (at < encoded.length) {
    const valueAt = at + 1 + (encoded[at] as number) + 2;
    if (valueAt > encoded.length) break;
    const end = valueAt + readUint16(encoded, valueAt - 2);
    if (end > encoded.length) break;
    headers[encoded.toString("utf8", at + 1, valueAt - 2)] = encoded.toString("utf8", valueAt, end);
    at = end;
  }
  return Object.freeze(headers);
}

/* ---- parts of messages ---- */

function writeId(head: Buffer, at: number, { clientId, sequence }: Numbered): void {
  const { high, low } = clientId ?? NO_CLIENT;
  writeUint32(head, at, high);
  writeUint32(head, at + 4, low);
  writeUint64(head, at + 8, sequence);
}

function readClient(head: Buffer, at: number): ClientId {
  return { high: readUint32(head, at) | 0, low: readUint32(head, at + 4) | 0 };
}

/** Larger numbers lose their upper bits; no client counts so far. */
function readSequence(head: Buffer, at: number): number {
  const upper = readUint32(head, at + 8) & MAX_UPPER;
  // A product, even 0, would make each number one on the heap.
  return (upper === 0 ? 0 : upper * HIGH) + readUint32(head, at + 12);
}

function spanOf(sequence: number, oldest: number): number {
  return Math.min(MAX_SPAN, Math.max(0, sequence - oldest));
}

/** The greatest number up to `newest` with these lower 32 bits, which is all that messages after a request carry. */
export function numberNear(lower: number, newest: number): number {
  return newest - ((newest - lower) >>> 0);
}

function numberedHead(role: Role, command: number, number: number): Buffer {
  const head = headOf(role, command, 4);
  writeUint32(head, AFTER, number);
  return head;
}

function numberFrame(number: number): Buffer {
  const frame = Buffer.allocUnsafe(4);
  writeUint32(frame, 0, number);
  return frame;
}

function countedHead(role: Role, command: number, number: number, count: number): Buffer {
  const head = headOf(role, command, 8);
  writeUint32(head, AFTER, number);
  writeUint32(head, NUMBERED, count);
  return head;
}

/** @param more bytes after the command */
function headOf(role: Role, command: number, more: number): Buffer {
  const head = Buffer.allocUnsafe(AFTER + more);
  const header = HEADERS[role][Dialect.Shoal];
  for (let i = 0; i < COMMAND; i++) head[i] = header[i] as number;
  head[COMMAND] = command;
  return head;
}

const BYTES: readonly Buffer[] = Array.from({ length: 16 }, (_, byte) => Buffer.of(byte));

function byteFrame(byte: number): Buffer {
  return BYTES[byte] as Buffer;
}

function plainHead(role: Role, dialect: Dialect, command: number): Frames {
  const header = HEADERS[role][dialect];
  if (dialect === Dialect.Mdp02) return [header, byteFrame(role === "client" ? command - 1 : command)];
  if (role === "client") return [EMPTY, header];
  return [EMPTY, header, byteFrame(command < Command.Partial ? command : command - 1)];
}

/** A batch counts as its first member. */
function commandOf(head: Buffer): number | undefined {
  const command = head[COMMAND];
  if (command === Command.Requests) return Command.Request;
  return command === Command.Answers ? Command.Final : command;
}

/** The command in shoal's dialect. @param frame after the header: a client's 0.1 has no command */
function plainCommand(
  { role, dialect }: Header,
  frame: Buffer | undefined,
  isBroker: boolean,
): number | undefined {
  if (role === "client" && dialect === Dialect.Mdp01) return isBroker ? Command.Request : Command.Final;
  if (frame?.length !== 1) return undefined;
  const byte = frame[0] as number;
  const isLower = role === "client" || (dialect === Dialect.Mdp01 && byte >= Command.Partial);
  const command = isLower ? byte + 1 : byte;
  const last = role === "client" ? Command.Final : Command.Disconnect;
  return byte >= Command.Ready && command <= last ? command : undefined;
}

/** @throws InvalidArgumentError `EINVAL` for anything but a text of 1 to 255 bytes */
export function serviceFrame(name: string): Buffer {
  const frame = Buffer.from(typeof name === "string" ? name : "");
  const got = typeof name === "string" ? `${frame.length} bytes` : describe(name);
  if (isServiceName(frame)) return frame;
  throw new InvalidArgumentError(
    `A service's name must be a text of 1 to ${MAX_SERVICE_NAME} bytes; got ${got}`,
  );
}

function isServiceName(frame: Buffer | undefined): frame is Buffer {
  return frame !== undefined && frame.length > 0 && frame.length <= MAX_SERVICE_NAME;
}

interface Header {
  readonly role: Role;
  readonly dialect: Dialect;
}

const DIALECTS = [Dialect.Mdp01, Dialect.Mdp02, Dialect.Shoal] as const;
const FROM_CLIENT: readonly Header[] = DIALECTS.map((dialect) => ({ role: "client", dialect }));
const FROM_WORKER: readonly Header[] = DIALECTS.map((dialect) => ({ role: "worker", dialect }));

const C = 0x43;
const W = 0x57;
const MDP = 0x4d_44_50;
const SHL = 0x53_48_4c;

/** A header has 6 bytes in MDP, more in shoal's dialect. */
export function headerOf(frame: Buffer | undefined): Header | undefined {
  if (frame === undefined || frame.length < COMMAND) return undefined;
  const role = frame[3];
  if ((role !== C && role !== W) || frame[4] !== 0x30) return undefined;
  const kinds = role === C ? FROM_CLIENT : FROM_WORKER;
  const name = (readUint16(frame, 0) << 8) | (frame[2] as number);
  const version = (frame[5] as number) - 0x30;
  if (name === SHL) return version === 1 && frame.length > COMMAND ? kinds[2] : undefined;
  return name === MDP && frame.length === COMMAND && version <= 2 ? kinds[version - 1] : undefined;
}

export function fault(reason: MajordomoFaultReason, worker?: Dialect): Fault {
  return { kind: "fault", reason, worker };
}
