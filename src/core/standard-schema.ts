/**
 * The part of Standard Schema (https://standardschema.dev, version 1) that shoal uses. A test compares the
 * types with `@standard-schema/spec`.
 */

import { isThenable } from "./arguments.js";
import { NotSupportedError } from "./errors.js";
import { ignore } from "./waiter.js";

export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly "~standard": StandardSchemaV1.Props<Input, Output>;
}

export declare namespace StandardSchemaV1 {
  interface Props<Input = unknown, Output = Input> {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Result<Output> | Promise<Result<Output>>;
    /** Types only; absent at run time. */
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
    /** Absent for the value itself. */
    readonly path?: readonly (PropertyKey | PathSegment)[] | undefined;
  }

  interface PathSegment {
    readonly key: PropertyKey;
  }

  type InferInput<Schema extends StandardSchemaV1> = NonNullable<Schema["~standard"]["types"]>["input"];

  type InferOutput<Schema extends StandardSchemaV1> = NonNullable<Schema["~standard"]["types"]>["output"];
}

/** @throws NotSupportedError `NOT_SUPPORTED` for an asynchronous schema */
export function validate(schema: StandardSchemaV1, value: unknown): StandardSchemaV1.Result<unknown> {
  const result = schema["~standard"].validate(value);
  if (!isThenable(result)) return result;
  result.then(ignore, ignore); // Also a rejection.
  throw new NotSupportedError("A message schema has to validate synchronously");
}

export function describeIssues(issues: readonly StandardSchemaV1.Issue[]): string {
  return issues
    .map((issue) => {
      const path = issuePath(issue).join(".");
      return path === "" ? issue.message : `${path}: ${issue.message}`;
    })
    .join("; ");
}

export function issuePath(issue: StandardSchemaV1.Issue): string[] {
  return (issue.path ?? []).map((part) => String(typeof part === "object" ? part.key : part));
}
