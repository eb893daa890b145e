/** What a client's DEALER receives and sends (forms: protocol.ts). */
import type { Frames } from "./messages-broker.js";
import {
  CLIENT_HEADERS,
  ClientCommand,
  commandFrame,
  Dialect,
  EMPTY,
  headerOf,
  ID_LENGTH,
} from "./protocol.js";
import { type Negotiated, parseNegotiated } from "./protocol-worker.js";

export type ClientInput =
  /** A piece of an answer, or its end. `sequence`: the number in the request's id; -1 from a plain broker. */
  | {
      readonly kind: "answer";
      readonly final: boolean;
      readonly sequence: number;
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
  const command = byteOf(frames[1]);
  if (dialect === Dialect.Mdp02) {
    const final = command === ClientCommand.Final;
    return final || command === ClientCommand.Partial ? parsePlain(frames, 2, final) : FAULT;
  }
  return parseExtended(frames, command);
}

function parsePlain(frames: readonly Buffer[], at: number, final: boolean): ClientInput {
  const service = frames[at];
  if (service === undefined || frames.length === at + 1) return FAULT;
  return { kind: "answer", final, sequence: -1, service, body: frames.slice(at + 1) };
}

function parseExtended(frames: readonly Buffer[], command: number): ClientInput {
  const third = frames[2];
  if (third === undefined) return FAULT;
  if (command === ClientCommand.Heartbeat) return { kind: "heartbeat", incarnation: third };
  if (third.length !== ID_LENGTH) return FAULT;
  const sequence = sequenceOf(third);
  switch (command) {
    case ClientCommand.Partial:
    case ClientCommand.Final: {
      const final = command === ClientCommand.Final;
      return { kind: "answer", final, sequence, service: EMPTY, body: frames.slice(3) };
    }
    case ClientCommand.Error:
      return { kind: "error", sequence, reason: String(frames[3]), text: String(frames[4]) };
    case ClientCommand.Asked:
      return { kind: "asked", sequence, workers: frames.slice(3).map(String) };
    case ClientCommand.Answer:
      if (frames.length < 5) return FAULT;
      return {
        kind: "one",
        sequence,
        worker: String(frames[3]),
        ok: byteOf(frames[4]) === 1,
        body: frames.slice(5),
      };
    default:
      return FAULT;
  }
}

function byteOf(frame: Buffer | undefined): number {
  return frame?.length === 1 ? (frame[0] as number) : 0;
}

/** An id: 8 bytes of the client's own, and the request's number. */
export function idOf(clientKey: Buffer, sequence: number): Buffer {
  const id = Buffer.allocUnsafe(ID_LENGTH);
  clientKey.copy(id, 0);
  id.writeUInt32BE(Math.floor(sequence / 0x1_0000_0000), 8);
  id.writeUInt32BE(sequence >>> 0, 12);
  return id;
}

function sequenceOf(id: Buffer): number {
  return id.readUInt32BE(8) * 0x1_0000_0000 + id.readUInt32BE(12);
}

export function requestMessage(
  dialect: Dialect,
  all: boolean,
  id: Buffer,
  service: Buffer,
  body: readonly (Buffer | string)[],
): Frames {
  let frames: Frames;
  if (dialect === Dialect.Shoal) {
    const command = commandFrame(all ? ClientCommand.AskAll : ClientCommand.Request);
    frames = [CLIENT_HEADERS[dialect], command, id, service];
  } else if (dialect === Dialect.Mdp02) {
    frames = [CLIENT_HEADERS[dialect], commandFrame(ClientCommand.Request), service];
  } else frames = [EMPTY, CLIENT_HEADERS[dialect], service];
  for (let i = 0; i < body.length; i++) frames.push(body[i] as Buffer | string);
  return frames;
}

export function cancelMessage(id: Buffer): Frames {
  return [CLIENT_HEADERS[Dialect.Shoal], commandFrame(ClientCommand.Cancel), id];
}

export function heartbeatMessage(): Frames {
  return [CLIENT_HEADERS[Dialect.Shoal], commandFrame(ClientCommand.Heartbeat)];
}
