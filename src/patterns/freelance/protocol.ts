/**
 * The three models of 10/FLP and the Guide. A server's ROUTER sees:
 *
 *   model 1   client | "" | body…             ->  client | "" | reply…
 *   model 2   client | "" | sequence | body…  ->  client | "" | sequence | reply…
 *   model 3   client | control | body…        ->  client | control | reply…
 *             client | PING                   ->  client | PONG
 *
 * Servers return a sequence unchanged. In model 3 a client is a ROUTER, too, and identifies a server by its Identity:
 * the endpoint, byte for byte as dialled (10/FLP, Routing). The Guide's Python client has an empty frame between
 * control and body; here it is the body's first frame.
 *
 * A failed handler's reply:
 *
 *   model 1, 3   ERROR | text
 *   model 2      ERROR           the Guide's client takes exactly one frame there
 *
 * With the text STOPPING the server closes or drains, and the request goes to another.
 */
import { Envelope } from "../../sockets/envelope.js";
import type { MessageLike } from "../../sockets/message.js";

export type FreelanceModel = 1 | 2 | 3;

export const PING: Buffer = Buffer.from("PING");
export const PONG: Buffer = Buffer.from("PONG");
const ERROR = Buffer.from("ERROR");
const EMPTY = Buffer.alloc(0);
export const STOPPING = "stopping";

export type ServerCommand =
  | {
      readonly type: "request";
      readonly head: readonly Buffer[];
      readonly client: Buffer;
      readonly body: Buffer[];
    }
  | { readonly type: "ping"; readonly client: Buffer };

export type ClientCommand =
  | { readonly type: "pong" }
  | { readonly type: "reply"; readonly sequence: number; readonly body: Buffer[] };

/** @returns `undefined` for a message outside the model */
export function parseServerMessage(
  model: FreelanceModel,
  frames: readonly Buffer[],
): ServerCommand | undefined {
  const [client] = frames;
  if (client === undefined || client.length === 0) return undefined;
  if (model === 3) {
    const [, control, ...body] = frames;
    if (control === undefined || control.length === 0) return undefined;
    if (body.length > 0) return { type: "request", head: [client, control], client, body };
    return control.equals(PING) ? { type: "ping", client } : undefined;
  }
  const { envelope, body } = Envelope.parse(frames);
  if (!envelope.delimited) return undefined;
  const hops = [...envelope.hops, EMPTY];
  if (model === 1) return body.length === 0 ? undefined : { type: "request", head: hops, client, body };
  const [sequence, ...rest] = body;
  if (sequence === undefined || rest.length === 0) return undefined;
  return { type: "request", head: [...hops, sequence], client, body: rest };
}

export function errorReply(model: FreelanceModel, text: string): MessageLike[] {
  return model === 2 ? [ERROR] : [ERROR, text];
}

/** Without the server's routing id; `undefined` if invalid. */
export function parseClientMessage(frames: readonly Buffer[]): ClientCommand | undefined {
  const [control, ...body] = frames;
  if (control === undefined) return undefined;
  if (control.equals(PONG)) return body.length === 0 ? { type: "pong" } : undefined;
  const sequence = parseSequence(control);
  if (sequence === undefined || body.length === 0) return undefined;
  return { type: "reply", sequence, body };
}

/** Decimal digits. */
export function parseSequence(frame: Buffer): number | undefined {
  const text = frame.toString("latin1");
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** @returns text of a failed handler's reply */
export function errorTextOf(model: FreelanceModel, body: readonly Buffer[]): string | undefined {
  if (body.length !== (model === 2 ? 1 : 2) || body[0]?.equals(ERROR) !== true) return undefined;
  return body[1]?.toString() ?? "";
}
