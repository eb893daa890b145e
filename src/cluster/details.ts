/**
 * A member's details: tags, props, and the endpoints of its services, with a version within the node's start. They are
 * sent when they change and on request.
 *
 *   encoded: tags as texts | props as a record | endpoints as texts       (compact.ts)
 */
import { quoted } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { MAX_DETAILS, MAX_ENDPOINTS, MAX_PROPS, MAX_TAG, MAX_TAGS } from "./bounds.js";
import { sizeOfText, sizeOfUint } from "./compact.js";
import { isReservedTag } from "./tags.js";

export interface Details {
  readonly version: number;
  readonly tags: readonly string[];
  /** Without a prototype. */
  readonly props: Readonly<Record<string, string>>;
  readonly endpoints: readonly string[];
  readonly size: number;
}

export const NO_DETAILS: Details = Object.freeze({
  version: 0,
  tags: Object.freeze([]),
  props: Object.freeze(Object.create(null) as Record<string, string>),
  endpoints: Object.freeze([]),
  size: 3,
});

/** @returns why a text of another node or a program is not valid, if so */
export function unfit(text: unknown, most: number, least: number): string | undefined {
  if (typeof text !== "string") return "is not a string";
  const bytes = Buffer.byteLength(text);
  if (bytes < least) return "is empty";
  if (bytes > most) return `has ${bytes} bytes; at most ${most} are allowed`;
  if (/\p{Surrogate}/u.test(text)) return "is not well-formed";
  return undefined;
}

/**
 * Checks a program's details and freezes them.
 *
 * @throws InvalidArgumentError `EINVAL` for too many or too long items, built-in tags, or more than 1,000 bytes in
 * total
 */
export function createDetails(
  version: number,
  tags: readonly string[],
  props: Readonly<Record<string, string>>,
  endpoints: readonly string[],
): Details {
  const reserved = tags.find(isReservedTag);
  if (reserved !== undefined)
    throw new InvalidArgumentError(`tag "${reserved}" is built-in and cannot be set`);
  const found = tryDetails(version, tags, props, endpoints);
  if (typeof found === "string") throw new InvalidArgumentError(found);
  return found;
}

/** Checks a peer's details; returns the reason instead of throwing. */
export function tryDetails(
  version: number,
  tags: readonly string[],
  props: Readonly<Record<string, string>>,
  endpoints: readonly string[],
): Details | string {
  if (tags.length > MAX_TAGS) return `a node can have at most ${MAX_TAGS} tags; got ${tags.length}`;
  if (endpoints.length > MAX_ENDPOINTS)
    return `a node can have at most ${MAX_ENDPOINTS} endpoints; got ${endpoints.length}`;
  const entries = Object.entries(props);
  if (entries.length > MAX_PROPS) return `a node can have at most ${MAX_PROPS} props; got ${entries.length}`;
  let size = sizeOfUint(tags.length) + sizeOfUint(2 * entries.length) + sizeOfUint(endpoints.length);
  for (const tag of tags) {
    const why = unfit(tag, MAX_TAG, 1);
    if (why !== undefined) return `tag ${quoted(tag)} ${why}`;
    size += sizeOfText(tag);
  }
  if (new Set(tags).size !== tags.length) return "a tag occurs twice";
  // No prototype: a key may be "__proto__".
  const kept = Object.create(null) as Record<string, string>;
  for (const [key, value] of entries) {
    const why = unfit(key, 64, 1) ?? unfit(value, 512, 0);
    if (why !== undefined) return `prop ${quoted(key)} ${why}`;
    kept[key] = value;
    size += sizeOfText(key) + sizeOfText(value);
  }
  for (const endpoint of endpoints) {
    const why = unfit(endpoint, 128, 1);
    if (why !== undefined) return `endpoint ${quoted(endpoint)} ${why}`;
    size += sizeOfText(endpoint);
  }
  if (size > MAX_DETAILS)
    return `tags, props and endpoints have ${size} bytes; at most ${MAX_DETAILS} are allowed`;
  return Object.freeze({
    version,
    tags: Object.freeze([...tags]),
    props: Object.freeze(kept),
    endpoints: Object.freeze([...endpoints]),
    size,
  });
}
