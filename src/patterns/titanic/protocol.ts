/**
 * 9/TSP, the Titanic Service Protocol: three services over Majordomo.
 *
 *   titanic.request   service | body…                ->  200 | UUID            500   502
 *   titanic.reply     UUID                           ->  200 | reply's body…   300   400   500   503 | reason
 *   titanic.close     UUID                           ->  200                   500   502
 *
 * shoal's extension: the client makes the UUID, and a known one is not stored again.
 *
 *   titanic.store     UUID | service | body…         ->  200 | UUID            500   502
 *
 * RFC 9 shows statuses with a text ("200 OK"); the Guide's clients accept only three digits.
 */
import { isUtf8 } from "node:buffer";
import crypto from "node:crypto";
import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";

export const TITANIC_SERVICES = {
  request: "titanic.request",
  reply: "titanic.reply",
  close: "titanic.close",
  store: "titanic.store",
} as const;

/** Status frames (9/TSP, Status Frames). */
export const TitanicStatus = {
  /** Done. */
  OK: "200",
  /** Stored, not answered yet. */
  PENDING: "300",
  /** Never stored, closed, or expired. */
  UNKNOWN: "400",
  /** Nothing was stored, or the record is damaged. */
  ERROR: "500",
  /** The store's answer was lost, so the outcome is unknown. */
  UNCERTAIN: "502",
  /** Dead letter after `maxAttempts`; a frame has the reason. */
  DEAD: "503",
} as const;

export type TitanicStatus = (typeof TitanicStatus)[keyof typeof TitanicStatus];

/** Bytes: Majordomo's limit, which fits a store's key. */
export const MAX_SERVICE_NAME = 255;

/** Prefixes of services that answer at once. */
const RESERVED = ["mmi.", "titanic."];

export const SERVICE_NAME_RULE = `must be a text of 1 to ${MAX_SERVICE_NAME} bytes that does not begin with ${RESERVED.join(" or ")}`;

export function isServiceName(name: Buffer | string): boolean {
  if (name.length === 0 || Buffer.byteLength(name) > MAX_SERVICE_NAME) return false;
  const text = typeof name === "string" ? name : name.toString("latin1");
  return !RESERVED.some((prefix) => text.startsWith(prefix));
}

export interface StoreCommand {
  readonly uuid: Buffer;
  readonly service: Buffer;
  readonly body: readonly Buffer[];
}

/**
 * Parses what follows the UUID in a `titanic.store`, or a whole `titanic.request`.
 *
 * @param uuid `undefined` if the client's is malformed
 * @returns a text: why it is invalid
 */
export function parseRequest(uuid: Buffer | undefined, frames: readonly Buffer[]): StoreCommand | string {
  const [service] = frames;
  if (uuid === undefined) return "the UUID is not 32 hexadecimal digits";
  if (service === undefined || !isServiceName(service))
    return `the service's name ${SERVICE_NAME_RULE}; got ${quoted(String(service ?? ""))}`;
  if (!isUtf8(service)) return "the service's name is not UTF-8";
  if (frames.length === 1) return "the request has no body";
  return { uuid, service, body: frames.slice(1) };
}

/** UUID of a `titanic.reply` or `titanic.close`. */
export function parseReference(frames: readonly Buffer[]): Buffer | undefined {
  return frames.length === 1 ? parseUuid(frames[0]) : undefined;
}

/** Accepts "200 OK", as in RFC 9. */
export function parseStatus(frame: Buffer | undefined): TitanicStatus | undefined {
  if (frame === undefined || (frame.length > 3 && frame[3] !== SPACE)) return undefined;
  const digits = frame.toString("latin1", 0, 3);
  return STATUSES.find((status) => status === digits);
}

const STATUSES = Object.values(TitanicStatus);

const SPACE = 0x20;

/*
 * UUID of a stored request (9/TSP, Status Frames).
 *
 *   6 bytes  ms since 1970, big-endian        so that names are in order of time
 *   2 bytes  counter within the millisecond
 *   8 bytes  random                           so that nobody guesses another's
 *
 * On the wire: 32 upper-case hexadecimal digits; lower case is accepted. In order of time they append to a store's
 * tree; random ones would rewrite as many pages per commit as it has records.
 */

export const UUID_BYTES = 16;

const TEXT = /^[0-9a-fA-F]{32}$/;

const COUNTER_LIMIT = 0x1_0000;

/** In increasing order, even when the clock is set back. */
export class UuidSource {
  #time = 0;
  #counter = 0;

  /** @param now ms since 1970 */
  next(now: number): Buffer {
    return Buffer.from(this.nextText(now), "hex");
  }

  nextText(now: number): string {
    const time = Math.floor(now);
    if (time > this.#time) {
      this.#time = time;
      this.#counter = 0;
    } else if (++this.#counter === COUNTER_LIMIT) {
      this.#time += 1;
      this.#counter = 0;
    }
    const ordered = (COUNTER_LIMIT + this.#counter).toString(16).slice(1);
    // Digits that are random in each UUID of version 4.
    const random = crypto.randomUUID();
    const text = `${this.#time.toString(16).padStart(12, "0")}${ordered}${random.slice(0, 4)}${random.slice(-12)}`;
    return text.toUpperCase();
  }
}

export function formatUuid(uuid: Buffer): string {
  return uuid.toString("hex").toUpperCase();
}

/** @returns `undefined` for anything but 32 hexadecimal digits */
export function parseUuid(frame: Buffer | string | undefined): Buffer | undefined {
  if (frame?.length !== 2 * UUID_BYTES) return undefined;
  const text = frame.toString();
  return TEXT.test(text) ? Buffer.from(text, "hex") : undefined;
}

/** @throws InvalidArgumentError `EINVAL` for anything but 32 hexadecimal digits */
export function checkedUuid(text: unknown): Buffer {
  const uuid = typeof text === "string" ? parseUuid(text) : undefined;
  if (uuid !== undefined) return uuid;
  throw new InvalidArgumentError(`uuid must be 32 hexadecimal digits; got ${quoted(text)}`);
}
