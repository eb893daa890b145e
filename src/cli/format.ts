/**
 * A message's frames as text, and back.
 *
 *   lines       BODY \n                    in: one frame; out: frames with a space between
 *   multipart   FRAME SEP FRAME … \n       both ways
 *   raw         bytes                      all input is one message; out: no line feed added
 *   JSON        {"frames":["text",{"base64":"…"}]} \n
 *
 * Messages of a router begin with a routing id. In JSON it is a frame, in text:
 *
 *   text    UTF-8 without spaces, control characters or the separator: alice
 *   other   0x and hexadecimal digits, for example ids that libzmq generates: 0x006b8b4567
 *
 * A text id that begins with 0x is written in hexadecimal, so the two forms cannot be confused.
 */
import { isUtf8 } from "node:buffer";
import { FormatError } from "./failure.js";

export interface Format {
  readonly whole: boolean;
  parse(bytes: Buffer): Buffer[];
  print(frames: readonly Buffer[], pieces: Buffer[]): void;
}

export interface FormatChoice {
  readonly json?: boolean | undefined;
  readonly raw?: boolean | undefined;
  readonly multipart?: string | undefined;
  /** The first frame is a routing id. */
  readonly routed?: boolean;
}

export function formatFor({ json, raw, multipart, routed = false }: FormatChoice): Format {
  return json === true ? JSON_LINES : new TextFormat(multipart, raw === true, routed);
}

const LINE_FEED = Buffer.from("\n");

class TextFormat implements Format {
  readonly whole: boolean;
  readonly #separator: Buffer;
  readonly #splits: boolean;
  readonly #routed: boolean;

  constructor(separator: string | undefined, whole: boolean, routed: boolean) {
    this.whole = whole;
    this.#separator = Buffer.from(separator ?? " ");
    this.#splits = separator !== undefined;
    this.#routed = routed;
  }

  parse(bytes: Buffer): Buffer[] {
    if (!this.#splits && !this.#routed) return [bytes];
    const limit = this.#splits ? Number.POSITIVE_INFINITY : 2;
    const frames = split(bytes, this.#separator, limit);
    if (!this.#routed) return frames;
    const [id, ...body] = frames;
    if (id === undefined || body.length === 0)
      throw new FormatError(`expected ROUTING-ID${this.#separator}MESSAGE`);
    return [decodeRoutingId(id), ...body];
  }

  print(frames: readonly Buffer[], pieces: Buffer[]): void {
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i] as Buffer;
      if (i > 0) pieces.push(this.#separator);
      pieces.push(i === 0 && this.#routed ? encodeRoutingId(frame, this.#separator) : frame);
    }
    if (!this.whole) pieces.push(LINE_FEED);
  }
}

function split(bytes: Buffer, separator: Buffer, limit: number): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  while (parts.length + 1 < limit) {
    const end = bytes.indexOf(separator, start);
    if (end < 0) break;
    parts.push(bytes.subarray(start, end));
    start = end + separator.length;
  }
  parts.push(bytes.subarray(start));
  return parts;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
/** UTF-8 cannot encode half a surrogate pair. */
const LONE_SURROGATE = /\p{Surrogate}/u;

const JSON_LINES: Format = {
  whole: false,
  parse(bytes) {
    const frames = (parseJson(bytes) as { frames?: unknown } | null)?.frames;
    if (!Array.isArray(frames) || frames.length === 0) {
      throw new FormatError('expected {"frames":[…]} with one frame or more');
    }
    return frames.map(parseFrame);
  },
  print(frames, pieces) {
    pieces.push(Buffer.from(`${JSON.stringify({ frames: frames.map(bytesToJson) })}\n`));
  },
};

export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new FormatError("the line is not UTF-8");
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw new FormatError(`invalid JSON (${(error as SyntaxError).message})`);
  }
}

function parseFrame(value: unknown, index: number): Buffer {
  const frame = bytesFromJson(value);
  if (frame !== undefined) return frame;
  throw new FormatError(`frame ${index + 1}: expected a string or {"base64":"…"}`);
}

/** A string if UTF-8. */
export function bytesToJson(bytes: Buffer): string | { readonly base64: string } {
  return isUtf8(bytes) ? bytes.toString() : { base64: bytes.toString("base64") };
}

/** @returns `undefined` for anything but a string or `{"base64":"…"}` */
export function bytesFromJson(value: unknown): Buffer | undefined {
  if (typeof value === "string") return LONE_SURROGATE.test(value) ? undefined : Buffer.from(value);
  const base64 = (value as { base64?: unknown } | null)?.base64;
  return typeof base64 === "string" && BASE64.test(base64) ? Buffer.from(base64, "base64") : undefined;
}

/** In an id, these make it hexadecimal. */
const UNPRINTABLE = /[\s\p{C}]/u;

/** @returns one word without `separator` */
export function encodeRoutingId(id: Buffer, separator: Buffer): Buffer {
  const text = isUtf8(id) ? id.toString() : "";
  const plain = text !== "" && !UNPRINTABLE.test(text) && !text.startsWith("0x") && !id.includes(separator);
  return plain ? id : Buffer.from(`0x${id.toString("hex")}`);
}

/** @throws FormatError for an empty id, one above 255 bytes, or bad hexadecimal */
function decodeRoutingId(word: Buffer): Buffer {
  if (word.length === 0) throw new FormatError("a routing id is not empty");
  let id = word;
  if (word.subarray(0, 2).toString("latin1") === "0x") {
    const digits = word.toString("latin1").slice(2);
    if (!/^(?:[0-9a-f]{2})+$/i.test(digits)) {
      throw new FormatError("a routing id that begins with 0x has pairs of hexadecimal digits");
    }
    id = Buffer.from(digits, "hex");
  }
  if (id.length > 255) throw new FormatError(`a routing id has at most 255 bytes; got ${id.length}`);
  return id;
}
