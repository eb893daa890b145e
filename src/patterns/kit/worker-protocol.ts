/**
 * The Pirates' messages (6/PPP, Command Specifications; the Guide's chapter 4 for
 * the Simple Pirate), as frames and as typed commands.
 *
 *                 Simple (worker REQ)                Paranoid (worker DEALER)
 *   READY         "" | 01, or "" | READY             01, or READY
 *   HEARTBEAT     none                               02
 *   request       "" | address | "" | body…          address | "" | body…
 *   reply         "" | address | "" | body…          address | "" | body…
 *
 * A queue's ROUTER sees the worker's routing id before these, a client's request
 * is envelope… | "" | body…. Nothing carries a header, so a command is known by its
 * exact form: one frame, of one byte or of the text READY, which is what the Guide's workers
 * send in some of its languages and in chapter 3. (The Guide's spqueue looks at the first
 * byte only, and takes a reply to a client whose routing id begins with 01 for READY.)
 */
import { MAX_FORWARDED_FRAMES } from "../../core/frame-cost.js";

export const READY = 0x01;
export const HEARTBEAT = 0x02;

/** How a worker speaks. */
export type Dialect = "simple" | "paranoid";

/** Why a message does not belong to the protocol. */
export type Malformed =
  /** No empty frame parts the address from the body. */
  | "no-delimiter"
  /** The address has no frame, or more frames than the one a worker keeps. */
  | "address"
  /** Nothing stands after the delimiter. */
  | "no-body"
  /** One frame that is neither READY nor HEARTBEAT. */
  | "command"
  /** More frames than a worker takes, with those that a broker puts in front. */
  | "frames";

/** A body with the frame that stands for its asker. */
export interface Addressed {
  readonly address: Buffer;
  /** 1 or more frames. */
  readonly body: readonly Buffer[];
}

/** What comes from a worker. */
export type WorkerCommand =
  | { readonly kind: "ready"; readonly dialect: Dialect }
  | { readonly kind: "heartbeat" }
  | ({ readonly kind: "reply"; readonly dialect: Dialect } & Addressed)
  | { readonly kind: "invalid"; readonly reason: Malformed };

/** What comes from a queue. */
export type QueueCommand =
  | ({ readonly kind: "request" } & Addressed)
  | { readonly kind: "heartbeat" }
  | { readonly kind: "invalid"; readonly reason: Malformed };

/** What comes from a client, behind a ROUTER. */
export type ClientCommand =
  | { readonly kind: "request"; readonly envelope: readonly Buffer[]; readonly body: readonly Buffer[] }
  | { readonly kind: "invalid"; readonly reason: Malformed };

const EMPTY = Buffer.alloc(0);
const READY_FRAME = Buffer.from([READY]);
const READY_TEXT = Buffer.from("READY");
const HEARTBEAT_FRAME = Buffer.from([HEARTBEAT]);

/** @param frames what a ROUTER received from a client, the routing id first */
export function parseFromClient(frames: readonly Buffer[]): ClientCommand {
  if (frames.length > MAX_FORWARDED_FRAMES) return { kind: "invalid", reason: "frames" };
  const delimiter = frames.findIndex((frame) => frame.length === 0);
  if (delimiter < 0) return { kind: "invalid", reason: "no-delimiter" };
  if (delimiter === 0) return { kind: "invalid", reason: "address" };
  if (delimiter === frames.length - 1) return { kind: "invalid", reason: "no-body" };
  return { kind: "request", envelope: frames.slice(0, delimiter), body: frames.slice(delimiter + 1) };
}

/** @param frames what a worker sent, without its routing id */
export function parseFromWorker(frames: readonly Buffer[]): WorkerCommand {
  const simple = frames[0]?.length === 0;
  const dialect: Dialect = simple ? "simple" : "paranoid";
  const command = simple ? frames.slice(1) : frames;
  if (command.length === 1) {
    const [only = EMPTY] = command;
    if (READY_FRAME.equals(only) || READY_TEXT.equals(only)) return { kind: "ready", dialect };
    // A Simple Pirate has no heartbeat: a REQ could not send one.
    if (!simple && HEARTBEAT_FRAME.equals(only)) return { kind: "heartbeat" };
    return { kind: "invalid", reason: "command" };
  }
  const addressed = parseAddressed(command);
  return typeof addressed === "string"
    ? { kind: "invalid", reason: addressed }
    : { kind: "reply", dialect, ...addressed };
}

/** @param frames what a queue sent to a worker */
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

/** A worker's first message, and its first to a queue that has forgotten it. */
export function readyFrames(dialect: Dialect): Buffer[] {
  return dialect === "simple" ? [EMPTY, READY_FRAME] : [READY_FRAME];
}

/** Of Paranoid Pirates only. */
export function heartbeatFrames(): Buffer[] {
  return [HEARTBEAT_FRAME];
}

/** A request to a worker, or a worker's reply: their form is one. */
export function addressedFrames(dialect: Dialect, address: Buffer, body: readonly Buffer[]): Buffer[] {
  return dialect === "simple" ? [EMPTY, address, EMPTY, ...body] : [address, EMPTY, ...body];
}

/** A reply to a client, as a ROUTER takes it. */
export function replyFrames(envelope: readonly Buffer[], body: readonly Buffer[]): Buffer[] {
  return [...envelope, EMPTY, ...body];
}

/**
 * A load balancer's workers (the Guide's chapter 3, lbbroker), as frames and as typed
 * commands. Workers are REQ, so each message has an empty frame in front:
 *
 *   READY             "" | READY     (the text, in lbbroker; the byte 01 in lbbroker2 and 3)
 *   request, reply    "" | address | "" | body…
 */

/** What comes from a worker of the load balancer. */
export type BalancedCommand = Exclude<WorkerCommand, { readonly kind: "heartbeat" }>;

/** @param frames what a worker sent, without its routing id */
export function parseFromBalanced(frames: readonly Buffer[]): BalancedCommand {
  const command = parseFromWorker(frames);
  const simple = command.kind === "invalid" || (command.kind !== "heartbeat" && command.dialect === "simple");
  return simple ? command : { kind: "invalid", reason: "no-delimiter" };
}
