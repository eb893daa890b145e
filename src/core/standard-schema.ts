/**
 * The part of Standard Schema (https://standardschema.dev, version 1) that shoal uses. Validators such as zod and
 * valibot have this shape; the types are here, so that they need no package. A test holds them to the package
 * `@standard-schema/spec`.
 */
import { NotSupportedError } from "./errors.js";

/** A validator: what accepts or refuses values, and may transform them. */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly "~standard": StandardSchemaV1.Props<Input, Output>;
}

export declare namespace StandardSchemaV1 {
  interface Props<Input = unknown, Output = Input> {
    readonly version: 1;
    /** The library that the validator comes from. */
    readonly vendor: string;
    readonly validate: (value: unknown) => Result<Output> | Promise<Result<Output>>;
    /** For types alone: nothing is there when the program runs. */
    readonly types?: Types<Input, Output> | undefined;
  }

  interface Types<Input = unknown, Output = Input> {
    readonly input: Input;
    readonly output: Output;
  }

  type Result<Output> = SuccessResult<Output> | FailureResult;

  interface SuccessResult<Output> {
    readonly value: Output;
    readonly issues?: undefined;
  }

  interface FailureResult {
    readonly issues: readonly Issue[];
  }

  interface Issue {
    readonly message: string;
    /** Where in the value; absent for the value itself. */
    readonly path?: readonly (PropertyKey | PathSegment)[] | undefined;
  }

  interface PathSegment {
    readonly key: PropertyKey;
  }

  /** The type of what a validator takes. */
  type InferInput<Schema extends StandardSchemaV1> = NonNullable<Schema["~standard"]["types"]>["input"];

  /** The type of what a validator gives. */
  type InferOutput<Schema extends StandardSchemaV1> = NonNullable<Schema["~standard"]["types"]>["output"];
}

/**
 * What a schema makes of a value.
 *
 * @throws NotSupportedError `NOT_SUPPORTED` for a schema that validates asynchronously
 */
export function validate(schema: StandardSchemaV1, value: unknown): StandardSchemaV1.Result<unknown> {
  const result = schema["~standard"].validate(value);
  if (!isPending(result)) return result;
  result.then(ignore, ignore); // Its outcome is of no use any more, not even a rejection.
  throw new NotSupportedError("A message schema has to validate synchronously");
}

/** What is wrong with a value, one issue after the other: `amount: expected a number; …`. */
export function describeIssues(issues: readonly StandardSchemaV1.Issue[]): string {
  return issues
    .map((issue) => {
      const path = issuePath(issue).join(".");
      return path === "" ? issue.message : `${path}: ${issue.message}`;
    })
    .join("; ");
}

/** Where in a value an issue is: a name or index for each level. */
export function issuePath(issue: StandardSchemaV1.Issue): string[] {
  return (issue.path ?? []).map((part) => String(typeof part === "object" ? part.key : part));
}

function isPending<T>(result: T | Promise<T>): result is Promise<T> {
  return typeof (result as Partial<Promise<T>> | null)?.then === "function";
}

function ignore(): void {}
