/** What a worker's DEALER receives and sends (forms: protocol.ts). */
import type { Frames } from "./messages-broker.js";
import {
  CLIENT_HEADERS,
  commandFrame,
  Dialect,
  EMPTY,
  headerOf,
  ID_LENGTH,
  NEGOTIATION,
  TAG_LENGTH,
  WORKER_HEADERS,
  WorkerCommand,
  workerCommandFrame,
  workerCommandOf,
} from "./protocol.js";

export type WorkerInput =
  | {
      readonly kind: "request";
      readonly dialect: Dialect;
      /** What the reply has to begin with: a plain broker's address frames, or the tag alone. */
      readonly envelope: readonly Buffer[];
      /** Empty where requests have none. */
      readonly id: Buffer;
      readonly body: Buffer[];
    }
  | { readonly kind: "cancel"; readonly tag: Buffer }
  | { readonly kind: "heartbeat" | "disconnect"; readonly dialect: Dialect }
  | Negotiated
  | { readonly kind: "fault" };

/** The broker's answer to the question whether it knows the third dialect. */
export interface Negotiated {
  readonly kind: "negotiated";
  readonly extended: boolean;
  /** Which life of the broker this is; empty for a plain one. */
  readonly incarnation: Buffer;
}

const FAULT: WorkerInput = { kind: "fault" };

export function parseAtWorker(frames: readonly Buffer[]): WorkerInput {
  const start = frames[0]?.length === 0 ? 1 : 0;
  const header = headerOf(frames[start]);
  if (header === undefined) return FAULT;
  const { role, dialect } = header;
  if ((dialect === Dialect.Mdp01) !== (start === 1)) return FAULT;
  if (role === "client") return parseNegotiated(frames, dialect) ?? FAULT;
  const at = start + 2;
  switch (workerCommandOf(dialect, frames[start + 1])) {
    case WorkerCommand.Request:
      return dialect === Dialect.Shoal ? parseTagged(frames, at) : parseAddressed(frames, at, dialect);
    case WorkerCommand.Heartbeat:
      return { kind: "heartbeat", dialect };
    case WorkerCommand.Disconnect:
      return { kind: "disconnect", dialect };
    case WorkerCommand.Cancel: {
      const tag = frames[at];
      return tag?.length === TAG_LENGTH ? { kind: "cancel", tag } : FAULT;
    }
    default:
      return FAULT;
  }
}

function parseTagged(frames: readonly Buffer[], at: number): WorkerInput {
  const tag = frames[at];
  const id = frames[at + 1];
  if (tag?.length !== TAG_LENGTH || id === undefined || frames.length === at + 2) return FAULT;
  if (id.length !== 0 && id.length !== ID_LENGTH) return FAULT;
  return { kind: "request", dialect: Dialect.Shoal, envelope: [tag], id, body: frames.slice(at + 2) };
}

/** The address is what stands before the empty frame: one frame, or more behind a chain of brokers. */
function parseAddressed(frames: readonly Buffer[], at: number, dialect: Dialect): WorkerInput {
  let end = at;
  while (end < frames.length && (frames[end] as Buffer).length > 0) end += 1;
  if (end === at || end + 1 >= frames.length) return FAULT;
  return {
    kind: "request",
    dialect,
    envelope: frames.slice(at, end),
    id: EMPTY,
    body: frames.slice(end + 1),
  };
}

/** Reads the answer to {@link negotiation}; `undefined` for another message of a client. */
export function parseNegotiated(frames: readonly Buffer[], dialect: Dialect): Negotiated | undefined {
  if (dialect !== Dialect.Mdp01 || frames[2]?.equals(NEGOTIATION) !== true) return undefined;
  const extended = frames[3]?.toString() === "200" && frames[4]?.length === 8;
  return { kind: "negotiated", extended, incarnation: extended ? (frames[4] as Buffer) : EMPTY };
}

/** Asks the broker, as a client of 0.1, whether it knows the third dialect. */
export function negotiation(): Frames {
  return [EMPTY, CLIENT_HEADERS[Dialect.Mdp01], NEGOTIATION, CLIENT_HEADERS[Dialect.Shoal]];
}

export function readyMessage(dialect: Dialect, service: Buffer, capacity: number, name: string): Frames {
  const command = workerCommandFrame(dialect, "Ready");
  if (dialect === Dialect.Mdp01) return [EMPTY, WORKER_HEADERS[dialect], command, service];
  if (dialect === Dialect.Mdp02) return [WORKER_HEADERS[dialect], command, service];
  const declared = Buffer.alloc(4);
  declared.writeUInt32BE(capacity, 0);
  return [WORKER_HEADERS[dialect], command, service, declared, name];
}

export function signalMessage(dialect: Dialect, name: "Heartbeat" | "Disconnect"): Frames {
  const command = workerCommandFrame(dialect, name);
  return dialect === Dialect.Mdp01
    ? [EMPTY, WORKER_HEADERS[dialect], command]
    : [WORKER_HEADERS[dialect], command];
}

/** A worker of shoal's takes nothing new. */
export function drainMessage(): Frames {
  return [WORKER_HEADERS[Dialect.Shoal], commandFrame(WorkerCommand.Drain)];
}

/** A piece of an answer, or its end. 0.1 has no pieces; 0.1 and 0.2 no end without a body. */
export function replyMessage(
  dialect: Dialect,
  envelope: readonly Buffer[],
  final: boolean,
  body: readonly (Buffer | string)[],
): Frames {
  let frames: Frames;
  if (dialect === Dialect.Shoal) {
    const command = final ? WorkerCommand.Final : WorkerCommand.Partial;
    frames = [WORKER_HEADERS[Dialect.Shoal], commandFrame(command), envelope[0] as Buffer];
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

/** The handler failed; in the third dialect only. */
export function failureMessage(tag: Buffer, reason: string, text: string): Frames {
  return [WORKER_HEADERS[Dialect.Shoal], commandFrame(WorkerCommand.Failure), tag, reason, text];
}
