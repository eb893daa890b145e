/**
 * 9/TSP, the Titanic Service Protocol: three services, each asked over Majordomo.
 *
 *   titanic.request   service | body…   ->  200 | UUID            500
 *   titanic.reply     UUID              ->  200 | reply's body…   300   400   500
 *   titanic.close     UUID              ->  200                   500
 *
 * RFC 9 shows statuses with a text ("200 OK"); the Guide's clients take only the
 * three digits, and so only those are sent.
 */
import { formatUuid, parseUuid } from "./uuid.js";

/** The names of the three services. */
export const TITANIC_SERVICES = {
  request: "titanic.request",
  reply: "titanic.reply",
  close: "titanic.close",
} as const;

/** The status frames (9/TSP, Status Frames). */
export const TitanicStatus = {
  /** Done. */
  OK: "200",
  /** Stored, and not answered yet. */
  PENDING: "300",
  /** No such request: never stored, closed, or expired. */
  UNKNOWN: "400",
  /** The service could not do it: nothing was stored, or the record is damaged. */
  ERROR: "500",
} as const;
export type TitanicStatus = (typeof TitanicStatus)[keyof typeof TitanicStatus];

/** Bytes of a service name: what Majordomo's brokers take, and what fits a store's key. */
export const MAX_SERVICE_NAME = 255;

/** Services that answer at once, and are no use to store for: the broker's own and Titanic's. */
const RESERVED = ["mmi.", "titanic."];

/** What `titanic.request` asks. */
export interface RequestCommand {
  readonly service: Buffer;
  /** 1 or more frames. */
  readonly body: readonly Buffer[];
}

/** The command in the body of a `titanic.request`, or why there is none. */
export function parseRequest(frames: readonly Buffer[]): RequestCommand | string {
  const [service, ...body] = frames;
  if (service === undefined || service.length === 0) return "the service's name is empty";
  if (service.length > MAX_SERVICE_NAME)
    return `the service's name has ${service.length} bytes, ${MAX_SERVICE_NAME} at most`;
  if (body.length === 0) return "the request has no body";
  const name = service.toString("latin1");
  if (RESERVED.some((prefix) => name.startsWith(prefix))) return "the service's name is reserved";
  return { service, body };
}

/** The UUID in the body of a `titanic.reply` or `titanic.close`: exactly one frame; `undefined` for anything else. */
export function parseReference(frames: readonly Buffer[]): Buffer | undefined {
  return frames.length === 1 ? parseUuid(frames[0] as Buffer) : undefined;
}

/** The answer to a request that was stored. */
export function stored(uuid: Uint8Array): Buffer[] {
  return [Buffer.from(TitanicStatus.OK), Buffer.from(formatUuid(uuid))];
}

/** The answer that is a status, with the reply's body where there is one. */
export function answer(status: TitanicStatus, body: readonly Buffer[] = []): Buffer[] {
  return [Buffer.from(status), ...body];
}

/** The status of an answer, or `undefined` when it is none. Takes "200 OK", too, as RFC 9 writes it. */
export function parseStatus(frame: Uint8Array | undefined): TitanicStatus | undefined {
  if (frame === undefined) return undefined;
  const text = Buffer.from(frame).toString("latin1");
  const digits = text.slice(0, 3);
  if (text.length > 3 && text[3] !== " ") return undefined;
  return Object.values(TitanicStatus).find((status) => status === digits);
}
