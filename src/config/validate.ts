/** Checks a configuration against its schema, with faults in words. */
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import { suggest } from "../core/arguments.js";
import { type Expanded, type Finding, type Path, placeKey, SHOWN } from "./file.js";

export interface Schema {
  readonly [keyword: string]: unknown;
}

export interface SchemaWords {
  /** A map that fits no alternative. */
  readonly anyOf: string;
  /** A text that does not fit its pattern. */
  readonly pattern: string;
  /** A key that does not fit its pattern. */
  readonly key: string;
  /** Why a key is not allowed in the file, if known. */
  elsewhere?(path: Path, key: string): string | undefined;
}

/** Names of secrets, which no message repeats. */
const SECRET = /(?:secretkey|password|plainusers)/i;
/** Keywords that only repeat others' faults, or report none. */
const SILENT = ["if", "propertyNames"];

/** The schema is compiled at the first check. */
export class SchemaChecker {
  readonly #schema: () => Schema;
  readonly #words: SchemaWords;
  #validator: ValidateFunction | undefined;

  constructor(schema: () => Schema, words: SchemaWords) {
    this.#schema = schema;
    this.#words = words;
  }

  check({ value, filled }: Expanded): readonly Finding[] {
    this.#validator ??= new Ajv({
      allErrors: true,
      verbose: true,
      allowUnionTypes: true,
      strictTypes: false,
      strictRequired: false,
      // Compiling each definition once, without optimization, halved the processor time of a start with a file.
      inlineRefs: false,
      code: { optimize: false },
      logger: false,
    })
      .addVocabulary(["flag"])
      .compile(this.#schema());
    if (this.#validator(value)) return [];
    const findings = new Map<string, Finding>();
    for (const error of this.#validator.errors ?? []) {
      const finding = findingOf(error, filled, this.#words);
      if (finding === undefined) continue;
      // The schema reports some faults in several ways.
      const key = `${placeKey(finding.path)}${finding.atKey === true ? "key" : finding.message}`;
      if (!findings.has(key)) findings.set(key, finding);
    }
    return [...findings.values()];
  }
}

function findingOf(error: ErrorObject, filled: ReadonlySet<string>, words: SchemaWords): Finding | undefined {
  if (SILENT.includes(error.keyword)) return undefined;
  const path = pathOf(error.instancePath);
  const schema = (error.parentSchema ?? {}) as Schema;
  switch (error.keyword) {
    case "required": {
      // The keyword anyOf reports alternatives.
      if (error.schemaPath.includes("/anyOf/")) return undefined;
      const missing = String(error.params.missingProperty);
      return { path, message: `needs the key ${missing}` };
    }
    case "dependencies":
      return {
        path,
        message: `${String(error.params.property)} needs the key ${String(error.params.missingProperty)}`,
      };
    case "anyOf":
      return { path, message: words.anyOf };
    case "additionalProperties": {
      const key = String(error.params.additionalProperty);
      const known = Object.keys((schema.properties ?? {}) as Schema);
      const why = words.elsewhere?.(path, key);
      const message = why === undefined ? `unknown key${suggest(key, known)}` : `no key of this file: ${why}`;
      return { path: [...path, key], atKey: true, message };
    }
    case "pattern":
      if (error.propertyName !== undefined)
        return { path: [...path, error.propertyName], atKey: true, message: `expected ${words.key}` };
      return { path, message: `expected ${words.pattern}` };
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

function expected(schema: Schema): string {
  const { type, minimum, maximum } = schema;
  const range = minimum === undefined ? "" : ` from ${String(minimum)} to ${String(maximum)}`;
  const choices = schema.enum as readonly unknown[] | undefined;
  if (choices !== undefined)
    return choices.length === 1 ? String(choices[0]) : `one of ${choices.join(", ")}`;
  if (Array.isArray(type)) return type.map((each) => expected({ ...schema, type: each })).join(" or ");
  switch (type) {
    case "integer":
      return `a whole number${range}`;
    case "number":
      return `a number${range}`;
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

/** A numeric key becomes a list index, which finds it as well. */
function pathOf(pointer: string): Path {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}
