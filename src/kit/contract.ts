/**
 * Service contracts: methods with schemas of their requests and replies, shared by both ends.
 *
 *   request   method | value       two frames: the method's name in UTF-8, and the value in the contract's codec
 *   reply     value                one frame; of a method with `stream` one for each piece
 *
 * An empty frame is the value `undefined`, unless the codec encodes another value as no bytes.
 *
 *   client                                        worker
 *   schema of the request -> EINVAL               schema of the request -> invalid-request; the handler is not called
 *   schema of the reply   -> ERR_INVALID_MESSAGE  schema of the reply   -> invalid-reply
 *
 * Values are sent as given; the receiver's schema transforms them. So a client passes a schema's input and the handler
 * gets its output, and the other way round for replies.
 */
import { describe, invalidArgument, isThenable } from "../core/arguments.js";
import { InvalidArgumentError, InvalidMessageError } from "../core/errors.js";
import { describeIssues, issuePath, type StandardSchemaV1, validate } from "../core/standard-schema.js";
import { type Codec, json } from "../sockets/codec.js";
import { encodeValue } from "../sockets/message.js";
import { decodeValue } from "./body.js";
import { refuse } from "./errors.js";
import { checkKeys } from "./options.js";

export interface ServiceMethod {
  /** Schema of the request. */
  readonly request: StandardSchemaV1;
  /** Schema of the reply. */
  readonly reply: StandardSchemaV1;
  readonly stream?: undefined;
}

export interface ServiceStreamMethod {
  /** Schema of the request. */
  readonly request: StandardSchemaV1;
  readonly reply?: undefined;
  readonly stream: StandardSchemaV1;
}

export type ServiceMethods = Readonly<Record<string, ServiceMethod | ServiceStreamMethod>>;

/** A frozen contract from {@link defineService}. */
export interface ServiceContract<M extends ServiceMethods = ServiceMethods> {
  readonly name: string;
  readonly methods: M;
  readonly codec: Codec<unknown>;
}

/** Options of {@link defineService}. */
export interface ServiceDefinition<M extends ServiceMethods> {
  readonly name: string;
  /** One or more; names have 1 to 255 bytes. Schemas come from any Standard Schema v1 library. */
  readonly methods: M;
  /** Encodes a value as one frame. Default `json()`. */
  readonly codec?: Codec<unknown> | undefined;
}

type Input<S> = S extends StandardSchemaV1 ? StandardSchemaV1.InferInput<S> : never;
type Output<S> = S extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<S> : never;

/** A request that may be `undefined` is optional. */
type CallArguments<Request, Options> = undefined extends Request
  ? [request?: Request, options?: Options]
  : [request: Request, options?: Options];

/** One function per method. */
export type ServiceClient<C extends ServiceContract, Options = object> = {
  readonly [K in keyof C["methods"]]: (
    ...call: CallArguments<Input<C["methods"][K]["request"]>, Options>
  ) => C["methods"][K] extends ServiceStreamMethod
    ? AsyncIterableIterator<Output<C["methods"][K]["stream"]>, undefined>
    : Promise<Output<C["methods"][K]["reply"]>>;
};

/** One function per method, in an object or class instance. */
export type ServiceHandlers<C extends ServiceContract, Context = unknown> = {
  readonly [K in keyof C["methods"]]: (
    request: Output<C["methods"][K]["request"]>,
    context: Context,
  ) => C["methods"][K] extends ServiceStreamMethod
    ? AsyncIterable<Input<C["methods"][K]["stream"]>>
    : Input<C["methods"][K]["reply"]> | Promise<Input<C["methods"][K]["reply"]>>;
};

type Frame = Uint8Array | string;

export interface ServiceCaller<Options> {
  /**
   * Rejects instead of throwing.
   * @param decode its errors reject the call
   */
  request<T>(
    frames: Frame[],
    decode: (frames: readonly Buffer[]) => T,
    options: Options | undefined,
  ): Promise<T>;
  /** Throws instead of rejecting. */
  stream<T>(
    frames: Frame[],
    decode: (frames: readonly Buffer[]) => T,
    options: Options | undefined,
  ): AsyncIterableIterator<T, undefined>;
}

export type ContractHandler<Context> = (
  frames: readonly Buffer[],
  context: Context,
) => Frame | PromiseLike<Frame> | AsyncGenerator<Frame, undefined, void>;

/** Bytes. */
export const MAX_METHOD_NAME = 255;

const EMPTY = Buffer.alloc(0);

/**
 * Defines a service: its name, and each method's schemas from any Standard Schema library, which must validate
 * synchronously.
 * @throws InvalidArgumentError `EINVAL` for an unknown key, no method, an invalid name, or an invalid schema
 */
export function defineService<const M extends ServiceMethods>(
  definition: ServiceDefinition<M>,
): ServiceContract<M> {
  checkKeys("defineService", definition, ["name", "methods", "codec"]);
  const { name, methods, codec = json() } = definition;
  const contract = { name, methods: Object.freeze({ ...methods }), codec };
  checkContract(contract);
  return Object.freeze(contract);
}

/** @throws InvalidArgumentError `EINVAL` for an invalid contract */
export function serviceClient<C extends ServiceContract, Options>(
  contract: C,
  caller: ServiceCaller<Options>,
): ServiceClient<C, Options> {
  checkContract(contract);
  const values = new ValueCodec(contract.codec);
  const client: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(contract.methods)) {
    const what = `${contract.name}.${name}`;
    const nameFrame = Buffer.from(name);
    const encode = (request: unknown): Frame[] => {
      const { issues } = validate(method.request, request);
      if (issues === undefined) return [nameFrame, values.encode(request)];
      throw new InvalidArgumentError(
        `The request of ${what} does not conform to its schema: ${describeIssues(issues)}`,
        { cause: issues },
      );
    };
    const schema = method.stream ?? method.reply;
    const decode = (frames: readonly Buffer[]): unknown => {
      const result = validate(schema, values.decode(frames));
      if (result.issues === undefined) return result.value;
      throw new InvalidMessageError(
        `The reply of ${what} does not conform to its schema: ${describeIssues(result.issues)}`,
        { cause: result.issues },
      );
    };
    if (method.stream === undefined) {
      client[name] = (request: unknown, options?: Options): Promise<unknown> => {
        try {
          return caller.request(encode(request), decode, options);
        } catch (error) {
          return Promise.reject(error);
        }
      };
    } else {
      client[name] = (request: unknown, options?: Options) => caller.stream(encode(request), decode, options);
    }
  }
  return Object.freeze(client) as ServiceClient<C, Options>;
}

/**
 * Returns a worker's handler. It throws a refusal (errors.ts) with the reason `invalid-request`, `no-method` or
 * `invalid-reply`.
 * @throws InvalidArgumentError `EINVAL` for an invalid contract, or missing or extra handlers
 */
export function contractHandler<C extends ServiceContract, Context>(
  contract: C,
  handlers: ServiceHandlers<C, Context>,
): ContractHandler<Context> {
  checkContract(contract);
  checkHandlers(contract, handlers);
  const { name: service } = contract;
  const values = new ValueCodec(contract.codec);
  const methods = new Map<string, ContractHandler<Context>>();
  for (const [name, method] of Object.entries(contract.methods)) {
    const decode = (frames: readonly Buffer[]): unknown => {
      let value: unknown;
      try {
        value = values.decode(frames.slice(1));
      } catch (cause) {
        throw refuse("invalid-request", service, `The request of ${name} is malformed`, {}, { cause });
      }
      return checkedRequest(method.request, value, service, ` of ${name}`);
    };
    const schema = method.stream ?? method.reply;
    const encode = (value: unknown): Frame => {
      try {
        const { issues } = validate(schema, value);
        if (issues === undefined) return values.encode(value);
        const text = `The reply of ${name} does not conform: ${describeIssues(issues)}`;
        throw new InvalidMessageError(text, { cause: issues });
      } catch (cause) {
        // Clients get only the reason.
        const text = `The reply of ${name} does not conform to its schema`;
        throw refuse("invalid-reply", service, text, {}, { cause });
      }
    };
    // Handlers may use `this`.
    const call = (request: unknown, context: Context): unknown =>
      (handlers as Record<string, (request: unknown, context: Context) => unknown>)[name]?.(request, context);
    methods.set(
      name,
      method.stream === undefined
        ? (frames, context) => {
            const reply = call(decode(frames), context);
            return isThenable(reply) ? Promise.resolve(reply).then(encode) : encode(reply);
          }
        : (frames, context) => eachPiece(call(decode(frames), context) as AsyncIterable<unknown>, encode),
    );
  }
  return (frames, context) => {
    const name = String(frames[0] ?? "");
    const method = methods.get(name);
    if (method !== undefined) return method(frames, context);
    throw refuse("no-method", service, `The service has no method ${describe(name)}`);
  };
}

class ValueCodec {
  readonly #codec: Codec<unknown>;
  /** An empty frame can mean `undefined`. */
  readonly #hasUndefined: boolean = false;

  constructor(codec: Codec<unknown>) {
    this.#codec = codec;
    try {
      codec.decode(EMPTY);
    } catch {
      this.#hasUndefined = true; // The codec has no use for it.
    }
  }

  encode(value: unknown): Frame {
    return value === undefined && this.#hasUndefined ? EMPTY : encodeValue(this.#codec, value);
  }

  decode(frames: readonly Buffer[]): unknown {
    const isUndefined = this.#hasUndefined && frames.length === 1 && frames[0]?.length === 0;
    return isUndefined ? undefined : decodeValue(this.#codec, frames);
  }
}

/**
 * @param of which request, for the error
 * @returns the schema's output
 * @throws ServiceError `invalid-request`
 */
function checkedRequest(schema: StandardSchemaV1, value: unknown, service: string, of = ""): unknown {
  const result = validate(schema, value);
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map((issue) => ({ path: issuePath(issue), message: issue.message }));
  const text = `The request${of} does not conform to its schema: ${describeIssues(result.issues)}`;
  throw refuse("invalid-request", service, text, { data: { issues } }, { cause: result.issues });
}

async function* eachPiece<T>(
  pieces: AsyncIterable<unknown>,
  use: (piece: unknown) => T,
): AsyncGenerator<T, undefined, void> {
  for await (const piece of pieces) yield use(piece);
  return undefined;
}

/** @throws InvalidArgumentError `EINVAL` */
function checkContract(contract: ServiceContract): void {
  if (typeof contract !== "object" || contract === null)
    throw invalidArgument("A contract must come from defineService", contract);
  const { name, methods, codec } = contract;
  if (typeof name !== "string" || name === "")
    throw invalidArgument("A service's name must be a text that is not empty", name);
  if (typeof codec?.encode !== "function" || typeof codec.decode !== "function")
    throw invalidArgument(`Option codec of ${name} must be a codec`, codec);
  if (typeof methods !== "object" || methods === null || Object.keys(methods).length === 0)
    throw invalidArgument(`The service ${name} must have one method or more`, methods);
  for (const [method, schemas] of Object.entries(methods)) checkMethod(name, method, schemas);
}

function checkMethod(service: string, name: string, method: ServiceMethod | ServiceStreamMethod): void {
  const what = `${service}.${name}`;
  const { length } = Buffer.from(name);
  if (length === 0 || length > MAX_METHOD_NAME)
    throw new InvalidArgumentError(`A method's name must have 1 to ${MAX_METHOD_NAME} bytes; got ${length}`);
  // `await` would take a client with a `then` method for a promise.
  if (name === "then") throw new InvalidArgumentError(`A method cannot be named then; got ${what}`);
  checkKeys(what, method, ["request", "reply", "stream"]);
  if ((method.reply === undefined) === (method.stream === undefined))
    throw new InvalidArgumentError(`The method ${what} has a schema for reply, or one for stream`);
  for (const [key, schema] of Object.entries({ ...method, request: method.request })) {
    if (schema !== undefined || key === "request") checkSchema(`Option ${key} of ${what}`, schema);
  }
}

/** @throws InvalidArgumentError `EINVAL` */
function checkSchema(what: string, schema: StandardSchemaV1 | undefined): void {
  if (typeof schema?.["~standard"]?.validate === "function") return;
  throw invalidArgument(`${what} must be a schema (Standard Schema, version 1)`, schema);
}

function checkHandlers(contract: ServiceContract, handlers: object): void {
  const { name, methods } = contract;
  if (typeof handlers !== "object" || handlers === null)
    throw invalidArgument(`The handlers of ${name} must be an object of functions`, handlers);
  const prototype: unknown = Object.getPrototypeOf(handlers);
  if (prototype === Object.prototype || prototype === null)
    checkKeys(`The service ${name}`, handlers, Object.keys(methods));
  for (const method of Object.keys(methods)) {
    const handler = (handlers as Record<string, unknown>)[method];
    if (typeof handler !== "function")
      throw invalidArgument(`The handler of ${name}.${method} must be a function`, handler);
  }
}
