/**
 * The words of the Majordomo protocols, and the form of each message as a DEALER
 * sees it ("" is an empty frame; a body is 1 or more frames).
 *
 *                0.1 (7/MDP)                        0.2 (18/MDP)                    shoal (head | frames)
 *   request      "" MDPC01 service body             MDPC02 01 service body          SHLC01 01 id span service | body
 *   partial      (none: joined into the answer)     MDPC02 02 service body          SHLC01 02 id number | body
 *   final        "" MDPC01 service body             MDPC02 03 service body          SHLC01 03 id number? | body?
 *   error        (as an answer: ERROR_MARK …)       (as a final: ERROR_MARK …)      SHLC01 04 id | reason text
 *   cancel                                                                          SHLC01 05 id
 *   heartbeat                                                                       SHLC01 09 | incarnation (from a client: none)
 *   waiting                                                                         SHLC01 0a id | 01 no worker offers it, 00 one has it
 *   credit                                                                          SHLC01 0b id bytes
 *   request      (level 2: the same with time and headers)                      SHLC01 0c id span n service time headers | body
 *   runs         (level 4: runs.ts)                                                 SHLC01 0e, SHLC01 0f | index bodies
 *
 *   READY        "" MDPW01 01 service               MDPW02 01 service               SHLW01 01 | service room name
 *   REQUEST      "" MDPW01 02 client "" body        MDPW02 02 client "" body        SHLW01 02 tag (id span)? | body
 *   REPLY        "" MDPW01 03 client "" body        04 FINAL client "" body         SHLW01 04 tag number? | body?
 *   PARTIAL                                         03 PARTIAL client "" body       SHLW01 03 tag number | body
 *   HEARTBEAT    "" MDPW01 04                       MDPW02 05                       SHLW01 05
 *   DISCONNECT   "" MDPW01 05                       MDPW02 06                       SHLW01 06
 *   FAILURE                                                                         SHLW01 07 tag | reason text
 *   CANCEL                                                                          SHLW01 08 tag
 *   DRAIN                                                                           SHLW01 09
 *   CREDIT                                                                          SHLW01 0a tag bytes
 *   REQUEST      (level 2)                                                      SHLW01 0b tag id span attempt time headers | body
 *   REQUEST      (level 2, of a plain client)                                   SHLW01 0c tag attempt | body
 *   runs         (level 4: runs.ts)                                             SHLW01 0e, SHLW01 0f | index bodies
 *
 * A worker's room is 8 bytes: the requests that it handles at once, and those with the ones that it keeps waiting.
 *
 * An answer in pieces has credit in the third dialect: see INITIAL_CREDIT.
 *
 * In the third dialect all that is not a body stands in one frame, the head
 * (header.ts): each frame of a message costs about as much as its bytes.
 *
 * The third dialect is spoken only with an end that has said that it knows it: a
 * client or worker asks the broker for the service `mmi.shoal` in the form of 0.1.
 * A plain broker answers 501 (8/MMI), shoal's answers 200 and its incarnation.
 *
 * The tag is a number of the broker's own, 4 bytes. Plain workers get it in the
 * place of the client's address, which they send back without looking at it: so a
 * reply finds the very delivery that it answers, and never a wrong client.
 */

import { readUint16 } from "../../core/big-endian.js";
import { FRAME_COST } from "../../core/frame-cost.js";
import { ERROR_MARK } from "../kit/errors.js";

/** Which of the three is spoken. */
export const Dialect = { Mdp01: 1, Mdp02: 2, Shoal: 3 } as const;

export type Dialect = (typeof Dialect)[keyof typeof Dialect];

export const EMPTY: Buffer = Buffer.alloc(0);

export const CLIENT_HEADERS: Readonly<Record<Dialect, Buffer>> = {
  [Dialect.Mdp01]: Buffer.from("MDPC01"),
  [Dialect.Mdp02]: Buffer.from("MDPC02"),
  [Dialect.Shoal]: Buffer.from("SHLC01"),
};

export const WORKER_HEADERS: Readonly<Record<Dialect, Buffer>> = {
  [Dialect.Mdp01]: Buffer.from("MDPW01"),
  [Dialect.Mdp02]: Buffer.from("MDPW02"),
  [Dialect.Shoal]: Buffer.from("SHLW01"),
};

/** Commands of a client's messages, 0.2 and shoal. */
export const ClientCommand = {
  Request: 1,
  Partial: 2,
  Final: 3,
  Error: 4,
  Cancel: 5,
  Heartbeat: 9,
  Waiting: 10,
  Credit: 11,
  RequestWith: 12,
  Requests: 14,
  Answers: 15,
} as const;

/** Commands of a worker's messages; 0.1 has no PARTIAL, and so other numbers from 3 on. */
export const WorkerCommand = {
  Ready: 1,
  Request: 2,
  Partial: 3,
  Final: 4,
  Heartbeat: 5,
  Disconnect: 6,
  Failure: 7,
  Cancel: 8,
  Drain: 9,
  Credit: 10,
  RequestWith: 11,
  PlainRequestWith: 12,
  Return: 13,
  Requests: 14,
  Replies: 15,
} as const;

const WORKER_COMMANDS_01 = { Ready: 1, Request: 2, Final: 3, Heartbeat: 4, Disconnect: 5 } as const;

/** Frames of one byte, made once. */
const BYTES: readonly Buffer[] = Array.from({ length: 16 }, (_, byte) => Buffer.of(byte));

export function commandFrame(command: number): Buffer {
  return BYTES[command] as Buffer;
}

/** The number of a worker's command in a dialect, as a frame. */
export function workerCommandFrame(dialect: Dialect, name: keyof typeof WORKER_COMMANDS_01): Buffer {
  return commandFrame(dialect === Dialect.Mdp01 ? WORKER_COMMANDS_01[name] : WorkerCommand[name]);
}

/** A plain worker's command in the numbers of 0.2; `undefined` for what the dialect does not have. */
export function workerCommandOf(dialect: Dialect, frame: Buffer | undefined): number | undefined {
  const byte = frame?.length === 1 ? (frame[0] as number) : 0;
  if (dialect === Dialect.Mdp01) {
    if (byte < 1 || byte > WORKER_COMMANDS_01.Disconnect) return undefined;
    return byte < WORKER_COMMANDS_01.Final ? byte : byte + 1;
  }
  return byte >= 1 && byte <= WorkerCommand.Disconnect ? byte : undefined;
}

/** Whose message a header begins. */
export interface Header {
  readonly role: "client" | "worker";
  readonly dialect: Dialect;
}

/** Bytes that each message of MDP or shoal begins with. */
export const HEADER_LENGTH = 6;

const HEADERS = {
  client: [Dialect.Mdp01, Dialect.Mdp02, Dialect.Shoal].map(
    (dialect) => ({ role: "client", dialect }) as const,
  ),
  worker: [Dialect.Mdp01, Dialect.Mdp02, Dialect.Shoal].map(
    (dialect) => ({ role: "worker", dialect }) as const,
  ),
};

const EXTENDED_CLIENT: Header = HEADERS.client[Dialect.Shoal - 1] as Header;
const EXTENDED_WORKER: Header = HEADERS.worker[Dialect.Shoal - 1] as Header;

const CLIENT = 0x43; // "C"
const WORKER = 0x57; // "W"
const MDP = 0x4d_44_50; // "MDP"
const VERSION_01 = 0x30_31; // "01"
const VERSION_02 = 0x30_32; // "02"

/** @returns `undefined` for a frame that is no header: 6 bytes in MDP, the beginning of the head in shoal's form */
export function headerOf(frame: Buffer | undefined): Header | undefined {
  if (frame === undefined || frame.length < HEADER_LENGTH) return undefined;
  const role = frame[3];
  if (role !== CLIENT && role !== WORKER) return undefined;
  // "SHL", "01"
  if (frame[0] === 0x53 && frame[1] === 0x48 && frame[2] === 0x4c && frame[4] === 0x30 && frame[5] === 0x31) {
    if (frame.length === HEADER_LENGTH) return undefined;
    return role === CLIENT ? EXTENDED_CLIENT : EXTENDED_WORKER;
  }
  if (frame.length > HEADER_LENGTH || frame.readUIntBE(0, 3) !== MDP) return undefined;
  const version = readUint16(frame, 4);
  if (version !== VERSION_01 && version !== VERSION_02) return undefined;
  const dialect = version === VERSION_01 ? Dialect.Mdp01 : Dialect.Mdp02;
  return HEADERS[role === CLIENT ? "client" : "worker"][dialect - 1];
}

/**
 * The level of the third dialect that is spoken here. The lower of two ends' levels counts: a broker gives its own as the
 * fifth frame of its answer to `mmi.shoal`, a worker as the fourth of READY, one byte; without one it is 1. What a level
 * does not know is only sent to an end of a higher one.
 */
export const LEVEL = 4;

/** Bytes of a request's id: 8 of the client, 8 of its counter. */
export const ID_LENGTH = 16;

/** Bytes of a delivery's tag. */
export const TAG_LENGTH = 4;

/** Tags go from 1 to this, and begin again. */
export const MAX_TAG = 0x3fff_ffff;

/** Bytes of a service's name at most. */
export const MAX_SERVICE_NAME = 255;

/** What a worker declares that it takes: handled at once, and with those that wait for a handler. */
export interface Room {
  readonly concurrency: number;
  readonly capacity: number;
}

/** From this level on, a broker takes back requests that a worker has not begun. */
export const RETURN_LEVEL = 3;

/** From this level on, an end takes runs of requests or of answers (runs.ts). */
export const RUN_LEVEL = 4;

/** Requests that one worker may declare that it takes at once, at most. */
export const MAX_CAPACITY = 65_535;

/** Services whose names begin so are the broker's own (8/MMI). */
export const RESERVED_PREFIX = "mmi.";

/** The service that a client asks whether its broker speaks the third dialect. */
export const NEGOTIATION: Buffer = Buffer.from("mmi.shoal");

/** The service that a client asks whether a broker takes requests, before it moves there. */
export const SERVING: Buffer = Buffer.from("mmi.serving");

/** The bytes of a routing id, id or name as a key of tables: one character a byte. */
export function textOf(frame: Buffer): string {
  return frame.toString("latin1");
}

/** The name of a service as it is shown and as it is a key: UTF-8 where it is that. */
export function serviceNameOf(frame: Buffer): string {
  return frame.toString();
}

/** The frames from `start` on. One alone, as most bodies have it, is an array of its own length. */
export function framesFrom(frames: readonly Buffer[], start: number): Buffer[] {
  return frames.length === start + 1 ? [frames[start] as Buffer] : frames.slice(start);
}

/**
 * The reason and text of an error reply; `undefined` for any other body.
 *
 * @param at where the body begins among the frames
 */
export function failureIn(frames: readonly Buffer[], at = 0): { reason: string; text: string } | undefined {
  const mark = frames[at];
  if (frames.length !== at + 3 || mark?.length !== ERROR_MARK.length || !mark.equals(ERROR_MARK))
    return undefined;
  return { reason: String(frames[at + 1]), text: String(frames[at + 2]) };
}

export type Frames = (Buffer | string)[];

/*
 * Credit of an answer in pieces: how many bytes its worker may send before somebody has read what came before.
 *
 *   worker    credit = INITIAL_CREDIT   - the cost of each piece sent   + what is granted; at 0 the handler waits
 *   client    grants what its reader has read; once half of INITIAL_CREDIT has come, the rest of its own window, too
 *
 * So what is under way and unread is bounded by the window and one piece, wherever it waits: at the worker, the broker
 * or the client. For a client that knows no credit (MDP) the broker grants what it could pass on.
 */

/** Bytes of pieces that a worker may send before anything is granted. */
export const INITIAL_CREDIT = 16_384;

/** What a piece costs, which both ends count alike: as much as a frame beyond its own bytes, and each of its frames. @param start where its body begins among the frames */
export function pieceCost(frames: readonly (Uint8Array | string)[], start = 0): number {
  let cost = FRAME_COST;
  for (let i = start; i < frames.length; i++) {
    const frame = frames[i] as Uint8Array | string;
    cost += FRAME_COST + (typeof frame === "string" ? Buffer.byteLength(frame) : frame.length);
  }
  return cost;
}
