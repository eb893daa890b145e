/**
 * A map's keys and values as lines, and back.
 *
 *   text   KEY VALUE \n                     a key that was deleted: KEY \n
 *   JSON   {"key":"text","value":{"base64":"…"}} \n     deleted: "value":null
 *
 * In text, an entry that would not read back as it is (a key with a space, a value with a
 * line feed) is a line of JSON; so a line that begins with a brace is always JSON.
 */
import { isUtf8 } from "node:buffer";
import { keyFault, MAX_KEY } from "../patterns/clone/protocol.js";
import { FormatError } from "./failure.js";
import { bytesFromJson, bytesToJson, type Format } from "./format.js";

/** What a line tells of a key. */
export interface EntryLine {
  readonly key: Buffer;
  /** `undefined`: it was deleted. */
  readonly value: Buffer | undefined;
  /** Shown in JSON only. */
  readonly more?: Readonly<Record<string, unknown>>;
}

const SPACE = 0x20;
const LINE_FEED = 0x0a;
const BRACE = 0x7b;
/** ms; what a client takes. */
const MAX_TTL = 1_000_000_000_000;

export function entryLine(entry: EntryLine, json: boolean): Buffer {
  const { key, value, more } = entry;
  if (json || !isLine(key, value)) {
    const object = { key: bytesToJson(key), value: value === undefined ? null : bytesToJson(value), ...more };
    return Buffer.from(`${JSON.stringify(object)}\n`);
  }
  if (value === undefined) return Buffer.concat([key, Buffer.of(LINE_FEED)]);
  return Buffer.concat([key, Buffer.of(SPACE), value, Buffer.of(LINE_FEED)]);
}

function isLine(key: Buffer, value: Buffer | undefined): boolean {
  if (key[0] === BRACE || key.includes(SPACE) || key.includes(LINE_FEED)) return false;
  return value?.includes(LINE_FEED) !== true;
}

/** Lines to be loaded: key, value and, where there is one, the time to live in decimal ms. Prints what is a line already. */
export function entryFormat(json: boolean): Format {
  return {
    whole: false,
    parse: (bytes) => (json || bytes[0] === BRACE ? parseJson(bytes) : parseText(bytes)),
    print: (frames, pieces) => void pieces.push(...frames),
  };
}

function parseText(bytes: Buffer): Buffer[] {
  const space = bytes.indexOf(SPACE);
  if (space < 0) throw new FormatError("expected a key, a space and a value");
  return checked(bytes.subarray(0, space), bytes.subarray(space + 1));
}

function parseJson(bytes: Buffer): Buffer[] {
  const object = jsonOf(bytes) as { key?: unknown; value?: unknown; ttl?: unknown } | null;
  const key = bytesFromJson(object?.key);
  const value = bytesFromJson(object?.value);
  if (key === undefined || value === undefined)
    throw new FormatError('expected {"key":…,"value":…}, each a string or {"base64":"…"}');
  const ttl = object?.ttl;
  if (ttl === undefined) return checked(key, value);
  if (!Number.isSafeInteger(ttl) || (ttl as number) < 0 || (ttl as number) > MAX_TTL)
    throw new FormatError(`ttl: expected a whole number of ms from 0 to ${MAX_TTL}`);
  return [...checked(key, value), Buffer.from(String(ttl))];
}

/** @throws FormatError */
export function jsonOf(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new FormatError("the line is not UTF-8");
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw new FormatError(`no JSON (${(error as SyntaxError).message})`);
  }
}

function checked(key: Buffer, value: Buffer): Buffer[] {
  const fault = keyFault(key);
  if (fault === "reserved-key") throw new FormatError(`${String(key)} is a command, and no key`);
  if (fault !== undefined) throw new FormatError(`a key has 1 to ${MAX_KEY} bytes; got ${key.length}`);
  if (value.length === 0) throw new FormatError("a value has at least one byte");
  return [key, value];
}
