/** A handler of `serve`, by name or by contract, with its schema checked around it. */
import { describe, isAsyncIterable, isThenable } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { describeIssues, issuePath, type StandardSchemaV1, validate } from "../../core/standard-schema.js";
import { contractHandler, type ServiceContract } from "../../patterns/kit/contract.js";
import { refuse } from "../../patterns/kit/errors.js";
import type { ServeSettings } from "./options.js";
import type { ServiceRequest } from "./types.js";

export type AnyHandler = (body: unknown, request: ServiceRequest) => unknown;

export interface Served {
  readonly handler: AnyHandler;
  /** Gets raw bytes. */
  readonly isRaw: boolean;
  /** Neither middleware nor observers see its requests. */
  readonly isInternal?: boolean;
}

export function byName(name: string, handler: unknown, { schema }: ServeSettings): Served {
  if (typeof handler !== "function")
    throw new InvalidArgumentError(`the handler of ${name} must be a function; got ${describe(handler)}`);
  const { request, reply } = schema ?? {};
  checkSchema("schema.request", request);
  checkSchema("schema.reply", reply as never);
  return { isRaw: false, handler: checked(name, handler as AnyHandler, request, reply as never) };
}

export function byContract(contract: ServiceContract, handlers: unknown, { schema }: ServeSettings): Served {
  if (schema !== undefined) throw new InvalidArgumentError("a contract has its schemas; got schema as well");
  const call = contractHandler<ServiceContract, ServiceRequest>(contract, handlers as never);
  return {
    isRaw: true,
    handler: (body, request) => call([Buffer.from(request.method), body as Buffer], request),
  };
}

function checked(
  service: string,
  handler: AnyHandler,
  request: StandardSchemaV1 | undefined,
  reply: StandardSchemaV1 | undefined,
): AnyHandler {
  if (request === undefined && reply === undefined) return handler;
  const checkReply = (value: unknown): unknown => {
    if (reply === undefined) return value;
    if (isAsyncIterable(value)) return checkedParts(value, checkReply);
    const { issues } = validate(reply, value);
    if (issues === undefined) return value;
    throw refuse("invalid-reply", service, "The reply does not conform to its schema", {}, { cause: issues });
  };
  const checkRequest = (schema: StandardSchemaV1, value: unknown): unknown => {
    const result = validate(schema, value);
    if (result.issues === undefined) return result.value;
    const issues = result.issues.map((issue) => ({ path: issuePath(issue), message: issue.message }));
    const text = `The request does not conform to its schema: ${describeIssues(result.issues)}`;
    throw refuse("invalid-request", service, text, { data: { issues } }, { cause: result.issues });
  };
  return (body, context) => {
    const value = request === undefined ? body : checkRequest(request, body);
    const answer = handler(value, context);
    return isThenable(answer) ? answer.then(checkReply) : checkReply(answer);
  };
}

async function* checkedParts(
  parts: AsyncIterable<unknown>,
  check: (value: unknown) => unknown,
): AsyncGenerator<unknown, void, undefined> {
  for await (const part of parts) yield check(part);
}

/** @throws InvalidArgumentError `EINVAL` */
function checkSchema(what: string, schema: StandardSchemaV1 | undefined): void {
  if (schema === undefined || typeof schema?.["~standard"]?.validate === "function") return;
  throw new InvalidArgumentError(
    `${what} must be a schema (Standard Schema, version 1); got ${describe(schema)}`,
  );
}
