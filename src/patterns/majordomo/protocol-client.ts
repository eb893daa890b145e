/** What a client's DEALER receives and sends (forms: protocol.ts). */

import {
  answerHead,
  CLIENT_ID,
  clientSignal,
  commandOf,
  countedHead,
  countIn,
  isNumbered,
  sequenceIn,
} from "./heads.js";
import type { Frames } from "./messages-broker.js";
import { CLIENT_HEADERS, ClientCommand, commandFrame, Dialect, EMPTY, headerOf } from "./protocol.js";
import { type Negotiated, parseNegotiated } from "./protocol-worker.js";

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
  | { readonly kind: "error"; readonly sequence: number; readonly reason: string; readonly text: string }
  | { readonly kind: "asked"; readonly sequence: number; readonly workers: string[] }
  | {
      readonly kind: "one";
      readonly sequence: number;
      readonly worker: string;
      readonly ok: boolean;
      readonly body: Buffer[];
    }
  | { readonly kind: "heartbeat"; readonly incarnation: Buffer }
  /** Whether the request waits because no worker offers its service. */
  | { readonly kind: "waiting"; readonly sequence: number; readonly unserved: boolean }
  | Negotiated
  | { readonly kind: "fault" };

const FAULT: ClientInput = { kind: "fault" };

export function parseAtClient(frames: readonly Buffer[]): ClientInput {
  const start = frames[0]?.length === 0 ? 1 : 0;
  const header = headerOf(frames[start]);
  if (header?.role !== "client") return FAULT;
  const { dialect } = header;
  if ((dialect === Dialect.Mdp01) !== (start === 1)) return FAULT;
  if (dialect === Dialect.Mdp01) return parseNegotiated(frames, dialect) ?? parsePlain(frames, 2, true);
  if (dialect === Dialect.Mdp02) {
    const command = byteOf(frames[1]);
    const final = command === ClientCommand.Final;
    return final || command === ClientCommand.Partial ? parsePlain(frames, 2, final) : FAULT;
  }
  return parseExtended(frames, frames[0] as Buffer);
}

function parsePlain(frames: readonly Buffer[], at: number, final: boolean): ClientInput {
  const service = frames[at];
  if (service === undefined || frames.length === at + 1) return FAULT;
  return { kind: "answer", final, sequence: -1, pieces: -1, service, body: frames.slice(at + 1) };
}

function parseExtended(frames: readonly Buffer[], head: Buffer): ClientInput {
  const command = commandOf(head);
  if (command === ClientCommand.Heartbeat) {
    return frames.length === 2 ? { kind: "heartbeat", incarnation: frames[1] as Buffer } : FAULT;
  }
  if (!isNumbered(head, false)) return FAULT;
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
        body: frames.slice(1),
      };
    }
    case ClientCommand.Error:
      return { kind: "error", sequence, reason: String(frames[1]), text: String(frames[2]) };
    case ClientCommand.Asked:
      return { kind: "asked", sequence, workers: frames.slice(1).map(String) };
    case ClientCommand.Answer:
      if (frames.length < 3) return FAULT;
      return {
        kind: "one",
        sequence,
        worker: String(frames[1]),
        ok: byteOf(frames[2]) === 1,
        body: frames.slice(3),
      };
    case ClientCommand.Waiting:
      return { kind: "waiting", sequence, unserved: byteOf(frames[1]) === 1 };
    default:
      return FAULT;
  }
}

function byteOf(frame: Buffer | undefined): number {
  return frame?.length === 1 ? (frame[0] as number) : 0;
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
