/**
 * The head of an HTTP/1.1 message (RFC 9112), as far as an upgrade needs it. Pure.
 *
 *   start line CRLF | *( name ":" value CRLF ) | CRLF | what follows belongs to the next protocol
 *
 * Heads come from strangers: bytes and headers are bounded, lines end with CRLF and are not folded, and control characters
 * are refused, so that nothing can be read in two ways.
 */

/** Bytes of a head. */
export const MAX_HEAD = 16_384;
/** Headers of a head. */
export const MAX_HEADERS = 128;

const CR = 0x0d;
const LF = 0x0a;
const TAB = 0x09;
const DEL = 0x7f;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;

/** Why the bytes are no head. */
export type HeadFault = "too-long" | "malformed";

export interface Head {
  /** The first line. */
  readonly start: string;
  /** Values by lower-case name, in their order. */
  readonly headers: Headers;
}

export type Headers = ReadonlyMap<string, readonly string[]>;

/** Puts a head together from the chunks in which it comes. */
export class HeadReader {
  #bytes: Buffer = Buffer.alloc(0);
  #length = 0;

  /**
   * @param bytes are copied
   * @returns the head with the bytes that came behind it, what is wrong, or `undefined` while more is needed
   */
  push(bytes: Uint8Array): { readonly head: Head; readonly rest: Buffer } | HeadFault | undefined {
    const from = this.#length;
    const size = Math.min(bytes.length, MAX_HEAD - from);
    this.#reserve(from + size);
    this.#bytes.set(bytes.subarray(0, size), from);
    this.#length = from + size;
    const end = this.#scan(from);
    if (typeof end === "string") return end;
    if (end === undefined) return size < bytes.length || this.#length === MAX_HEAD ? "too-long" : undefined;
    const head = parseHead(this.#bytes.toString("latin1", 0, end - 4));
    if (typeof head === "string") return head;
    return { head, rest: Buffer.from(bytes.subarray(end - from)) };
  }

  #reserve(size: number): void {
    if (size <= this.#bytes.length) return;
    const larger = Buffer.alloc(Math.min(MAX_HEAD, Math.max(size, 2 * this.#bytes.length, 1_024)));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  /** @returns where the head ends, `undefined` where it does not yet, or what is wrong, as soon as that shows */
  #scan(from: number): number | HeadFault | undefined {
    const bytes = this.#bytes;
    for (let at = from; at < this.#length; at++) {
      const byte = bytes[at] as number;
      // A peer that speaks ZMTP or TLS here is refused at its first byte, and not when its time is over.
      if (at === 0 && (byte < UPPER_A || byte > UPPER_Z)) return "malformed";
      if (byte === LF) {
        if (at === 0 || bytes[at - 1] !== CR) return "malformed";
        if (at >= 3 && bytes[at - 2] === LF) return at + 1;
      } else if (at > 0 && bytes[at - 1] === CR) return "malformed";
      else if ((byte < 0x20 && byte !== CR && byte !== TAB) || byte === DEL) return "malformed";
    }
    return undefined;
  }
}

/** A name or another word (RFC 9110, Tokens). */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** @param text without the empty line at its end; it has no control characters but CRLF and tabs */
function parseHead(text: string): Head | HeadFault {
  const lines = text.split("\r\n");
  const start = lines[0] as string;
  if (lines.length - 1 > MAX_HEADERS) return "too-long";
  const headers = new Map<string, string[]>();
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    if (!TOKEN.test(name)) return "malformed";
    add(headers, name, line.slice(colon + 1));
  }
  return { start, headers };
}

function add(headers: Map<string, string[]>, name: string, value: string): void {
  const key = name.toLowerCase();
  const trimmed = value.replace(/^[ \t]+|[ \t]+$/g, "");
  const values = headers.get(key);
  if (values === undefined) headers.set(key, [trimmed]);
  else values.push(trimmed);
}

/** The headers of a request that Node's HTTP server has read: name, value, name, value … */
export function headersOf(raw: readonly string[]): Headers {
  const headers = new Map<string, string[]>();
  for (let i = 0; i + 1 < raw.length; i += 2) add(headers, raw[i] as string, raw[i + 1] as string);
  return headers;
}

/** The words of a header that is a list (RFC 9110, Lists), from all its lines. */
export function listOf(headers: Headers, name: string): string[] {
  const words = (headers.get(name) ?? []).flatMap((value) => value.split(","));
  return words.map((word) => word.replace(/^[ \t]+|[ \t]+$/g, "")).filter((word) => word !== "");
}

/** Whether a list has a word, whatever its case. */
export function hasWord(headers: Headers, name: string, word: string): boolean {
  return listOf(headers, name).some((each) => each.toLowerCase() === word);
}

/** The value of a header that may be there once only; `undefined` where there is none, or more than one. */
export function onlyValue(headers: Headers, name: string): string | undefined {
  const values = headers.get(name);
  return values?.length === 1 ? values[0] : undefined;
}
