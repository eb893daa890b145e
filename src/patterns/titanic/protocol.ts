/**
 * 9/TSP, the Titanic Service Protocol: three services, each asked over Majordomo.
 *
 *   titanic.request   service | body…                ->  200 | UUID            500   502
 *   titanic.reply     UUID                           ->  200 | reply's body…   300   400   500   503 | reason
 *   titanic.close     UUID                           ->  200                   500   502
 *
 * shoal's own, for requests that can be repeated: the client makes the UUID, and
 * one that is known already is stored no second time. The time to live is ms in
 * decimal digits; an empty frame leaves it to Titanic.
 *
 *   titanic.store     UUID | ttl | service | body…   ->  200 | UUID            500   502
 *
 * RFC 9 shows statuses with a text ("200 OK"); the Guide's clients take only the
 * three digits, and so only those are sent.
 */
import crypto from "node:crypto";

/** The names of the services. */
export const TITANIC_SERVICES = {
  request: "titanic.request",
  reply: "titanic.reply",
  close: "titanic.close",
  store: "titanic.store",
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
  /** The store's answer was lost: whether it did it is not known. Ask again; with `titanic.store` that finds out. */
  UNCERTAIN: "502",
  /** The request failed as often as it may, and is a dead letter; a frame says why. */
  DEAD: "503",
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

/** The command in the body of a `titanic.request`, or why it has none. @param at where it begins */
export function parseRequest(frames: readonly Buffer[], at = 0): RequestCommand | string {
  const service = frames[at];
  if (service === undefined || service.length === 0) return "the service's name is empty";
  if (service.length > MAX_SERVICE_NAME)
    return `the service's name has ${service.length} bytes, ${MAX_SERVICE_NAME} at most`;
  if (frames.length === at + 1) return "the request has no body";
  const name = service.toString("latin1");
  for (const prefix of RESERVED) if (name.startsWith(prefix)) return "the service's name is reserved";
  return { service, body: frames.slice(at + 1) };
}

/** What `titanic.store` asks. */
export interface StoreCommand extends RequestCommand {
  readonly uuid: Buffer;
  /** ms; `undefined`: Titanic's. */
  readonly ttl: number | undefined;
}

const TTL = /^[0-9]{1,15}$/;

/** The body of a `titanic.store`. @param uuid 32 hexadecimal digits */
export function storeBody<T>(uuid: string, ttl: number | undefined, request: readonly T[]): (T | string)[] {
  return [uuid, ttl === undefined ? "" : String(ttl), ...request];
}

/** The command in the body of a `titanic.store`, or why it has none. */
export function parseStore(frames: readonly Buffer[]): StoreCommand | string {
  const [first, time] = frames;
  const uuid = first === undefined ? undefined : parseUuid(first);
  if (uuid === undefined) return "the UUID is not 32 hexadecimal digits";
  const text = time?.toString("latin1") ?? "-";
  if (text !== "" && !TTL.test(text)) return "the time to live is not a whole number of ms";
  const request = parseRequest(frames, 2);
  if (typeof request === "string") return request;
  const { service, body } = request;
  return { uuid, ttl: text === "" ? undefined : Number(text), service, body };
}

/** The UUID in the body of a `titanic.reply` or `titanic.close`: exactly one frame; `undefined` for anything else. */
export function parseReference(frames: readonly Buffer[]): Buffer | undefined {
  return frames.length === 1 ? parseUuid(frames[0] as Buffer) : undefined;
}

/** The answer to a request that was stored. */
export function stored(uuid: Uint8Array): string[] {
  return [TitanicStatus.OK, formatUuid(uuid)];
}

/** The answer that is a status, with the reply's body where there is one. */
export function answer(status: TitanicStatus, body: readonly Buffer[] = []): (Buffer | string)[] {
  return [status, ...body];
}

/** The status of an answer, or `undefined` for what is not an answer. Takes "200 OK", too, as RFC 9 writes it. */
export function parseStatus(frame: Uint8Array | undefined): TitanicStatus | undefined {
  if (frame === undefined) return undefined;
  if (frame.length > 3 && frame[3] !== SPACE) return undefined;
  const digits = latin1(frame, 3);
  return STATUSES.find((status) => status === digits);
}

const STATUSES = Object.values(TitanicStatus);

const SPACE = 0x20;

/** The first bytes of a frame as characters. */
function latin1(frame: Uint8Array, length: number): string {
  const { buffer, byteOffset } = frame;
  const bytes = Buffer.isBuffer(frame) ? frame : Buffer.from(buffer, byteOffset, frame.byteLength);
  return bytes.toString("latin1", 0, length);
}

/*
 * The name a stored request goes by (9/TSP, Status Frames).
 *
 *   6 bytes  ms since 1970, big-endian        so that names are in order of time
 *   2 bytes  counter within the millisecond
 *   8 bytes  random                           so that nobody guesses another's
 *
 * On the wire it is 32 hexadecimal digits in upper case; lower case is accepted.
 * Names in order of time make a store's tree grow at its end: with random ones
 * each commit rewrites as many pages as it has records, and the rate falls as
 * the store fills.
 */

/** Bytes of a UUID in a store. */
export const UUID_BYTES = 16;

const TEXT = /^[0-9a-fA-F]{32}$/;

const COUNTER_LIMIT = 0x1_0000;

/** Random bytes fetched at once: a call for each UUID would cost more than the UUID. */
const POOL = 8 * 512;

/** Makes UUIDs, each greater than the one before, even when the clock is set back. */
export class UuidSource {
  readonly #pool = Buffer.alloc(POOL);
  #used = POOL;
  #time = 0;
  #counter = 0;
  readonly #scratch = Buffer.alloc(UUID_BYTES);

  /** @param now ms since 1970 */
  next(now: number): Buffer {
    const uuid = Buffer.allocUnsafeSlow(UUID_BYTES);
    this.#write(uuid, now);
    return uuid;
  }

  /** The next one as it stands on the wire. @param now ms since 1970 */
  nextText(now: number): string {
    this.#write(this.#scratch, now);
    return formatUuid(this.#scratch);
  }

  #write(uuid: Buffer, now: number): void {
    const time = Math.floor(now);
    if (time > this.#time) {
      this.#time = time;
      this.#counter = 0;
    } else if (++this.#counter === COUNTER_LIMIT) {
      this.#time += 1;
      this.#counter = 0;
    }
    if (this.#used === POOL) {
      crypto.randomFillSync(this.#pool);
      this.#used = 0;
    }
    uuid.writeUIntBE(this.#time, 0, 6);
    uuid.writeUInt16BE(this.#counter, 6);
    this.#pool.copy(uuid, 8, this.#used, this.#used + 8);
    this.#used += 8;
  }
}

/** A UUID as it stands on the wire. */
export function formatUuid(uuid: Uint8Array): string {
  const { buffer, byteOffset, byteLength } = uuid;
  const bytes = Buffer.isBuffer(uuid) ? uuid : Buffer.from(buffer, byteOffset, byteLength);
  return bytes.toString("hex").toUpperCase();
}

/**
 * The UUID that a peer named, or `undefined` for anything but 32 hexadecimal
 * digits. The Guide's titanic opens the file that the text names, `../` included;
 * here the text never leaves this function.
 */
export function parseUuid(frame: Uint8Array | string): Buffer | undefined {
  if (frame.length !== 2 * UUID_BYTES) return undefined;
  const text = typeof frame === "string" ? frame : latin1(frame, frame.length);
  return TEXT.test(text) ? Buffer.from(text, "hex") : undefined;
}
