/**
 * The properties of an update: lines `name=value`, each with its line feed (12/CHP, Server-to-Client Updates).
 *
 * `ttl` is a time to live in seconds, 0 for none. A client always sends it, since the Guide's servers in C need it. They read
 * whole seconds; shoal and the Guide's Python programs read decimals as well.
 */
import { EMPTY } from "./protocol.js";

const LINE_FEED = 0x0a;
const EQUALS = 0x3d;
const T = 0x74;

/** Seconds of a time to live at most. The Guide's servers mean a date by a larger number. */
const ABSOLUTE = 1_000_000_000;
const NONE = Buffer.from("ttl=0\n");
const CONDITION = "if-revision";
const REVISION = "revision";
const CONFLICT = "conflict";
const REFUSED = "refused";
const SUPPORT = "cas";
const SUPPORT_LINE = Buffer.from(`${SUPPORT}=1\n`);

/** The value of the first property with a name; `undefined` without one. */
export function property(properties: Buffer, name: string): string | undefined {
  let start = 0;
  while (start < properties.length) {
    let end = properties.indexOf(LINE_FEED, start);
    if (end < 0) end = properties.length;
    const equals = properties.indexOf(EQUALS, start);
    if (equals >= start && equals < end && properties.toString("latin1", start, equals) === name)
      return properties.toString("latin1", equals + 1, end);
    start = end + 1;
  }
  return undefined;
}

/** The time to live in ms; 0 for none, `undefined` for an invalid one. */
export function timeToLive(properties: Buffer): number | undefined {
  const { length } = properties;
  // The usual properties.
  if (length === 0 || (length === NONE.length && properties[0] === T && NONE.equals(properties))) return 0;
  const text = property(properties, "ttl");
  if (text === undefined || text === "") return 0;
  if (!/^[0-9]{1,12}(\.[0-9]{1,9})?$/.test(text)) return undefined;
  const seconds = Number(text);
  return seconds <= ABSOLUTE ? Math.ceil(seconds * 1_000) : undefined;
}

/** The condition of a KVSET: a revision, or 0 for a missing key. `undefined` without one, `null` for an invalid one. */
export function conditionOf(properties: Buffer): number | undefined | null {
  return numberOf(properties, CONDITION);
}

/** The key's revision in a KVPUB without a change, 0 for a missing key; `undefined` for an ordinary KVPUB. */
export function revisionOf(properties: Buffer): number | undefined {
  return numberOf(properties, REVISION) ?? undefined;
}

/** Whether a KVPUB reports a failed condition. */
export function isConflict(properties: Buffer): boolean {
  return property(properties, CONFLICT) === "1";
}

/** Whether the server of a KTHXBAI compares and sets. */
export function supportsConditions(properties: Buffer): boolean {
  return property(properties, SUPPORT) === "1";
}

/** @param ttl ms; 0: none. @param revision the condition, 0 for a missing key; `undefined`: none */
export function encodeSetProperties(ttl: number, revision: number | undefined): Buffer {
  const encoded = encodeTimeToLive(ttl);
  return revision === undefined
    ? encoded
    : Buffer.concat([encoded, Buffer.from(`${CONDITION}=${revision}\n`)]);
}

/** Encodes a KVPUB without a change. @param ttl remaining ms; 0: none. @param revision 0: the key is missing */
export function encodeUnchanged(ttl: number, revision: number, conflict: boolean): Buffer {
  // A missing key has no revision; a conflict has the property in any case.
  const known = revision > 0 || conflict ? `${REVISION}=${revision}\n` : "";
  return Buffer.concat([encodeTimeToLive(ttl), Buffer.from(conflict ? `${known}${CONFLICT}=1\n` : known)]);
}

/** Properties of a KVPUB with the sequence 0: the update with its UUID was refused. */
export const REFUSED_FULL: Buffer = Buffer.from(`${REFUSED}=full\n`);

/** Whether a KVPUB reports that a server has no room. */
export function isRefusedFull(properties: Buffer): boolean {
  return property(properties, REFUSED) === "full";
}

/** Properties of a KTHXBAI. */
export function encodeSupport(subtree: Buffer): Buffer {
  return Buffer.concat([subtree, SUPPORT_LINE]);
}

/** `null` for a property without a number. */
function numberOf(properties: Buffer, name: string): number | undefined | null {
  // Almost all updates have only a time to live.
  if (properties.length <= name.length || !properties.includes(name, 0, "latin1")) return undefined;
  const text = property(properties, name);
  if (text === undefined) return undefined;
  const number = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(number) ? number : null;
}

/** @param ttl ms; 0: none */
export function encodeTimeToLive(ttl: number): Buffer {
  return ttl === 0 ? NONE : Buffer.from(`ttl=${ttl / 1_000}\n`);
}

/** Numbered subtrees. Clients of further subtrees are served without numbers. */
const MAX_SUBTREES = 256;
const SLASH_BYTE = 0x2f;

interface Subtree {
  readonly number: number;
  last: number;
}

/**
 * Numbers the subtrees of clients, so that these notice missed updates: the sequence grows with every update of the whole
 * map, and a jump means nothing in a subtree. The server adds properties:
 *
 *   KTHXBAI  s3=17   the subtree has the number 3; its last update was 17
 *   KVPUB    s3=17   the update before this one in subtree 3 was 17
 *   HUGZ     s3=21   the last update in subtree 3
 */
export class SubtreeSequences {
  readonly #subtrees = new Map<string, Subtree>();

  /** Numbers a subtree. @param sequence of the map */
  register(subtree: Buffer, sequence: number): void {
    const name = subtree.toString("latin1");
    if (name === "" || this.#subtrees.has(name) || this.#subtrees.size >= MAX_SUBTREES) return;
    this.#subtrees.set(name, { number: this.#subtrees.size + 1, last: sequence });
  }

  /** Begins again with another map of this sequence. Numbers stay, since clients know them. */
  restart(sequence: number): void {
    for (const subtree of this.#subtrees.values()) subtree.last = sequence;
  }

  /** Called for each published update. @returns additional properties */
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

/** The name of the subtree's property in a KTHXBAI; `undefined` without one. */
export function subtreeName(properties: Buffer): string | undefined {
  return /^(s[0-9]{1,6})=/.exec(properties.toString("latin1", 0, 32))?.[1];
}

/** The sequence in a subtree's property; `undefined` without one. */
export function subtreeSequence(properties: Buffer, name: string): number | undefined {
  const text = property(properties, name);
  return text !== undefined && /^[0-9]{1,16}$/.test(text) ? Number(text) : undefined;
}
