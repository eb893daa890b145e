/** Handlers of services: by name, with schemas checked around them, and by contract. */
import { invalidArgument, isAsyncIterable, isThenable } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { type StandardSchemaV1, validate } from "../../core/standard-schema.js";
import {
  checkedRequest,
  checkSchema,
  contractHandler,
  eachPiece,
  type ServiceContract,
} from "../../kit/contract.js";
import { refuse } from "../../kit/errors.js";
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

/** A handler of `serve` by name, with its schema checked around it. */
export function byName(name: string, handler: unknown, { schema }: ServeSettings): Served {
  if (typeof handler !== "function")
    throw invalidArgument(`the handler of ${name} must be a function`, handler);
  const { request, reply } = schema ?? {};
  if (request !== undefined) checkSchema("schema.request", request);
  if (reply !== undefined) checkSchema("schema.reply", reply);
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
    if (isAsyncIterable(value)) return eachPiece(value, checkReply);
    const { issues } = validate(reply, value);
    if (issues === undefined) return value;
    throw refuse("invalid-reply", service, "The reply does not conform to its schema", {}, { cause: issues });
  };
  return (body, context) => {
    const value = request === undefined ? body : checkedRequest(request, body, service);
    const answer = handler(value, context);
    return isThenable(answer) ? answer.then(checkReply) : checkReply(answer);
  };
}
