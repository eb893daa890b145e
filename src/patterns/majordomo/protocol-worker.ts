/** What a worker's DEALER receives and sends (forms: protocol.ts). */

import {
  commandOf,
  countedReplyHead,
  hasId,
  isDelivery,
  isTagged,
  replyHead,
  tagCountIn,
  tagIn,
  workerSignalHead,
} from "./heads.js";
import type { Frames } from "./messages-broker.js";
import {
  CLIENT_HEADERS,
  commandFrame,
  Dialect,
  EMPTY,
  headerOf,
  NEGOTIATION,
  type Room,
  WORKER_HEADERS,
  WorkerCommand,
  workerCommandFrame,
  workerCommandOf,
} from "./protocol.js";

/** The most frequent heartbeats that a broker may ask for, in ms. */
const MIN_INTERVAL = 10;

/** A request for a worker, and what its answer has to begin with. */
export class Delivery {
  readonly kind = "request";
  readonly dialect: Dialect;
  /** A plain broker's address frames, or the head alone, which has the tag and the id. */
  readonly envelope: readonly Buffer[];
  readonly body: Buffer[];
  /** The registration that it came to. */
  epoch = 0;

  constructor(dialect: Dialect, envelope: readonly Buffer[], body: Buffer[]) {
    this.dialect = dialect;
    this.envelope = envelope;
    this.body = body;
  }

  /** The head; only in the third dialect. */
  get head(): Buffer {
    return this.envelope[0] as Buffer;
  }

  /** Whether the request has an id. */
  get repeatable(): boolean {
    return this.dialect === Dialect.Shoal && hasId(this.head);
  }
}

export type WorkerInput =
  | Delivery
  | { readonly kind: "cancel"; readonly tag: number }
  | { readonly kind: "credit"; readonly tag: number; readonly bytes: number }
  | { readonly kind: "heartbeat" | "disconnect"; readonly dialect: Dialect }
  | Negotiated
  | { readonly kind: "fault" };

/** The broker's answer to the question whether it knows the third dialect. */
export interface Negotiated {
  readonly kind: "negotiated";
  readonly extended: boolean;
  /** Which life of the broker this is; empty for a plain one. */
  readonly incarnation: Buffer;
  /** ms between the heartbeats that the broker expects; 0: it does not say. */
  readonly heartbeatInterval: number;
}

const FAULT: WorkerInput = { kind: "fault" };

export function parseAtWorker(frames: readonly Buffer[]): WorkerInput {
  const start = frames[0]?.length === 0 ? 1 : 0;
  const header = headerOf(frames[start]);
  if (header === undefined) return FAULT;
  const { role, dialect } = header;
  if ((dialect === Dialect.Mdp01) !== (start === 1)) return FAULT;
  if (role === "client") return parseNegotiated(frames, dialect) ?? FAULT;
  if (dialect === Dialect.Shoal) return parseExtended(frames, frames[0] as Buffer);
  switch (workerCommandOf(dialect, frames[start + 1])) {
    case WorkerCommand.Request:
      return parseAddressed(frames, start + 2, dialect);
    case WorkerCommand.Heartbeat:
      return { kind: "heartbeat", dialect };
    case WorkerCommand.Disconnect:
      return { kind: "disconnect", dialect };
    default:
      return FAULT;
  }
}

function parseExtended(frames: readonly Buffer[], head: Buffer): WorkerInput {
  const dialect = Dialect.Shoal;
  switch (commandOf(head)) {
    case WorkerCommand.Request:
      if (!isDelivery(head) || frames.length < 2) return FAULT;
      return new Delivery(dialect, [head], frames.slice(1));
    case WorkerCommand.Heartbeat:
      return { kind: "heartbeat", dialect };
    case WorkerCommand.Disconnect:
      return { kind: "disconnect", dialect };
    case WorkerCommand.Cancel:
      return isTagged(head) ? { kind: "cancel", tag: tagIn(head) } : FAULT;
    case WorkerCommand.Credit:
      return isTagged(head) ? { kind: "credit", tag: tagIn(head), bytes: tagCountIn(head) } : FAULT;
    default:
      return FAULT;
  }
}

/** The address is what stands before the empty frame: one frame, or more behind a chain of brokers. */
function parseAddressed(frames: readonly Buffer[], at: number, dialect: Dialect): WorkerInput {
  let end = at;
  while (end < frames.length && (frames[end] as Buffer).length > 0) end += 1;
  if (end === at || end + 1 >= frames.length) return FAULT;
  return new Delivery(dialect, frames.slice(at, end), frames.slice(end + 1));
}

/** Reads the answer to {@link negotiation}; `undefined` for another message of a client. */
export function parseNegotiated(frames: readonly Buffer[], dialect: Dialect): Negotiated | undefined {
  if (dialect !== Dialect.Mdp01 || frames[2]?.equals(NEGOTIATION) !== true) return undefined;
  const extended = frames[3]?.toString() === "200" && frames[4]?.length === 8;
  if (!extended) return { kind: "negotiated", extended, incarnation: EMPTY, heartbeatInterval: 0 };
  const heartbeatInterval = Number(frames[5]?.toString("latin1", 0, 10)) || 0;
  return { kind: "negotiated", extended, incarnation: frames[4] as Buffer, heartbeatInterval };
}

/** ms between the heartbeats to a broker: as often as either end wants, within reason. */
export function beatInterval(own: number, expected: number): number {
  return expected > 0 ? Math.min(own, Math.max(expected, MIN_INTERVAL)) : own;
}

/** Asks the broker, as a client of 0.1, whether it knows the third dialect. The body says who asks. */
export function negotiation(role: "client" | "worker" = "client"): Frames {
  const headers = role === "client" ? CLIENT_HEADERS : WORKER_HEADERS;
  return [EMPTY, CLIENT_HEADERS[Dialect.Mdp01], NEGOTIATION, headers[Dialect.Shoal]];
}

export function readyMessage(dialect: Dialect, service: Buffer, room: Room, name: string): Frames {
  if (dialect === Dialect.Shoal) {
    const declared = Buffer.alloc(8);
    declared.writeUInt32BE(room.concurrency, 0);
    declared.writeUInt32BE(room.capacity, 4);
    return [workerSignalHead(WorkerCommand.Ready), service, declared, name];
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
 */
export function replyMessage(
  dialect: Dialect,
  envelope: readonly Buffer[],
  final: boolean,
  body: readonly (Buffer | string)[],
  pieces: number,
): Frames {
  let frames: Frames;
  if (dialect === Dialect.Shoal) {
    const command = final ? WorkerCommand.Final : WorkerCommand.Partial;
    const delivery = envelope[0] as Buffer;
    const bare = final && pieces === 0;
    const head = bare ? replyHead(command, delivery) : countedReplyHead(command, delivery, pieces);
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

/** The handler failed; in the third dialect only. @param delivery the head of the request */
export function failureMessage(delivery: Buffer, reason: string, text: string): Frames {
  return [replyHead(WorkerCommand.Failure, delivery), reason, text];
}
