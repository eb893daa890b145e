/**
 * Messages of the Pirates (6/PPP, Command Specifications; the Guide's chapter 4 for the Simple Pirate).
 *
 *                 Simple (worker REQ)                Paranoid (worker DEALER)
 *   READY         "" | 01, or "" | READY             01, or READY
 *   HEARTBEAT     none                               02
 *   request       "" | address | "" | body…          address | "" | body…
 *   reply         "" | address | "" | body…          address | "" | body…
 *
 * A queue's ROUTER sees the worker's routing id before these; a client's request is envelope… | "" | body…. A command
 * is recognized by its exact form: a single frame of one byte, or READY, sent by some of the Guide's workers (lbbroker;
 * lbbroker2 and 3 send the byte). The Guide's spqueue checks the first byte only: it takes a reply for READY if the
 * client's routing id begins with 01.
 */
import { MAX_FORWARDED_FRAMES } from "../core/memory.js";

export const READY = 0x01;
export const HEARTBEAT = 0x02;

export type Dialect = "simple" | "paranoid";

/** Why a message is malformed. */
export type Malformed =
  /** No empty frame between address and body. */
  | "no-delimiter"
  /** The address has no frame, or more than one. */
  | "address"
  /** Nothing follows the delimiter. */
  | "no-body"
  /** A single frame other than READY and HEARTBEAT. */
  | "command"
  /** More frames than a worker takes. */
  | "frames";

export interface Addressed {
  readonly address: Buffer;
  readonly body: readonly Buffer[];
}

export type WorkerCommand =
  | { readonly kind: "ready"; readonly dialect: Dialect }
  | { readonly kind: "heartbeat" }
  | ({ readonly kind: "reply"; readonly dialect: Dialect } & Addressed)
  | { readonly kind: "invalid"; readonly reason: Malformed };

export type QueueCommand =
  | ({ readonly kind: "request" } & Addressed)
  | { readonly kind: "heartbeat" }
  | { readonly kind: "invalid"; readonly reason: Malformed };

export type ClientCommand =
  | { readonly kind: "request"; readonly envelope: readonly Buffer[]; readonly body: readonly Buffer[] }
  | { readonly kind: "invalid"; readonly reason: Malformed };

const EMPTY = Buffer.alloc(0);
const READY_FRAME = Buffer.from([READY]);
const READY_TEXT = Buffer.from("READY");
const HEARTBEAT_FRAME = Buffer.from([HEARTBEAT]);

/** @param frames routing id first */
export function parseFromClient(frames: readonly Buffer[]): ClientCommand {
  if (frames.length > MAX_FORWARDED_FRAMES) return { kind: "invalid", reason: "frames" };
  const delimiter = frames.findIndex((frame) => frame.length === 0);
  if (delimiter < 0) return { kind: "invalid", reason: "no-delimiter" };
  if (delimiter === 0) return { kind: "invalid", reason: "address" };
  if (delimiter === frames.length - 1) return { kind: "invalid", reason: "no-body" };
  return { kind: "request", envelope: frames.slice(0, delimiter), body: frames.slice(delimiter + 1) };
}

/** @param frames sent by a worker, without its routing id */
export function parseFromWorker(frames: readonly Buffer[]): WorkerCommand {
  const simple = frames[0]?.length === 0;
  const dialect: Dialect = simple ? "simple" : "paranoid";
  const command = simple ? frames.slice(1) : frames;
  if (command.length === 1) {
    const [only = EMPTY] = command;
    if (READY_FRAME.equals(only) || READY_TEXT.equals(only)) return { kind: "ready", dialect };
    if (!simple && HEARTBEAT_FRAME.equals(only)) return { kind: "heartbeat" };
    return { kind: "invalid", reason: "command" };
  }
  const addressed = parseAddressed(command);
  return typeof addressed === "string"
    ? { kind: "invalid", reason: addressed }
    : { kind: "reply", dialect, ...addressed };
}

export function parseFromQueue(frames: readonly Buffer[], dialect: Dialect): QueueCommand {
  if (dialect === "simple" && frames[0]?.length !== 0) return { kind: "invalid", reason: "no-delimiter" };
  const command = dialect === "simple" ? frames.slice(1) : frames;
  if (command.length === 1 && dialect === "paranoid") {
    if (HEARTBEAT_FRAME.equals(command[0] as Buffer)) return { kind: "heartbeat" };
    return { kind: "invalid", reason: "command" };
  }
  const addressed = parseAddressed(command);
  return typeof addressed === "string"
    ? { kind: "invalid", reason: addressed }
    : { kind: "request", ...addressed };
}

function parseAddressed(frames: readonly Buffer[]): Addressed | Malformed {
  const address = frames[0];
  if (address === undefined || address.length === 0) return "address";
  if (frames[1] === undefined) return "no-delimiter";
  if (frames[1].length > 0) return "address";
  if (frames.length < 3) return "no-body";
  return { address, body: frames.slice(2) };
}

export function readyFrames(dialect: Dialect): Buffer[] {
  return dialect === "simple" ? [EMPTY, READY_FRAME] : [READY_FRAME];
}

/** Paranoid Pirates only. */
export function heartbeatFrames(): Buffer[] {
  return [HEARTBEAT_FRAME];
}

/** Both directions. */
export function addressedFrames(dialect: Dialect, address: Buffer, body: readonly Buffer[]): Buffer[] {
  return dialect === "simple" ? [EMPTY, address, EMPTY, ...body] : [address, EMPTY, ...body];
}

export function replyFrames(envelope: readonly Buffer[], body: readonly Buffer[]): Buffer[] {
  return [...envelope, EMPTY, ...body];
}
