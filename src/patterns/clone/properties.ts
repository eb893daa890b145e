/**
 * Properties of an update: lines `name=value`, each with its line feed (12/CHP, Server-to-Client Updates).
 *
 * `ttl` is in seconds, 0 for none. A client always sends it, since the Guide's servers in C need it. They read whole
 * seconds; shoal and the Guide's Python programs read decimals as well.
 */
import { EMPTY } from "./protocol.js";

/** Maximum `ttl`. The Guide's servers mean a date by more. */
const ABSOLUTE = 1_000_000_000;
const NONE = Buffer.from("ttl=0\n");
const CONDITION = "if-revision";
const REVISION = "revision";
/** Properties with one value. A refusal is a KVPUB with the sequence 0. */
export const CONFLICT = "conflict=1";
export const SUPPORT = "cas=1";
export const REFUSED = "refused=full";
const SUPPORT_LINE = Buffer.from(`${SUPPORT}\n`);
export const REFUSED_LINE: Buffer = Buffer.from(`${REFUSED}\n`);

export function hasLine(properties: Buffer, line: string): boolean {
  return properties.toString("latin1").split("\n").includes(line);
}

export function property(properties: Buffer, name: string): string | undefined {
  const start = `${name}=`;
  const lines = properties.toString("latin1").split("\n");
  return lines.find((line) => line.startsWith(start))?.slice(start.length);
}

/** ms; 0: none, `undefined`: invalid. */
export function timeToLive(properties: Buffer): number | undefined {
  if (properties.length === 0 || NONE.equals(properties)) return 0;
  const text = property(properties, "ttl");
  if (text === undefined || text === "") return 0;
  if (!/^[0-9]{1,12}(\.[0-9]{1,9})?$/.test(text)) return undefined;
  const seconds = Number(text);
  return seconds <= ABSOLUTE ? Math.ceil(seconds * 1_000) : undefined;
}

/** `undefined` without a condition, `null` for an invalid one. A revision of 0: the key is missing. */
export function conditionOf(properties: Buffer): number | undefined | null {
  return numberOf(properties, CONDITION);
}

/** The revision in a KVPUB without a change, 0 for a missing key; `undefined` for an ordinary one. */
export function revisionOf(properties: Buffer): number | undefined {
  return numberOf(properties, REVISION) ?? undefined;
}

/** @param ttl ms; 0: none. @param revision condition, 0: a missing key */
export function encodeSetProperties(ttl: number, revision: number | undefined): Buffer {
  const encoded = encodeTimeToLive(ttl);
  return revision === undefined
    ? encoded
    : Buffer.concat([encoded, Buffer.from(`${CONDITION}=${revision}\n`)]);
}

/** @param ttl remaining ms; 0: none. @param revision 0: the key is missing */
export function encodeUnchanged(ttl: number, revision: number, conflict: boolean): Buffer {
  // A conflict has the property in any case.
  const known = revision > 0 || conflict ? `${REVISION}=${revision}\n` : "";
  return Buffer.concat([encodeTimeToLive(ttl), Buffer.from(conflict ? `${known}${CONFLICT}\n` : known)]);
}

export function encodeSupport(subtree: Buffer): Buffer {
  return Buffer.concat([subtree, SUPPORT_LINE]);
}

/** `null` if it is not a number. */
function numberOf(properties: Buffer, name: string): number | undefined | null {
  // Fast for almost all updates.
  if (properties.length <= name.length || !properties.includes(name, 0, "latin1")) return undefined;
  const text = property(properties, name);
  if (text === undefined) return undefined;
  const number = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(number) ? number : null;
}

export function encodeTimeToLive(ttl: number): Buffer {
  return ttl === 0 ? NONE : Buffer.from(`ttl=${ttl / 1_000}\n`);
}

/** Clients of further subtrees are served without numbers. */
const MAX_SUBTREES = 256;
const SLASH_BYTE = 0x2f;

interface Subtree {
  readonly number: number;
  last: number;
}

/**
 * Numbers the subtrees of clients, so that these notice missed updates: a jump of the map's sequence means nothing
 * there.
 *
 *   KTHXBAI  s3=17   the subtree has the number 3; its last update was 17
 *   KVPUB    s3=17   the update before this one in subtree 3 was 17
 *   HUGZ     s3=21   the last update in subtree 3
 */
export class SubtreeSequences {
  readonly #subtrees = new Map<string, Subtree>();

  /** @param sequence of the map */
  register(subtree: Buffer, sequence: number): void {
    const name = subtree.toString("latin1");
    if (name === "" || this.#subtrees.has(name) || this.#subtrees.size >= MAX_SUBTREES) return;
    this.#subtrees.set(name, { number: this.#subtrees.size + 1, last: sequence });
  }

  /** Another map of this sequence. Numbers stay, since clients know them. */
  restart(sequence: number): void {
    for (const subtree of this.#subtrees.values()) subtree.last = sequence;
  }

  /** @returns additional properties of a KVPUB */
  advance(key: Buffer, sequence: number): string {
    if (this.#subtrees.size === 0 || key[0] !== SLASH_BYTE) return "";
    const name = key.toString("latin1");
    let added = "";
    for (let end = name.indexOf("/", 1); end >= 0; end = name.indexOf("/", end + 1)) {
      const subtree = this.#subtrees.get(name.slice(0, end + 1));
      if (subtree === undefined) continue;
      added += `s${subtree.number}=${subtree.last}\n`;
      subtree.last = sequence;
    }
    return added;
  }

  of(subtree: Buffer): Buffer {
    const known = this.#subtrees.get(subtree.toString("latin1"));
    return known === undefined ? EMPTY : Buffer.from(`s${known.number}=${known.last}\n`);
  }

  all(): Buffer {
    if (this.#subtrees.size === 0) return EMPTY;
    let text = "";
    for (const { number, last } of this.#subtrees.values()) text += `s${number}=${last}\n`;
    return Buffer.from(text);
  }
}

/** Name of the subtree's property in a KTHXBAI. */
export function subtreeName(properties: Buffer): string | undefined {
  return /^(s[0-9]{1,6})=/.exec(properties.toString("latin1", 0, 32))?.[1];
}

export function subtreeSequence(properties: Buffer, name: string): number | undefined {
  return numberOf(properties, name) ?? undefined;
}
