/**
 * What a client and a broker say to each other, built and parsed at both ends (forms: protocol.ts). A client's first
 * question, which a worker asks, too, is here: `negotiation`.
 */
import { ERROR_MARK } from "../kit/errors.js";

import {
  answerHead,
  CLIENT_ID,
  clientSignal,
  commandOf,
  countedHead,
  countIn,
  headersLength,
  isCountable,
  isNumbered,
  isRunHead,
  MAX_HEADERS,
  MAX_PLAIN_HEAD,
  runBase,
  sequenceIn,
  serviceEnd,
  serviceIn,
  serviceStart,
} from "./header.js";
import {
  CLIENT_HEADERS,
  ClientCommand,
  commandFrame,
  Dialect,
  EMPTY,
  type Frames,
  framesFrom,
  headerOf,
  LEVEL,
  MAX_SERVICE_NAME,
  NEGOTIATION,
  SERVING,
  WORKER_HEADERS,
} from "./protocol.js";

import { isRun, RunEntry } from "./runs.js";

/** The most frequent heartbeats that a broker may ask for, in ms. */
const MIN_INTERVAL = 10;

/** The broker's answer to the question whether it knows the third dialect. */
export interface Negotiated {
  readonly kind: "negotiated";
  readonly extended: boolean;
  /** Which life of the broker this is; empty for a plain one. */
  readonly incarnation: Buffer;
  /** Level of the third dialect that both ends know. */
  readonly level: number;
  /** ms between the heartbeats that the broker expects; 0: it does not say. */
  readonly heartbeatInterval: number;
}

/** Asks the broker, as a client of 0.1, whether it knows the third dialect. The body says who asks. */
export function negotiation(role: "client" | "worker" = "client"): Frames {
  const headers = role === "client" ? CLIENT_HEADERS : WORKER_HEADERS;
  return [EMPTY, CLIENT_HEADERS[Dialect.Mdp01], NEGOTIATION, headers[Dialect.Shoal]];
}

/** Asks a broker whether it takes requests; in a negotiation's place where that would be too much (client-fail-back.ts). */
export function servingQuestion(): Frames {
  return plainRequest(Dialect.Mdp01, SERVING, [EMPTY]);
}

/** Reads the answer to {@link negotiation}; `undefined` for another message of a client. */
export function parseNegotiated(frames: readonly Buffer[], dialect: Dialect): Negotiated | undefined {
  if (dialect !== Dialect.Mdp01 || frames[2]?.equals(NEGOTIATION) !== true) return undefined;
  const extended = frames[3]?.toString() === "200" && frames[4]?.length === 8;
  if (!extended) return { kind: "negotiated", extended, incarnation: EMPTY, level: 0, heartbeatInterval: 0 };
  const heartbeatInterval = Number(frames[5]?.toString("latin1", 0, 10)) || 0;
  return {
    kind: "negotiated",
    extended,
    incarnation: frames[4] as Buffer,
    level: levelIn(frames[7]),
    heartbeatInterval,
  };
}

/** The level that an end and this one know. @param frame absent from an end of level 1 */
export function levelIn(frame: Buffer | undefined): number {
  return frame?.length === 1 ? Math.max(1, Math.min(LEVEL, frame[0] as number)) : 1;
}

/** ms between the heartbeats to a broker: as often as either end wants, within reason. */
export function beatInterval(own: number, expected: number): number {
  return expected > 0 ? Math.min(own, Math.max(expected, MIN_INTERVAL)) : own;
}

/** A request in MDP. The third dialect's: {@link requestHead}. */
export function plainRequest(dialect: Dialect, service: Buffer, body: readonly (Buffer | string)[]): Frames {
  const frames: Frames =
    dialect === Dialect.Mdp02
      ? [CLIENT_HEADERS[dialect], commandFrame(ClientCommand.Request), service]
      : [EMPTY, CLIENT_HEADERS[Dialect.Mdp01], service];
  for (let i = 0; i < body.length; i++) frames.push(body[i] as Buffer | string);
  return frames;
}

/** @param head from {@link requestHead} */
export function extendedRequest(head: Buffer, body: readonly (Buffer | string)[]): Frames {
  if (body.length === 1) return [head, body[0] as Buffer | string];
  return [head, ...body];
}

/** @param request the head of the request that is given up */
export function cancelMessage(request: Buffer): Frames {
  return [answerHead(ClientCommand.Cancel, request)];
}

/** The request's reader has read so many bytes, or its client has room for so many more. @param request its head */
export function creditMessage(request: Buffer, bytes: number): Frames {
  return [countedHead(ClientCommand.Credit, request, bytes)];
}

export function heartbeatMessage(): Frames {
  return [clientSignal(ClientCommand.Heartbeat)];
}

/** A client asks a service. */
export class RequestCommand {
  readonly kind = "request" as const;
  readonly dialect: Dialect;
  /** With an id, in the third dialect; empty for a plain client. */
  readonly head: Buffer;
  /** The whole message; the body begins at `bodyAt`. */
  readonly frames: Buffer[];
  readonly bodyAt: number;

  constructor(dialect: Dialect, head: Buffer, frames: Buffer[], bodyAt: number) {
    this.dialect = dialect;
    this.head = head;
    this.frames = frames;
    this.bodyAt = bodyAt;
  }

  get service(): Buffer {
    return this.head.length > 0 ? serviceIn(this.head) : (this.frames[this.bodyAt - 1] as Buffer);
  }

  get body(): Buffer[] {
    return framesFrom(this.frames, this.bodyAt);
  }
}

/** A client asks a service several times in one message. */
export class RunCommand {
  readonly kind = "requests";
  readonly dialect: Dialect = Dialect.Shoal;
  readonly head: Buffer;
  readonly index: Buffer;
  readonly bodies: Buffer;

  constructor(head: Buffer, index: Buffer, bodies: Buffer) {
    this.head = head;
    this.index = index;
    this.bodies = bodies;
  }

  get service(): Buffer {
    return serviceIn(this.head);
  }
}

/** What a broker receives from its clients. */
export type FromClient =
  | RequestCommand
  | RunCommand
  | { readonly kind: "cancel"; readonly head: Buffer }
  | { readonly kind: "credit"; readonly head: Buffer; readonly bytes: number }
  | { readonly kind: "client-heartbeat" }
  | Fault;

/** A message that no version of the protocol allows. `worker`: the dialect of the worker that sent it, which gets DISCONNECT. */
export interface Fault {
  readonly kind: "fault";
  readonly reason: MajordomoFaultReason;
  readonly worker: Dialect | undefined;
}

/** What is wrong with a message. */
export type MajordomoFaultReason =
  | "frames"
  | "header"
  | "command"
  | "service"
  | "body"
  | "id"
  | "tag"
  | "capacity"
  | "headers";

export function parsePlainClient(frames: Buffer[], next: number, dialect: Dialect): FromClient {
  let at = next;
  if (dialect === Dialect.Mdp02) {
    if (byteOf(frames[at]) !== ClientCommand.Request) return fault("command", undefined);
    at += 1;
  }
  if (!isServiceName(frames[at])) return fault("service", undefined);
  if (frames.length === at + 1) return fault("body", undefined);
  return new RequestCommand(dialect, EMPTY, frames, at + 1);
}

export function parseExtendedClient(frames: Buffer[], head: Buffer): FromClient {
  const command = commandOf(head);
  switch (command) {
    case ClientCommand.Request: {
      if (!isNumbered(head, false)) return fault("id", undefined);
      if (!isNumbered(head, true) || head.length > MAX_PLAIN_HEAD) return fault("service", undefined);
      if (frames.length < 3) return fault("body", undefined);
      return new RequestCommand(Dialect.Shoal, head, frames, 2);
    }
    case ClientCommand.RequestWith: {
      if (!isNumbered(head, false)) return fault("id", undefined);
      if (!isNumbered(head, true) || serviceStart(head) === serviceEnd(head))
        return fault("service", undefined);
      const headers = headersLength(head);
      if (headers < 0 || headers > MAX_HEADERS) return fault("headers", undefined);
      if (frames.length < 3) return fault("body", undefined);
      return new RequestCommand(Dialect.Shoal, head, frames, 2);
    }
    case ClientCommand.Requests: {
      if (!isNumbered(head, false) || !isCountable(head)) return fault("id", undefined);
      if (!isRunHead(head)) return fault("service", undefined);
      if (!isRun(frames, 2, RunEntry.Request)) return fault("body", undefined);
      return new RunCommand(head, frames[2] as Buffer, frames[3] as Buffer);
    }
    case ClientCommand.Cancel:
      return isNumbered(head, false) ? { kind: "cancel", head } : fault("id", undefined);
    case ClientCommand.Credit:
      return isNumbered(head, false)
        ? { kind: "credit", head, bytes: countIn(head) }
        : fault("id", undefined);
    case ClientCommand.Heartbeat:
      return { kind: "client-heartbeat" };
    default:
      return fault("command", undefined);
  }
}

/** Whom an answer goes to, and what it is an answer to. */
export interface ReplyTarget {
  readonly client: Buffer;
  readonly dialect: Dialect;
  /** The request's head; empty for a plain client. */
  readonly head: Buffer;
}

/**
 * A piece of the answer, or its end, to a client. 0.1 has the latter only.
 *
 * @param frames the body begins at `at`
 * @param pieces that were sent before
 * @param reuse its head is copied before the next one is made
 */
export function answer(
  { client, dialect, head }: ReplyTarget,
  final: boolean,
  service: Buffer,
  frames: readonly Buffer[],
  at: number,
  pieces = 0,
  reuse = false,
): Frames {
  const command = final ? ClientCommand.Final : ClientCommand.Partial;
  let message: Frames;
  if (dialect === Dialect.Shoal) {
    const bare = final && pieces === 0;
    const first = bare ? answerHead(command, head, reuse) : countedHead(command, head, pieces);
    if (frames.length === at + 1) return [client, first, frames[at] as Buffer];
    message = [client, first];
  } else if (dialect === Dialect.Mdp02) {
    message = [client, CLIENT_HEADERS[Dialect.Mdp02], commandFrame(command), service];
  } else message = [client, EMPTY, CLIENT_HEADERS[Dialect.Mdp01], service];
  for (let i = at; i < frames.length; i++) message.push(frames[i] as Buffer);
  // 0.1 and 0.2 have no answer without a body.
  if (dialect !== Dialect.Shoal && at >= frames.length) message.push(EMPTY);
  return message;
}

/** There will be no answer; to a plain client in the form of an answer. */
export function refusal(
  to: ReplyTarget,
  service: Buffer,
  reason: string,
  text: string,
  details?: Buffer,
): Frames {
  if (to.dialect === Dialect.Shoal)
    return details === undefined
      ? [to.client, answerHead(ClientCommand.Error, to.head), reason, text]
      : [to.client, answerHead(ClientCommand.Error, to.head), reason, text, details];
  return answer(to, true, service, [ERROR_MARK, Buffer.from(reason), Buffer.from(text)], 0);
}

/** Whether a request waits because no worker offers the service. */
export function waiting({ client, head }: ReplyTarget, noWorkers: boolean): Frames {
  return [client, answerHead(ClientCommand.Waiting, head), commandFrame(noWorkers ? 1 : 0)];
}

/** The broker lives, and which life it is. */
/** In the place of the broker's incarnation: it gave the client up, and dropped what that had asked for. */
export const FORGOTTEN: Buffer = EMPTY;

export function clientHeartbeat(to: Buffer, incarnation: Buffer): Frames {
  return [to, clientSignal(ClientCommand.Heartbeat), incarnation];
}

export type ClientInput =
  /** A piece of an answer, or its end. `sequence`: the number in the request's id; -1 from a plain broker. */
  | {
      readonly kind: "answer";
      readonly final: boolean;
      readonly sequence: number;
      /** Pieces that were sent before; -1 from a plain broker, which does not say. */
      readonly pieces: number;
      /** From a plain broker only. */
      readonly service: Buffer;
      readonly body: Buffer[];
    }
  | {
      readonly kind: "error";
      readonly sequence: number;
      readonly reason: string;
      readonly text: string;
      /** Code and data of the handler's error (kit/errors.ts). */
      readonly details: Buffer | undefined;
    }
  /** Answers, each whole. */
  | {
      readonly kind: "answers";
      /** What their numbers are added to. */
      readonly base: number;
      readonly index: Buffer;
      readonly bodies: Buffer;
    }
  | { readonly kind: "heartbeat"; readonly incarnation: Buffer }
  /** Whether the request waits because no worker offers its service. */
  | { readonly kind: "waiting"; readonly sequence: number; readonly noWorkers: boolean }
  | Negotiated
  | { readonly kind: "fault" };

const CLIENT_FAULT: ClientInput = { kind: "fault" };

export function parseAtClient(frames: readonly Buffer[]): ClientInput {
  const start = frames[0]?.length === 0 ? 1 : 0;
  const header = headerOf(frames[start]);
  if (header?.role !== "client") return CLIENT_FAULT;
  const { dialect } = header;
  if ((dialect === Dialect.Mdp01) !== (start === 1)) return CLIENT_FAULT;
  if (dialect === Dialect.Mdp01) return parseNegotiated(frames, dialect) ?? parsePlainAnswer(frames, 2, true);
  if (dialect === Dialect.Mdp02) {
    const command = byteOf(frames[1]);
    const final = command === ClientCommand.Final;
    return final || command === ClientCommand.Partial ? parsePlainAnswer(frames, 2, final) : CLIENT_FAULT;
  }
  return parseExtendedAtClient(frames, frames[0] as Buffer);
}

function parsePlainAnswer(frames: readonly Buffer[], at: number, final: boolean): ClientInput {
  const service = frames[at];
  if (service === undefined || frames.length === at + 1) return CLIENT_FAULT;
  return { kind: "answer", final, sequence: -1, pieces: -1, service, body: frames.slice(at + 1) };
}

function parseExtendedAtClient(frames: readonly Buffer[], head: Buffer): ClientInput {
  const command = commandOf(head);
  if (command === ClientCommand.Heartbeat) {
    return frames.length === 2 ? { kind: "heartbeat", incarnation: frames[1] as Buffer } : CLIENT_FAULT;
  }
  if (!isNumbered(head, false)) return CLIENT_FAULT;
  const sequence = sequenceIn(head, CLIENT_ID);
  switch (command) {
    case ClientCommand.Partial:
    case ClientCommand.Final: {
      const final = command === ClientCommand.Final;
      return {
        kind: "answer",
        final,
        sequence,
        pieces: countIn(head),
        service: EMPTY,
        body: framesFrom(frames, 1),
      };
    }
    case ClientCommand.Answers:
      if (!isRun(frames, 1, RunEntry.Answer)) return CLIENT_FAULT;
      return {
        kind: "answers",
        base: runBase(head),
        index: frames[1] as Buffer,
        bodies: frames[2] as Buffer,
      };
    case ClientCommand.Error:
      return {
        kind: "error",
        sequence,
        reason: String(frames[1]),
        text: String(frames[2]),
        details: frames[3],
      };
    case ClientCommand.Waiting:
      return { kind: "waiting", sequence, noWorkers: byteOf(frames[1]) === 1 };
    default:
      return CLIENT_FAULT;
  }
}

export function isServiceName(frame: Buffer | undefined): frame is Buffer {
  return frame !== undefined && frame.length > 0 && frame.length <= MAX_SERVICE_NAME;
}

export function byteOf(frame: Buffer | undefined): number {
  return frame?.length === 1 ? (frame[0] as number) : 0;
}

export function fault(reason: MajordomoFaultReason, worker: Dialect | undefined): Fault {
  return { kind: "fault", reason, worker };
}
