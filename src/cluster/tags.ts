/**
 * Changes of tags by modifiers, applied in order. A node has each tag once.
 *
 *   append    adds missing tags                                                 a b, append b c         -> a b c
 *   remove    removes tags                                                      a b, remove b c         -> a
 *   replace   replaces all tags                                                 a b, replace c          -> c
 *   map       [from, to]: replaces `from` by `to`, if `from` is there           a b, map [a, c]         -> c b
 *   mappend   [from, to]: removes `from`, and appends `to` in any case          a b, mappend [x, c]     -> a b c
 */
import { invalidArgument } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { MAX_TAG_CHANGES } from "./bounds.js";

/** Nodes cannot set these. */
const RESERVED: ReadonlySet<string> = new Set(["localhost", "self", "draining"]);

export function isReservedTag(tag: string): boolean {
  return RESERVED.has(tag);
}

export type TagPair = readonly [from: string, to: string];

/** A tag to append, or modifiers, applied in the order in which their keys were written. */
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
 * @throws InvalidArgumentError `EINVAL` for an unknown modifier, items that are not tags or pairs of tags, or more than
 * 1,000 changes
 */
export function changeTags(tags: readonly string[], changes: readonly TagChange[]): string[] {
  checkCount(changes);
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

/** Checked first, since more changes end in too many tags, or are repetitions. */
function checkCount(changes: readonly TagChange[]): void {
  let count = changes.length;
  for (const change of changes) {
    if (typeof change !== "object" || change === null) continue;
    for (const items of Object.values(change)) if (Array.isArray(items)) count += items.length;
    if (count > MAX_TAG_CHANGES) break;
  }
  if (count > MAX_TAG_CHANGES)
    throw new InvalidArgumentError(`a call must have at most ${MAX_TAG_CHANGES} changes of tags; got more`);
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
