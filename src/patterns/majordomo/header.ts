/**
 * The heads of the third dialect: everything but the body, in one frame.
 *
 *   from a client    SHLC01 | command | id 16 | span 4 | service 1 to 255     request, broadcast
 *                    SHLC01 | command | id 16                                 cancel
 *                    SHLC01 | command | id 16 | bytes 4                       credit
 *   to a client      SHLC01 | command | id 16                                 all that answers, but for
 *                    SHLC01 | command | id 16 | number 4                      partial, and the final after pieces
 *   to a worker      SHLW01 | command | tag 4 | id 16 | span 4                request with an id
 *                    SHLW01 | command | tag 4                                 request without, cancel
 *                    SHLW01 | command | tag 4 | bytes 4                       credit
 *   from a worker    SHLW01 | command | tag 4                                 answers, but for
 *                    SHLW01 | command | tag 4 | number 4                      partial, and the final after pieces
 *   either way       SHL…01 | command                                         the others
 *
 * The id is 8 bytes of the client's own, and the request's sequence number in 8.
 * The span is how far back the oldest request lies that the client still wants
 * answered: what is older is never sent again, and nobody has to remember it.
 * A piece's number is how many came before it, and the final's is how many there
 * were: so a piece that is missing is noticed, and an end without one is no end.
 * Numbers are unsigned, their highest byte first.
 */
import { CLIENT_HEADERS, Dialect, EMPTY, HEADER_LENGTH, WORKER_HEADERS } from "./protocol.js";

const CLIENT = CLIENT_HEADERS[Dialect.Shoal];

const WORKER = WORKER_HEADERS[Dialect.Shoal];

/** Where the command stands. */
const COMMAND = HEADER_LENGTH;

/** Where the id begins in a client's head, the tag in a worker's. */
const AFTER = COMMAND + 1;

const ID_LENGTH = 16;

const ID_AND_SPAN = ID_LENGTH + 4;

const TAG_LENGTH = 4;

const TAGGED = AFTER + TAG_LENGTH;

const NUMBERED = AFTER + ID_LENGTH;

/** Where the service begins. */
const SERVICE = NUMBERED + 4;

const HIGH = 0x1_0000_0000;

const MAX_SPAN = HIGH - 1;

/** Heads that are a command and nothing else, made once. */
const CLIENT_SIGNALS = signals(CLIENT);

const WORKER_SIGNALS = signals(WORKER);

function signals(header: Buffer): readonly Buffer[] {
  return Array.from({ length: 16 }, (_, command) => Buffer.concat([header, Buffer.of(command)]));
}

export function clientSignal(command: number): Buffer {
  return CLIENT_SIGNALS[command] as Buffer;
}

export function workerSignalHead(command: number): Buffer {
  return WORKER_SIGNALS[command] as Buffer;
}

/** The command of a head; 0 where there is none. */
export function commandOf(head: Buffer): number {
  return head[COMMAND] ?? 0;
}

/** A service's part of a client's head, for {@link requestHead}. @param clientKey the client's 8 bytes */
export function headTemplate(clientKey: Buffer, service: Buffer): Buffer {
  const head = Buffer.alloc(SERVICE + service.length);
  CLIENT.copy(head);
  clientKey.copy(head, AFTER);
  service.copy(head, SERVICE);
  return head;
}

/** @param oldest the lowest sequence that is not settled, at most `sequence` */
export function requestHead(template: Buffer, command: number, sequence: number, oldest: number): Buffer {
  const head = Buffer.allocUnsafe(template.length);
  head.set(template);
  head[COMMAND] = command;
  head.writeUInt32BE(Math.floor(sequence / HIGH), AFTER + 8);
  head.writeUInt32BE(sequence >>> 0, AFTER + 12);
  head.writeUInt32BE(Math.min(sequence - oldest, MAX_SPAN), NUMBERED);
  return head;
}

/** Whether a client's head has an id; with `service`, a span and a service's name, too. */
export function isNumbered(head: Buffer, service: boolean): boolean {
  return service ? head.length > SERVICE : head.length >= NUMBERED;
}

/** Where a client's head has its id. */
export const CLIENT_ID: number = AFTER;

/** Where a delivery's head has its id. */
export const DELIVERY_ID: number = TAGGED;

/** @param at where the id begins */
export function sequenceIn(head: Buffer, at: number): number {
  return head.readUInt32BE(at + 8) * HIGH + head.readUInt32BE(at + 12);
}

/** The lowest sequence that the sender still wants answered. @param at where the id begins */
export function oldestIn(head: Buffer, at: number, sequence: number): number {
  return Math.max(0, sequence - head.readUInt32BE(at + ID_LENGTH));
}

/** The service's name, a view. */
export function serviceIn(head: Buffer): Buffer {
  return head.subarray(SERVICE);
}

/** Where the service's name begins in a client's head. */
export const SERVICE_AT: number = SERVICE;

/** Bytes behind the id or the tag: a piece's number, or the bytes of a credit. */
const COUNT_LENGTH = 4;

/** A client's or a broker's head with a number behind the id. @param request the request's head */
export function countedHead(command: number, request: Buffer, count: number): Buffer {
  const head = Buffer.allocUnsafe(NUMBERED + COUNT_LENGTH);
  for (let i = 0; i < NUMBERED; i++) head[i] = request[i] as number;
  head[COMMAND] = command;
  head.writeUInt32BE(count >>> 0, NUMBERED);
  return head;
}

/** A worker's head with a number behind the tag. @param delivery the delivery's head */
export function countedReplyHead(command: number, delivery: Buffer, count: number): Buffer {
  const head = Buffer.allocUnsafe(TAGGED + COUNT_LENGTH);
  for (let i = 0; i < TAGGED; i++) head[i] = delivery[i] as number;
  head[COMMAND] = command;
  head.writeUInt32BE(count >>> 0, TAGGED);
  return head;
}

/** A credit for a worker. */
export function workerCreditHead(command: number, tag: number, bytes: number): Buffer {
  const head = Buffer.allocUnsafe(TAGGED + COUNT_LENGTH);
  head.set(WORKER);
  head[COMMAND] = command;
  head.writeUInt32BE(tag, AFTER);
  head.writeUInt32BE(bytes >>> 0, TAGGED);
  return head;
}

/** The number behind a client's id; 0 where there is none. */
export function countIn(head: Buffer): number {
  return head.length === NUMBERED + COUNT_LENGTH ? head.readUInt32BE(NUMBERED) : 0;
}

/** The number behind a worker's tag; 0 where there is none. */
export function tagCountIn(head: Buffer): number {
  return head.length === TAGGED + COUNT_LENGTH ? head.readUInt32BE(TAGGED) : 0;
}

/** The head of what answers a request, or of its cancelling. */
export function answerHead(command: number, request: Buffer): Buffer {
  const head = Buffer.allocUnsafe(NUMBERED);
  for (let i = 0; i < NUMBERED; i++) head[i] = request[i] as number;
  head[COMMAND] = command;
  return head;
}

/** @param request the client's head; empty for a plain client, whose requests have no id */
export function deliveryHead(command: number, tag: number, request: Buffer): Buffer {
  const withId = request.length > 0;
  const head = Buffer.allocUnsafe(withId ? TAGGED + ID_AND_SPAN : TAGGED);
  head.set(WORKER);
  head[COMMAND] = command;
  head.writeUInt32BE(tag, AFTER);
  if (withId) for (let i = 0; i < ID_AND_SPAN; i++) head[TAGGED + i] = request[AFTER + i] as number;
  return head;
}

/** Whether a worker's or a delivery's head has a tag. */
export function isTagged(head: Buffer): boolean {
  return head.length >= TAGGED;
}

/** Whether a delivery's head is as long as one with an id, or one without. */
export function isDelivery(head: Buffer): boolean {
  return head.length === TAGGED || head.length === TAGGED + ID_AND_SPAN;
}

export function hasId(delivery: Buffer): boolean {
  return delivery.length > TAGGED;
}

export function tagIn(head: Buffer): number {
  return head.readUInt32BE(AFTER);
}

/** The head of what answers a delivery. */
export function replyHead(command: number, delivery: Buffer): Buffer {
  const head = Buffer.allocUnsafe(TAGGED);
  for (let i = 0; i < TAGGED; i++) head[i] = delivery[i] as number;
  head[COMMAND] = command;
  return head;
}

/** The id of a delivery's head, a view; empty where it has none. */
export function idIn(delivery: Buffer): Buffer {
  return delivery.length > TAGGED ? delivery.subarray(TAGGED, TAGGED + ID_LENGTH) : EMPTY;
}
