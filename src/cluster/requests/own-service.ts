/** A service of this node for its program: announced, drained, closed; by name or contract. */
import { describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { contractHandler, type ServiceContract } from "../../patterns/kit/contract.js";
import { checkBoolean } from "../messaging/checks.js";
import { type AnyHandler, checked, checkSchema, type Served } from "./server.js";
import type { ServedQueue } from "./serving.js";
import type { ServedService, ServedServiceStats, ServeOptions, ServiceRequest } from "./types.js";

export interface OwnServiceEffects {
  withdraw(): void;
  drain(): void;
  remove(): void;
}

export class OwnService implements ServedService {
  readonly name: string;
  readonly ready: Promise<void>;
  readonly queue: ServedQueue;
  isWithdrawn = false;
  /** Settles when no further request can come, or nodes have not acknowledged in time. */
  withdrawn: Promise<void> = Promise.resolve();
  readonly #effects: OwnServiceEffects;
  #announced!: (known: Promise<void>) => void;

  constructor(queue: ServedQueue, effects: OwnServiceEffects) {
    this.name = queue.name;
    this.queue = queue;
    this.#effects = effects;
    this.ready = new Promise((resolve) => {
      this.#announced = resolve;
    });
    this.ready.catch(() => undefined); // A program that awaits it has the error.
  }

  announced(known: Promise<void>): void {
    known.catch(() => undefined); // `ready` has the error.
    this.#announced(known);
  }

  stats(): ServedServiceStats {
    const { name, queue } = this;
    const { running, queued, queuedBytes, handled, failed, refused, abandoned, keyed } = queue;
    return { name, running, queued, queuedBytes, handled, failed, refused, abandoned, kept: keyed.size };
  }

  async drain(): Promise<void> {
    this.#effects.drain();
    // A node that does not know yet may send a request, which must be refused before this node leaves.
    await this.withdrawn;
    await this.#idle();
  }

  async close(): Promise<void> {
    this.#effects.remove();
    await this.withdrawn;
    await this.#idle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #idle(): Promise<void> {
    const { queue } = this;
    if (queue.running > 0 || queue.queued > 0)
      await new Promise<void>((resolve) => queue.onIdle.push(resolve));
  }
}

export function byName(
  name: string,
  handler: unknown,
  { schema, exposeErrors }: ServeOptions<never, never>,
): Served {
  if (typeof handler !== "function")
    throw new InvalidArgumentError(`the handler of ${name} is a function; got ${describe(handler)}`);
  const { request, reply } = schema ?? {};
  checkSchema("schema.request", request);
  checkSchema("schema.reply", reply as never);
  return {
    isRaw: false,
    exposeErrors: checkBoolean("exposeErrors", exposeErrors ?? false),
    handler: checked(name, handler as AnyHandler, request, reply as never),
  };
}

export function byContract(
  contract: ServiceContract,
  handlers: unknown,
  { schema, exposeErrors }: ServeOptions<never, never>,
): Served {
  if (schema !== undefined) throw new InvalidArgumentError("a contract has its schemas; got schema as well");
  const call = contractHandler<ServiceContract, ServiceRequest>(contract, handlers as never);
  return {
    isRaw: true,
    exposeErrors: checkBoolean("exposeErrors", exposeErrors ?? false),
    handler: (body, request) => call([Buffer.from(request.method), body as Buffer], request),
  };
}
