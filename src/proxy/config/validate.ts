/** Checks a configuration against its schema, and reports in words what does not fit. */
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import { suggest } from "../../core/arguments.js";
import { NAME_RULE, UNFIT } from "../options.js";

import { type Expanded, placeKey } from "./environment.js";
import { configurationSchema, type Schema } from "./schema.js";
import { type Finding, type Path, SHOWN } from "./source.js";

/** Said of a socket without one. */
export const NO_ENDPOINT = "needs an endpoint: bind, connect or both";
/** Values that are not repeated, whatever is wrong with them. */
const SECRET = /(?:secretkey|password|plainusers)/i;
/** Keywords that report nothing by themselves, or only what another reports, too. */
const SILENT = ["if", "propertyNames"];

/** Options of the library that a file does not have, and why. */
const ELSEWHERE: Readonly<Record<string, string | undefined>> = {
  ...UNFIT,
  plainServer: "a side with plainUsers is the server",
  authenticate: "plainUsers, curveCertificate and policy decide who may come in",
};

let validator: ValidateFunction | undefined;

/** All that does not fit; nothing when everything does. */
export function validate({ value, filled }: Expanded): readonly Finding[] {
  validator ??= new Ajv({
    allErrors: true,
    verbose: true,
    allowUnionTypes: true,
    strictTypes: false,
    strictRequired: false,
    logger: false,
  }).compile(configurationSchema());
  if (validator(value)) return [];
  const findings = new Map<string, Finding>();
  for (const error of validator.errors ?? []) {
    const finding = findingOf(error, filled);
    if (finding === undefined) continue;
    // One fault of a value is enough; the schema reports some in several ways.
    const key = `${placeKey(finding.path)}${finding.atKey === true ? "key" : finding.message}`;
    if (!findings.has(key)) findings.set(key, finding);
  }
  return [...findings.values()];
}

function findingOf(error: ErrorObject, filled: ReadonlySet<string>): Finding | undefined {
  if (SILENT.includes(error.keyword)) return undefined;
  const path = pathOf(error.instancePath);
  const schema = (error.parentSchema ?? {}) as Schema;
  switch (error.keyword) {
    case "required": {
      // One of several alternatives: reported by the keyword anyOf.
      if (error.schemaPath.includes("/anyOf/")) return undefined;
      const missing = String(error.params.missingProperty);
      return { path, message: `needs the key ${missing}` };
    }
    case "anyOf":
      return { path, message: NO_ENDPOINT };
    case "additionalProperties": {
      const key = String(error.params.additionalProperty);
      const known = Object.keys((schema.properties ?? {}) as Schema);
      const why = path.length >= 3 ? ELSEWHERE[key] : undefined;
      const message = why === undefined ? `unknown key${suggest(key, known)}` : `no key of this file: ${why}`;
      return { path: [...path, key], atKey: true, message };
    }
    case "pattern":
      if (error.propertyName !== undefined)
        return {
          path: [...path, error.propertyName],
          atKey: true,
          message: `expected ${NAME_RULE}`,
        };
      return { path, message: "expected a CURVE key, 40 characters of Z85" };
    case "minProperties":
    case "minItems":
    case "minLength":
      return { path, message: "expected at least one; it is empty" };
    default: {
      const secret = path.some((part) => SECRET.test(String(part))) || filled.has(placeKey(path));
      const { shown, meant } = described(error.data, (schema.enum as unknown[] | undefined) ?? []);
      return { path, message: `expected ${expected(schema)}${secret ? "" : `; got ${shown}${meant}`}` };
    }
  }
}

function described(value: unknown, choices: readonly unknown[]): { shown: string; meant: string } {
  if (typeof value === "string") {
    const shown = JSON.stringify(value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value);
    return { shown, meant: suggest(value, choices.map(String)) };
  }
  if (value === null || value === undefined) return { shown: "nothing", meant: "" };
  if (typeof value === "object") return { shown: Array.isArray(value) ? "a list" : "a map", meant: "" };
  return { shown: String(value), meant: "" };
}

/** What a schema takes, in words. */
function expected(schema: Schema): string {
  const { type, minimum, maximum } = schema;
  const choices = schema.enum as readonly unknown[] | undefined;
  if (choices !== undefined)
    return choices.length === 1 ? String(choices[0]) : `one of ${choices.join(", ")}`;
  if (Array.isArray(type)) return "a text or a list of texts";
  switch (type) {
    case "integer":
      return `a whole number from ${String(minimum)} to ${String(maximum)}`;
    case "boolean":
      return "true or false";
    case "array":
      return "a list of texts";
    case "object":
      return "a map of keys and values";
    default:
      return "a text";
  }
}

/** From a JSON pointer. A key of digits looks like a place in a list, and is found all the same. */
function pathOf(pointer: string): Path {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}
