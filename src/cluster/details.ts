/**
 * A member's details: tags, props, and the endpoints of its services, with a version within the node's start. They are
 * sent when they change and on request.
 *
 *   encoded: tags as texts | props as a record | endpoints as texts       (compact.ts)
 *
 * A program changes tags by modifiers, and advertises endpoints by name.
 */
import { invalidArgument, quoted } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { isLoopbackHost } from "../core/http-server.js";
import { MAX_ADDRESS, MAX_DETAILS, MAX_ENDPOINTS, MAX_SHORT_NAME, MAX_TAGS } from "./bounds.js";
import { sizeOfText, sizeOfUint } from "./compact.js";

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
  if (entries.length > MAX_TAGS) return `a node can have at most ${MAX_TAGS} props; got ${entries.length}`;
  let size = sizeOfUint(tags.length) + sizeOfUint(2 * entries.length) + sizeOfUint(endpoints.length);
  for (const tag of tags) {
    const why = unfit(tag, MAX_SHORT_NAME, 1);
    if (why !== undefined) return `tag ${quoted(tag)} ${why}`;
    size += sizeOfText(tag);
  }
  if (new Set(tags).size !== tags.length) return "a tag occurs twice";
  // No prototype: a key may be "__proto__".
  const kept = Object.create(null) as Record<string, string>;
  for (const [key, value] of entries) {
    const why = unfit(key, MAX_SHORT_NAME, 1) ?? unfit(value, 512, 0);
    if (why !== undefined) return `prop ${quoted(key)} ${why}`;
    kept[key] = value;
    size += sizeOfText(key) + sizeOfText(value);
  }
  for (const endpoint of endpoints) {
    const why = unfit(endpoint, MAX_ADDRESS, 1);
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

// --- Tags ------------------------------------------------------------------------------------------------------------

/** Nodes cannot set these. */
export function isReservedTag(tag: string): boolean {
  return tag === "localhost" || tag === "self" || tag === "draining";
}

export type TagPair = readonly [from: string, to: string];

/**
 * A tag to append, or modifiers, applied in the order in which their keys were written. A node has each tag once.
 *
 *   append    adds missing tags                                                 a b, append b c         -> a b c
 *   remove    removes tags                                                      a b, remove b c         -> a
 *   replace   replaces all tags                                                 a b, replace c          -> c
 *   map       [from, to]: replaces `from` by `to`, if `from` is there           a b, map [a, c]         -> c b
 *   mappend   [from, to]: removes `from`, and appends `to` in any case          a b, mappend [x, c]     -> a b c
 */
export type TagChange =
  | string
  | {
      readonly append?: readonly string[];
      readonly remove?: readonly string[];
      readonly replace?: readonly string[];
      readonly map?: readonly TagPair[];
      readonly mappend?: readonly TagPair[];
    };

const MODIFIERS = ["append", "remove", "replace", "map", "mappend"] as const;
type Modifier = (typeof MODIFIERS)[number];

/**
 * Returns the changed tags as a new array.
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown modifier, or items that are not tags or pairs of tags
 */
export function changeTags(tags: readonly string[], changes: readonly TagChange[]): string[] {
  let current = [...new Set(tags)];
  for (const change of changes) {
    if (typeof change === "string") {
      current = apply(current, "append", [change]);
      continue;
    }
    if (typeof change !== "object" || change === null)
      throw invalidArgument("a change of tags must be a tag or an object", change);
    for (const [key, items] of Object.entries(change)) {
      if (!MODIFIERS.includes(key as Modifier))
        throw new InvalidArgumentError(
          `a modifier of tags must be one of ${MODIFIERS.join(", ")}; got "${key}"`,
        );
      if (items !== undefined) current = apply(current, key as Modifier, items);
    }
  }
  return current;
}

function apply(tags: string[], modifier: Modifier, items: readonly (string | TagPair)[]): string[] {
  if (!Array.isArray(items)) throw invalidArgument(`${modifier} must be an array`, items);
  const isPaired = modifier === "map" || modifier === "mappend";
  for (const item of items) {
    const isRight = isPaired
      ? Array.isArray(item) && item.length === 2 && item.every((each) => typeof each === "string")
      : typeof item === "string";
    if (!isRight)
      throw invalidArgument(`${modifier} must have ${isPaired ? "pairs [from, to] of tags" : "tags"}`, item);
  }
  switch (modifier) {
    case "append":
      return [...new Set([...tags, ...(items as readonly string[])])];
    case "remove":
      return tags.filter((tag) => !items.includes(tag));
    case "replace":
      return [...new Set(items as readonly string[])];
    case "map":
      return (items as readonly TagPair[]).reduce(
        (current, [from, to]) => [...new Set(current.map((tag) => (tag === from ? to : tag)))],
        tags,
      );
    case "mappend":
      return (items as readonly TagPair[]).reduce(
        (current, [from, to]) => [...new Set([...current.filter((tag) => tag !== from), to])],
        tags,
      );
  }
}

// --- Endpoints -------------------------------------------------------------------------------------------------------

/** An endpoint that a member advertises under a name, a text in its details: billing=tcp://10.0.0.1:5555 */
export interface AdvertisedEndpoint {
  readonly name: string;
  readonly endpoint: string;
}

/** A name is a tag, too. @throws InvalidArgumentError `EINVAL` */
export function checkServiceName(name: unknown): asserts name is string {
  if (typeof name === "string" && isReservedTag(name))
    throw new InvalidArgumentError(`an endpoint's name must not be the built-in tag "${name}"`);
  if (typeof name !== "string" || !/^[^=\s\p{C}]+$/u.test(name) || Buffer.byteLength(name) > MAX_SHORT_NAME)
    throw invalidArgument(
      `an endpoint's name must have 1 to ${MAX_SHORT_NAME} bytes without spaces and "="`,
      name,
    );
}

/** The host may be a wildcard, the port may not. @throws InvalidArgumentError `EINVAL` */
export function checkAdvertised(endpoint: unknown): asserts endpoint is string {
  if (typeof endpoint === "string" && isForPeers(published(endpoint, "127.0.0.1"))) return;
  throw invalidArgument(
    "an advertised endpoint must be tcp://HOST:PORT, tls://HOST:PORT or ipc://PATH with a port from 1 to 65,535",
    endpoint,
  );
}

function isForPeers(endpoint: string): boolean {
  const [, port] =
    /^(?:tcp|tls):\/\/(?:\[[\da-fA-F:.]+(?:%[\w.-]+)?\]|[\w.-]+):(\d{1,5})$/.exec(endpoint) ?? [];
  if (port !== undefined) return Number(port) >= 1 && Number(port) <= 65_535;
  const path = endpoint.startsWith("ipc://") ? endpoint.slice(6) : "";
  return path !== "" && path !== "*" && Buffer.byteLength(path) <= 107 && !path.includes("\0");
}

/** Replaces a wildcard host. @param host the node's address without its port */
export function published(endpoint: string, host: string): string {
  const at = endpoint.lastIndexOf(":");
  if (!/^t(?:cp|ls):/.test(endpoint) || !["0.0.0.0", "[::]", "*"].includes(endpoint.slice(6, at)))
    return endpoint;
  return `${endpoint.slice(0, 6)}${host}${endpoint.slice(at)}`;
}

export function endpointText({ name, endpoint }: AdvertisedEndpoint): string {
  return `${name}=${endpoint}`;
}

/** The name is empty if the text has none. */
export function readEndpoint(text: string): AdvertisedEndpoint {
  const at = text.indexOf("=");
  return { name: text.slice(0, Math.max(0, at)), endpoint: text.slice(at + 1) };
}

export function advertisedNames(texts: readonly string[]): string[] {
  if (texts.length === 0) return [];
  return [...new Set(texts.map((text) => readEndpoint(text).name))].filter((name) => name !== "");
}

export function endpointsByName(texts: readonly string[]): Readonly<Record<string, readonly string[]>> {
  // No prototype: a name may be "__proto__".
  const found = Object.create(null) as Record<string, string[]>;
  for (const text of texts) {
    const { name, endpoint } = readEndpoint(text);
    found[name] ??= [];
    found[name].push(endpoint);
  }
  for (const endpoints of Object.values(found)) Object.freeze(endpoints);
  return Object.freeze(found);
}

/**
 * Another node wrote the endpoint, so unusable ones are skipped: invalid ones, inproc names and source addresses; and for
 * other hosts also ipc paths and loopback addresses.
 *
 * @param isSameHost whether the member is on this node's host
 */
export function isWithinReach(endpoint: string, isSameHost: boolean): boolean {
  if (!isForPeers(endpoint)) return false;
  if (endpoint.startsWith("ipc://")) return isSameHost;
  return isSameHost || !isLoopbackHost(endpoint.slice(6));
}
