/**
 * Selection of members by their tags, built-in ones included.
 *
 *   resolver({ has: ["billing"] }, "match", { not: ["eu-*"] }, "regexp", { some: ["^v\\d"] })
 *
 * `equal` (the default), `match` (`*`, `?`, `[a-z]`, `\x`) and `regexp` set how later items are compared.
 *
 *   has     every item matches one of the tags       some    at least one item does
 *   not     none does                                exact   every item matches a tag, and every tag an item
 */
import { invalidArgument, quoted } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { MAX_SHORT_NAME, MAX_TAGS } from "./bounds.js";
import { type AdvertisedEndpoint, advertisedNames, isReservedTag } from "./details.js";

const MODES = ["equal", "match", "regexp"] as const;
export type MatchMode = (typeof MODES)[number];

const CONDITIONS = ["has", "not", "exact", "some"] as const;
type Condition = (typeof CONDITIONS)[number];

/** Conditions, all of which must hold; or how items of the following conditions are compared. */
export type ResolverStep = MatchMode | { readonly [K in Condition]?: readonly string[] };

const MAX_PATTERN = 4 * MAX_SHORT_NAME;

type Test = (tag: string) => boolean;

interface Check {
  readonly condition: Condition;
  readonly tests: readonly Test[];
}

export interface Resolvable {
  readonly id: string;
  readonly name: string;
  readonly draining: boolean;
  readonly details: { readonly tags: readonly string[]; readonly endpoints: readonly string[] };
}

export function hostOf(name: string): string {
  return name.slice(name.indexOf("@") + 1);
}

/**
 * Built-in tags of a member: its id, its name with and without the host, `@` and its host, `localhost` on this host,
 * `self` for this node, `draining`, and the names of its advertised endpoints.
 */
function builtInTags(member: Resolvable, self: Resolvable): string[] {
  const host = hostOf(member.name);
  const tags = [member.id, member.name, member.name.slice(0, member.name.indexOf("@")), `@${host}`];
  if (host === hostOf(self.name)) tags.push("localhost");
  if (member.id === self.id) tags.push("self");
  if (member.draining) tags.push("draining");
  tags.push(...advertisedNames(member.details.endpoints).filter((name) => !isReservedTag(name)));
  return tags;
}

export class CompiledResolver {
  readonly #checks: readonly Check[];

  /**
   * @throws InvalidArgumentError `EINVAL` for an unknown step, too many or too long items, or an invalid regular
   * expression
   */
  constructor(steps: readonly ResolverStep[]) {
    this.#checks = checksOf(steps);
  }

  /** The members that match. `exact` regards only tags that a member set itself. */
  select<M extends Resolvable>(members: readonly M[], self: Resolvable): M[] {
    return members.filter((member) => {
      const own = member.details.tags;
      // Members cannot set built-in tags themselves.
      const all = [...own.filter((tag) => !isReservedTag(tag)), ...builtInTags(member, self)];
      return this.#checks.every((check) => holds(check, own, all));
    });
  }

  /** The endpoints whose name `has` or `some` asks for; all if the member has none of these names. */
  choose(endpoints: readonly AdvertisedEndpoint[]): readonly string[] {
    const asked = this.#checks.filter(({ condition }) => condition === "has" || condition === "some");
    const isAsked = (name: string): boolean => asked.some(({ tests }) => tests.some((test) => test(name)));
    const named = endpoints.filter(({ name }) => name !== "" && isAsked(name));
    return (named.length > 0 ? named : endpoints).map(({ endpoint }) => endpoint);
  }
}

/** Methods of an array, such as `some`, are no conditions. */
function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

function checksOf(steps: readonly ResolverStep[]): Check[] {
  let mode: MatchMode = "equal";
  const checks: Check[] = [];
  for (const step of steps) {
    if (typeof step === "string") {
      if (!MODES.includes(step))
        throw invalidArgument(`a mode of a resolver must be one of ${MODES.join(", ")}`, step);
      mode = step;
      continue;
    }
    if (typeof step !== "object" || step === null || isList(step))
      throw invalidArgument("a step of a resolver must be a mode or conditions", step);
    for (const [key, items] of Object.entries(step)) {
      if (!CONDITIONS.includes(key as Condition))
        throw new InvalidArgumentError(`a condition must be one of ${CONDITIONS.join(", ")}; got "${key}"`);
      if (items !== undefined) checks.push({ condition: key as Condition, tests: testsOf(key, items, mode) });
    }
  }
  return checks;
}

function holds({ condition, tests }: Check, own: readonly string[], all: readonly string[]): boolean {
  switch (condition) {
    case "has":
      return tests.every((test) => all.some(test));
    case "some":
      return tests.some((test) => all.some(test));
    case "not":
      return !tests.some((test) => all.some(test));
    case "exact":
      return tests.every((test) => own.some(test)) && own.every((tag) => tests.some((test) => test(tag)));
  }
}

function testsOf(key: string, items: readonly string[], mode: MatchMode): Test[] {
  if (!Array.isArray(items)) throw invalidArgument(`${key} must be an array`, items);
  if (items.length > MAX_TAGS)
    throw new InvalidArgumentError(`${key} must have at most ${MAX_TAGS} items; got ${items.length}`);
  return items.map((item) => {
    if (typeof item !== "string" || item.length > MAX_PATTERN)
      throw invalidArgument(`${key} must have texts of at most ${MAX_PATTERN} characters`, item);
    if (mode === "equal") return (tag) => tag === item;
    if (mode === "match") return (tag) => matches(item, tag);
    try {
      const expression = new RegExp(item, "u");
      return (tag) => expression.test(tag);
    } catch (cause) {
      throw new InvalidArgumentError(`${key}: invalid regular expression ${quoted(item)}`, { cause });
    }
  });
}

/** `*`: any characters, `?`: one, `[a-z]`: one of a range, `\x`: x itself. */
export function matches(pattern: string, text: string): boolean {
  let [at, from] = [0, 0];
  // Position of the last star, and the end of its text: only the last star needs backtracking.
  let [star, swallowed] = [-1, 0];
  while (from < text.length) {
    const length = pattern[at] === "*" ? 0 : fitsOne(pattern, at, text[from] as string);
    if (pattern[at] === "*") {
      star = at++;
      swallowed = from;
    } else if (length > 0) {
      at += length;
      from += 1;
    } else if (star >= 0) {
      at = star + 1;
      swallowed += 1;
      from = swallowed;
    } else return false;
  }
  while (pattern[at] === "*") at += 1;
  return at === pattern.length;
}

/** @returns length of the part of the pattern that matches this character; 0 if it does not match */
function fitsOne(pattern: string, at: number, character: string): number {
  switch (pattern[at]) {
    case undefined:
      return 0;
    case "?":
      return 1;
    case "\\":
      return pattern[at + 1] === character ? 2 : 0;
    case "[": {
      const end = pattern.indexOf("]", at + 1);
      if (end < 0) return character === "[" ? 1 : 0;
      for (let i = at + 1; i < end; i++) {
        const isRange = pattern[i + 1] === "-" && i + 2 < end;
        const [least, most] = [pattern[i] as string, (isRange ? pattern[i + 2] : pattern[i]) as string];
        if (character >= least && character <= most) return end - at + 1;
        if (isRange) i += 2;
      }
      return 0;
    }
    default:
      return pattern[at] === character ? 1 : 0;
  }
}
