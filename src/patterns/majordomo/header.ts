/**
 * The heads of the third dialect: everything but the body, in one frame.
 *
 *   from a client    SHLC01 | command | id 16 | span 4 | service 1 to 255     request
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
 * Level 2 has two more, for what a handler gets in addition to the body:
 *
 *   from a client    SHLC01 | command | id 16 | span 4 | n 1 | service n | time 4 | headers
 *   to a worker      SHLW01 | command | tag 4 | id 16 | span 4 | attempt 1 | time 4 | headers
 *                    SHLW01 | command | tag 4 | attempt 1                      from a plain client
 *   headers          (n 1 | name n | length 2 | value)*                        UTF-8, MAX_HEADERS bytes at most
 *
 * Level 4 has runs of them: see runs.ts.
 *
 * The time is how many ms the client still waits; NO_LIMIT: without limit.
 *
 * The id is 8 bytes of the client's own, and the request's sequence number in 8.
 * The span is how far back the oldest request lies that the client still wants
 * answered: what is older is never sent again, and nobody has to remember it.
 * A piece's number is how many came before it, and the final's is how many there
 * were: so a piece that is missing is noticed, and an end without one is no end.
 * Numbers are unsigned, their highest byte first.
 */

import { describe } from "../../core/arguments.js";
import { readUint16, readUint32, writeUint32 } from "../../core/big-endian.js";
import { InvalidArgumentError } from "../../core/errors.js";
import {
  CLIENT_HEADERS,
  ClientCommand,
  Dialect,
  EMPTY,
  HEADER_LENGTH,
  MAX_SERVICE_NAME,
  WORKER_HEADERS,
  WorkerCommand,
} from "./protocol.js";

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

/** The upper half of a sequence number below 2^53. */
const MAX_UPPER_HALF = 0x1f_ffff;

/** Of level 2: where the service begins, and what stands between it and the headers. */
const SERVICE_WITH = SERVICE + 1;
const TIME_LENGTH = 4;

/** In a delivery with an id, of level 2. */
const ATTEMPT = TAGGED + ID_AND_SPAN;
const DELIVERY_HEADERS = ATTEMPT + 1 + TIME_LENGTH;

/** A time without limit. */
export const NO_LIMIT = 0xffff_ffff;

/** Bytes of a request's headers, with what parts them. */
export const MAX_HEADERS = 8_192;

/*
 * Heads that are written again for each message, where the call that sends them copies them
 * (`copiesBelow` of an engine). Made for each message they are a view each, and a new piece of memory for each 170.
 */
const REUSED_ANSWER = Buffer.alloc(NUMBERED);
const REUSED_REPLY = Buffer.alloc(TAGGED);
const REUSED_DELIVERY = Buffer.alloc(DELIVERY_HEADERS);
const REUSED_RUN = Buffer.alloc(AFTER + ID_AND_SPAN);

/** Bytes of the longest head that is used again: a request's, with the longest name of a service. */
export const MAX_REUSED_HEAD: number = SERVICE_WITH + MAX_SERVICE_NAME + TIME_LENGTH;

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

/** The same for {@link requestHeadWith}. */
export function headTemplateWith(clientKey: Buffer, service: Buffer): Buffer {
  const head = Buffer.alloc(SERVICE_WITH + service.length + TIME_LENGTH);
  CLIENT.copy(head);
  clientKey.copy(head, AFTER);
  head[SERVICE] = service.length;
  service.copy(head, SERVICE_WITH);
  return head;
}

/** A request of level 2. @param time ms that the client still waits. @param headers as {@link encodeHeaders} makes them */
export function requestHeadWith(
  template: Buffer,
  command: number,
  sequence: number,
  oldest: number,
  time: number,
  headers: Buffer,
): Buffer {
  const { length } = template;
  const head = Buffer.allocUnsafe(length + headers.length);
  head.set(template);
  head[COMMAND] = command;
  writeSequence(head, sequence, oldest);
  writeUint32(head, length - TIME_LENGTH, Math.min(time, NO_LIMIT));
  if (headers.length > 0) head.set(headers, length);
  return head;
}

/** The same without headers, into a head of the same service that was sent before. @param head at first a copy of the template */
export function rewriteRequestHead(
  head: Buffer,
  command: number,
  sequence: number,
  oldest: number,
  time: number,
): Buffer {
  head[COMMAND] = command;
  writeUint32(head, AFTER + 8, Math.floor(sequence / HIGH));
  writeUint32(head, AFTER + 12, sequence >>> 0);
  writeUint32(head, NUMBERED, Math.min(sequence - oldest, MAX_SPAN));
  writeUint32(head, head.length - TIME_LENGTH, Math.min(time, NO_LIMIT));
  return head;
}

/** @param oldest the lowest sequence that is not settled, at most `sequence` */
export function requestHead(template: Buffer, command: number, sequence: number, oldest: number): Buffer {
  const head = Buffer.allocUnsafe(template.length);
  head.set(template);
  head[COMMAND] = command;
  writeSequence(head, sequence, oldest);
  return head;
}

/** Number and span of a request. The template has zeros there, which most often are right but for the lowest bytes. */
function writeSequence(head: Buffer, sequence: number, oldest: number): void {
  if (sequence >= HIGH) writeUint32(head, AFTER + 8, Math.floor(sequence / HIGH));
  writeUint32(head, AFTER + 12, sequence >>> 0);
  if (sequence > oldest) writeUint32(head, NUMBERED, Math.min(sequence - oldest, MAX_SPAN));
}

/** Whether a client's head has an id; with `service`, a span and a service's name, too. */
export function isNumbered(head: Buffer, service: boolean): boolean {
  return service ? head.length > SERVICE : head.length >= NUMBERED;
}

/** Where the head of a run has its first member's id. */
export const RUN_ID: number = AFTER;

/** Bytes of a worker's run's head, and of one to a client. */
const RUN_DELIVERY = AFTER + ID_AND_SPAN;

/** What a run's numbers are added to: the upper half of the first member's. */
export function runBase(head: Buffer): number {
  return readUint32(head, AFTER + 8) * HIGH;
}

/** Whether a client's run has the head of a request without headers. */
export function isRunHead(head: Buffer): boolean {
  return head.length > SERVICE && headersLength(head) === 0 && (head[SERVICE] as number) > 0;
}

/** Whether the numbers that follow a run's first one are exact. */
export function isCountable(head: Buffer): boolean {
  return readUint32(head, AFTER + 8) <= MAX_UPPER_HALF;
}

/** Whether a worker's run has an id and a span. */
export function isDeliveryRunHead(head: Buffer): boolean {
  return head.length === RUN_DELIVERY && isCountable(head);
}

/** The head that a member of a client's run would have come with alone. @param run the run's head */
export function memberHead(run: Buffer, sequence: number): Buffer {
  const head = Buffer.from(run);
  head[COMMAND] = ClientCommand.RequestWith;
  const span = Math.max(0, sequence - oldestIn(run, AFTER, sequenceIn(run, AFTER)));
  writeUint32(head, AFTER + 8, Math.floor(sequence / HIGH));
  writeUint32(head, AFTER + 12, sequence >>> 0);
  writeUint32(head, NUMBERED, Math.min(span, MAX_SPAN));
  return head;
}

/** ms that the client of a run still waits. */
export function runTime(head: Buffer): number {
  return readUint32(head, head.length - TIME_LENGTH);
}

/** The head of a run of answers. @param run of one of their requests. @param sequence the first one's */
export function answerRunHead(run: Buffer, sequence: number): Buffer {
  const head = REUSED_ANSWER;
  for (let i = 0; i < NUMBERED; i++) head[i] = run[i] as number;
  head[COMMAND] = ClientCommand.Answers;
  writeUint32(head, AFTER + 8, Math.floor(sequence / HIGH));
  writeUint32(head, AFTER + 12, sequence >>> 0);
  return head;
}

/** The head of a run for a worker. @param run of one of its requests. @param sequence the first one's. @param oldest that its client wants */
export function deliveryRunHead(run: Buffer, sequence: number, oldest: number): Buffer {
  const head = REUSED_RUN;
  head.set(WORKER);
  head[COMMAND] = WorkerCommand.Requests;
  for (let i = AFTER; i < AFTER + 8; i++) head[i] = run[i] as number;
  writeUint32(head, AFTER + 8, Math.floor(sequence / HIGH));
  writeUint32(head, AFTER + 12, sequence >>> 0);
  writeUint32(head, NUMBERED, Math.min(MAX_SPAN, Math.max(0, sequence - oldest)));
  return head;
}

/** The head that a member of a worker's run would have come with alone. @param run the run's head */
export function memberDeliveryHead(run: Buffer, tag: number, sequence: number, time: number): Buffer {
  const head = Buffer.allocUnsafe(DELIVERY_HEADERS);
  head.set(WORKER);
  head[COMMAND] = WorkerCommand.RequestWith;
  writeUint32(head, AFTER, tag);
  run.copy(head, TAGGED, AFTER, AFTER + 8);
  writeUint32(head, TAGGED + 8, Math.floor(sequence / HIGH));
  writeUint32(head, TAGGED + 12, sequence >>> 0);
  const span = Math.max(0, sequence - oldestIn(run, AFTER, sequenceIn(run, AFTER)));
  writeUint32(head, TAGGED + ID_LENGTH, Math.min(span, MAX_SPAN));
  head[ATTEMPT] = 1;
  writeUint32(head, ATTEMPT + 1, time);
  return head;
}

/** A worker's answer to the delivery with this tag. @param reuse it is copied before the next one is made */
export function taggedHead(command: number, tag: number, reuse: boolean): Buffer {
  const head = reuse ? REUSED_REPLY : Buffer.allocUnsafe(TAGGED);
  head.set(WORKER);
  head[COMMAND] = command;
  writeUint32(head, AFTER, tag);
  return head;
}

/** Where a client's head has its id. */
export const CLIENT_ID: number = AFTER;

/** Where a delivery's head has its id. */
export const DELIVERY_ID: number = TAGGED;

/** @param at where the id begins */
export function sequenceIn(head: Buffer, at: number): number {
  return readUint32(head, at + 8) * HIGH + readUint32(head, at + 12);
}

/** The lowest sequence that the sender still wants answered. @param at where the id begins */
export function oldestIn(head: Buffer, at: number, sequence: number): number {
  return Math.max(0, sequence - readUint32(head, at + ID_LENGTH));
}

/** Whether a request is of level 2: with time and headers. */
export function isRequestWith(head: Buffer): boolean {
  const command = head[COMMAND];
  return command === ClientCommand.RequestWith || command === ClientCommand.Requests;
}

/** Where the service's name begins in a request's head. */
export function serviceStart(head: Buffer): number {
  return isRequestWith(head) ? SERVICE_WITH : SERVICE;
}

/** Where the service's name ends in a request's head. */
export function serviceEnd(head: Buffer): number {
  return isRequestWith(head) ? SERVICE_WITH + (head[SERVICE] as number) : head.length;
}

/** The service's name, a view. */
export function serviceIn(head: Buffer): Buffer {
  return head.subarray(serviceStart(head), serviceEnd(head));
}

/** Bytes of a request's headers, of level 2; negative for a head that is too short. */
export function headersLength(head: Buffer): number {
  return head.length - SERVICE_WITH - (head[SERVICE] ?? 0) - TIME_LENGTH;
}

/** What is needed of a request's head once it is answered: its memory is not kept for the rest. */
export function withoutHeaders(head: Buffer): Buffer {
  return isRequestWith(head) && headersLength(head) > 0 ? Buffer.from(head.subarray(0, NUMBERED)) : head;
}

/** Bytes of a head whose service's name is the longest. */
export const MAX_PLAIN_HEAD: number = SERVICE + MAX_SERVICE_NAME;

/** Bytes behind the id or the tag: a piece's number, or the bytes of a credit. */
const COUNT_LENGTH = 4;

/** A client's or a broker's head with a number behind the id. @param request the request's head */
export function countedHead(command: number, request: Buffer, count: number): Buffer {
  const head = Buffer.allocUnsafe(NUMBERED + COUNT_LENGTH);
  for (let i = 0; i < NUMBERED; i++) head[i] = request[i] as number;
  head[COMMAND] = command;
  writeUint32(head, NUMBERED, count >>> 0);
  return head;
}

/** A worker's head with a number behind the tag. @param delivery the delivery's head */
export function countedReplyHead(command: number, delivery: Buffer, count: number): Buffer {
  const head = Buffer.allocUnsafe(TAGGED + COUNT_LENGTH);
  for (let i = 0; i < TAGGED; i++) head[i] = delivery[i] as number;
  head[COMMAND] = command;
  writeUint32(head, TAGGED, count >>> 0);
  return head;
}

/** A credit for a worker. */
export function workerCreditHead(command: number, tag: number, bytes: number): Buffer {
  const head = Buffer.allocUnsafe(TAGGED + COUNT_LENGTH);
  head.set(WORKER);
  head[COMMAND] = command;
  writeUint32(head, AFTER, tag);
  writeUint32(head, TAGGED, bytes >>> 0);
  return head;
}

/** The number behind a client's id; 0 where there is none. */
export function countIn(head: Buffer): number {
  return head.length === NUMBERED + COUNT_LENGTH ? readUint32(head, NUMBERED) : 0;
}

/** The number behind a worker's tag; 0 where there is none. */
export function tagCountIn(head: Buffer): number {
  return head.length === TAGGED + COUNT_LENGTH ? readUint32(head, TAGGED) : 0;
}

/** The head of what answers a request, or of its cancelling. @param reuse it is copied before the next one is made */
export function answerHead(command: number, request: Buffer, reuse = false): Buffer {
  const head = reuse ? REUSED_ANSWER : Buffer.allocUnsafe(NUMBERED);
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
  writeUint32(head, AFTER, tag);
  if (withId) for (let i = 0; i < ID_AND_SPAN; i++) head[TAGGED + i] = request[AFTER + i] as number;
  return head;
}

/**
 * A delivery of level 2.
 *
 * @param request the client's head; empty for a plain client, whose requests have no id
 * @param attempt 1 for the first delivery
 * @param waited ms that the request has waited at the broker, which are taken off the time that the client still waits
 * @param reuse it is copied before the next one is made
 */
export function deliveryHeadWith(
  tag: number,
  request: Buffer,
  attempt: number,
  waited: number,
  reuse = false,
): Buffer {
  const counted = Math.min(attempt, 255);
  const { length } = request;
  if (length === 0) {
    const head = Buffer.allocUnsafe(TAGGED + 1);
    head.set(WORKER);
    head[COMMAND] = WorkerCommand.PlainRequestWith;
    writeUint32(head, AFTER, tag);
    head[TAGGED] = counted;
    return head;
  }
  let headersAt = length;
  let time = NO_LIMIT;
  if (isRequestWith(request)) {
    const timeAt = serviceEnd(request);
    time = readUint32(request, timeAt);
    if (time !== NO_LIMIT) time = Math.max(0, Math.ceil(time - waited));
    headersAt = timeAt + TIME_LENGTH;
  }
  const head =
    reuse && length === headersAt
      ? REUSED_DELIVERY
      : Buffer.allocUnsafe(DELIVERY_HEADERS + length - headersAt);
  for (let i = 0; i < HEADER_LENGTH; i++) head[i] = WORKER[i] as number;
  head[COMMAND] = WorkerCommand.RequestWith;
  writeUint32(head, AFTER, tag);
  for (let i = 0; i < ID_AND_SPAN; i++) head[TAGGED + i] = request[AFTER + i] as number;
  head[ATTEMPT] = counted;
  writeUint32(head, ATTEMPT + 1, time);
  if (length > headersAt) request.copy(head, DELIVERY_HEADERS, headersAt);
  return head;
}

/** Whether a delivery's head of level 2 is as long as one with an id, or one without. */
export function isDeliveryWith(head: Buffer): boolean {
  return head[COMMAND] === WorkerCommand.RequestWith
    ? head.length >= DELIVERY_HEADERS
    : head.length === TAGGED + 1;
}

/** Which attempt a delivery is; 1 where the broker does not say. */
export function attemptIn(delivery: Buffer): number {
  const command = delivery[COMMAND];
  if (command === WorkerCommand.RequestWith) return delivery[ATTEMPT] as number;
  return command === WorkerCommand.PlainRequestWith ? (delivery[TAGGED] as number) : 1;
}

/** ms that the client of a delivery still waits. */
export function deliveryTime(delivery: Buffer): number {
  return delivery[COMMAND] === WorkerCommand.RequestWith ? readUint32(delivery, ATTEMPT + 1) : NO_LIMIT;
}

/** The headers of a delivery; what is malformed, and what follows it, is left out. */
export function headersIn(delivery: Buffer): Readonly<Record<string, string>> {
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  let at = delivery[COMMAND] === WorkerCommand.RequestWith ? DELIVERY_HEADERS : delivery.length;
  while (at < delivery.length) {
    const valueAt = at + 1 + (delivery[at] as number) + 2;
    if (valueAt > delivery.length) break;
    const end = valueAt + readUint16(delivery, valueAt - 2);
    if (end > delivery.length) break;
    headers[delivery.toString("utf8", at + 1, valueAt - 2)] = delivery.toString("utf8", valueAt, end);
    at = end;
  }
  return Object.freeze(headers);
}

/** @throws InvalidArgumentError `EINVAL` for what is not a small map of texts */
export function encodeHeaders(headers: Readonly<Record<string, string>>): Buffer {
  if (typeof headers !== "object" || headers === null || Array.isArray(headers))
    throw new InvalidArgumentError(`Option headers is an object of texts; got ${describe(headers)}`);
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    if (typeof value !== "string")
      throw new InvalidArgumentError(`The header ${name} is a text; got ${describe(value)}`);
    const nameBytes = Buffer.from(name);
    const valueBytes = Buffer.from(value);
    if (nameBytes.length === 0 || nameBytes.length > 255)
      throw new InvalidArgumentError(`A header's name has 1 to 255 bytes; got ${nameBytes.length}`);
    if (valueBytes.length > MAX_HEADERS) throw tooLarge();
    const length = Buffer.allocUnsafe(2);
    length.writeUInt16BE(valueBytes.length);
    parts.push(Buffer.of(nameBytes.length), nameBytes, length, valueBytes);
  }
  const encoded = Buffer.concat(parts);
  if (encoded.length > MAX_HEADERS) throw tooLarge();
  return encoded;
}

function tooLarge(): InvalidArgumentError {
  return new InvalidArgumentError(`The headers of a request have ${MAX_HEADERS} bytes at most`);
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
  return delivery.length >= TAGGED + ID_AND_SPAN;
}

export function tagIn(head: Buffer): number {
  return readUint32(head, AFTER);
}

/** The head of what answers a delivery. @param reuse it is copied before the next one is made */
export function replyHead(command: number, delivery: Buffer, reuse = false): Buffer {
  const head = reuse ? REUSED_REPLY : Buffer.allocUnsafe(TAGGED);
  for (let i = 0; i < TAGGED; i++) head[i] = delivery[i] as number;
  head[COMMAND] = command;
  return head;
}

/** The id of a delivery's head, a view; empty where it has none. */
export function idIn(delivery: Buffer): Buffer {
  return hasId(delivery) ? delivery.subarray(TAGGED, TAGGED + ID_LENGTH) : EMPTY;
}
