/**
 * Environment variables in a configuration. Pure.
 *
 *   ${NAME}    in any text, any number of times: the variable's value, as text
 *   $${        a literal ${
 *
 * Only values are expanded, not keys. An unset or empty variable is a fault, so that no missing password becomes empty.
 */
import type { Finding, Path } from "./problem.js";

/** Every `$${`, and every `${…}`. */
const REFERENCE = /\$\$\{|\$\{([^}]*)\}?/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Expanded {
  readonly value: unknown;
  readonly findings: readonly Finding[];
  /** Places with a variable's value, by {@link placeKey}; never repeat these values. */
  readonly filled: ReadonlySet<string>;
  /** Used variables; never repeat their values either. */
  readonly variables: ReadonlyMap<string, string>;
}

export function placeKey(path: Path): string {
  return JSON.stringify(path);
}

export function expand(value: unknown, environment: Environment): Expanded {
  const findings: Finding[] = [];
  const filled = new Set<string>();
  const variables = new Map<string, string>();
  const within = (each: unknown, path: Path): unknown => {
    if (typeof each === "string") return text(each, path);
    if (Array.isArray(each)) return each.map((item, at) => within(item, [...path, at]));
    if (typeof each !== "object" || each === null) return each;
    return Object.fromEntries(Object.entries(each).map(([key, item]) => [key, within(item, [...path, key])]));
  };
  const text = (given: string, path: Path): string =>
    given.replace(REFERENCE, (whole: string, name: string | undefined) => {
      if (name === undefined) return "${";
      filled.add(placeKey(path));
      if (!NAME.test(name) || !whole.endsWith("}")) {
        // biome-ignore lint/suspicious/noTemplateCurlyInString: as it is to be written
        const message = "expected ${NAME}, NAME of letters, digits and _; for the characters ${ write $${";
        findings.push({ path, message });
        return "";
      }
      const found = environment[name];
      if (found !== undefined && found !== "") {
        variables.set(name, found);
        return found;
      }
      const what = found === undefined ? "not set" : "empty";
      findings.push({ path, message: `the environment variable ${name} is ${what}` });
      return "";
    });
  return { value: within(value, []), findings, filled, variables };
}
