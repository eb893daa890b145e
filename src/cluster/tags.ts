/**
 * How tags are changed: modifiers, one after the other.
 *
 *   append    adds what is not there                                  a b, append b c         -> a b c
 *   remove    takes away what is there                                a b, remove b c         -> a
 *   replace   these and no others                                     a b, replace c          -> c
 *   map       [from, to]: puts `to` in the place of `from`, if `from` is there   a b, map [a, c] -> c b
 *   mappend   [from, to]: takes `from` away, and appends `to` in any case        a b, mappend [x, c] -> a b c
 *
 * No tag is ever there twice.
 */
import { describe } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { MAX_TAG_CHANGES } from "./bounds.js";

/** The built-in tag of ZRE's peers. */
export const ZRE = "zre";

/** Tags that no node has by saying so: each is true of a member, or is not. */
const RESERVED: ReadonlySet<string> = new Set(["localhost", "self", "draining", ZRE]);

/** Whether a member has this tag, or does not, whatever it says. */
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
 * The tags after the changes; those before are left as they are.
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown modifier, for items that are not tags or pairs of them, and for more than 1,000 changes
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
      throw new InvalidArgumentError(`a change of tags is a tag or an object; got ${describe(change)}`);
    for (const [key, items] of Object.entries(change)) {
      if (!MODIFIERS.includes(key as Modifier))
        throw new InvalidArgumentError(`a modifier of tags is one of ${MODIFIERS.join(", ")}; got "${key}"`);
      if (items !== undefined) current = apply(current, key as Modifier, items);
    }
  }
  return current;
}

/** Before anything is changed: more of them end in too many tags, or are repetitions. */
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
  if (!Array.isArray(items))
    throw new InvalidArgumentError(`${modifier} takes an array; got ${describe(items)}`);
  const isPaired = modifier === "map" || modifier === "mappend";
  for (const item of items) {
    const isRight = isPaired
      ? Array.isArray(item) && item.length === 2 && item.every((each) => typeof each === "string")
      : typeof item === "string";
    if (!isRight)
      throw new InvalidArgumentError(
        `${modifier} takes ${isPaired ? "pairs [from, to] of tags" : "tags"}; got ${describe(item)}`,
      );
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
