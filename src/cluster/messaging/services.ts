/**
 * What programs send to services and ask them: `send`, `query`, and the way there. service-receiver.ts is the other end.
 *
 *   send, query ── select ── admitted? ── hooks of sending ── encoded once for each protocol ──┬── links, an item for each service
 *                                                                                              └── this node itself
 *
 * Nothing that arrives is ever evaluated as code: data are texts or bytes, which only the program's own hooks and handlers read.
 */
import { checkCallOptions, describe } from "../../core/arguments.js";
import { ClosedError, InvalidArgumentError, type ShoalError, UnroutableError } from "../../core/errors.js";
import type { Service } from "../node/service.js";
import type { ResolverStep } from "../resolver.js";
import { MAX_TARGETS, MAX_UNREAD_BYTES } from "./bounds.js";
import { type ClusterChannels, checkChannel } from "./channels.js";
import {
  checkData,
  checkProtocol,
  checkRuid,
  ENCODING,
  HookAnswer,
  type HookOptions,
  type HookPayload,
  type HookStage,
  type MessageHook,
  type MessageStage,
  type ServiceHook,
  type ServiceStage,
  TRANSMITTING,
  type VetoError,
} from "./hooks.js";
import { Query } from "./query.js";
import { SELF, ServiceContext } from "./service-context.js";
import { ServiceReceiver } from "./service-receiver.js";
import type {
  HandlerOptions,
  ServiceMessageHandler,
  ServiceQueryHandler,
  ServiceQueryOptions,
  ServiceSelection,
  ServiceSendFailure,
  ServiceSendOptions,
  ServiceSendResult,
  ServicesEffects,
  ServicesOptions,
  ServicesStats,
} from "./service-types.js";
import { encodeService, ServiceOp } from "./service-wire.js";

/** ms that a query waits for responses, unless it is given another time. */
const QUERY_TIMEOUT = 5_000;
/** The longest time that a platform timer holds. */
const MAX_TIMEOUT = 2_147_483_647;

const SELECTION = ["services", "resolver", "resolve", "self"] as const;
const SEND_KEYS = [...SELECTION, "broadcast", "protocols", "channel", "ruid", "data"];
const QUERY_KEYS = [...SELECTION, "protocols", "channel", "id", "data", "timeout", "signal", "maxReplyBytes"];

type Hook = MessageHook | ServiceHook;

interface Selected {
  readonly services: readonly Service[];
  readonly failed: ServiceSendFailure[];
}

export class Services {
  readonly #context: ServiceContext;
  readonly #receiver: ServiceReceiver;
  /** What each query leaves behind until it ends: its timer, its listener. */
  readonly #cleanups = new Map<Query, () => void>();

  constructor(effects: ServicesEffects, options: ServicesOptions = {}) {
    this.#context = new ServiceContext(effects, options);
    this.#receiver = new ServiceReceiver(this.#context, options.codec);
  }

  get channels(): ClusterChannels {
    return this.#context.channels;
  }

  // --- What programs call --------------------------------------------------------------------------------------------

  hook(stage: MessageStage, call: MessageHook): () => void;
  hook(stage: MessageStage, options: HookOptions, call: MessageHook): () => void;
  hook(stage: ServiceStage, call: ServiceHook): () => void;
  hook(stage: HookStage, ...rest: [Hook] | [HookOptions, Hook]): () => void {
    this.#assertOpen();
    const [options, call] = rest.length === 1 ? [undefined, rest[0]] : rest;
    checkCallOptions("hook", options, ["channels", "protocols"]);
    const remove = this.#context.hooks.add(stage, options ?? {}, call);
    this.#context.admission.hooksChanged();
    return () => {
      remove();
      this.#context.admission.hooksChanged();
    };
  }

  onMessage(call: ServiceMessageHandler, options: HandlerOptions = {}): () => void {
    this.#assertOpen();
    return this.#receiver.onMessage(call, options);
  }

  onQuery(call: ServiceQueryHandler, options: HandlerOptions = {}): () => void {
    this.#assertOpen();
    return this.#receiver.onQuery(call, options);
  }

  async send(options: ServiceSendOptions): Promise<ServiceSendResult> {
    this.#assertOpen();
    checkCallOptions("send", options, SEND_KEYS);
    if (options === undefined || options === null)
      throw new InvalidArgumentError(`send takes an object; got ${describe(options)}`);
    const { broadcast, channel = 0, ruid = "", data = "" } = options;
    if (broadcast !== undefined && typeof broadcast !== "boolean")
      throw new InvalidArgumentError(`broadcast is true or false; got ${describe(broadcast)}`);
    const protocols = protocolsOf(options.protocols);
    checkChannel(channel);
    checkRuid(ruid);
    const payload: HookPayload = { data: checkData("data", data), channel, ruid };
    const { services, failed } = this.#select("send", options, broadcast === true);

    const passed = await this.#context.hooks.pass(ENCODING, payload, {
      kind: "message",
      services,
      protocol: "",
    });
    if (passed instanceof HookAnswer) {
      this.#context.counts.answered += 1;
      return { sent: [], failed: [], means: "none", answer: passed.data };
    }
    const sent: Service[] = [];
    let answer: string | Buffer | undefined;
    await this.#sendTo(services, passed, protocols, {
      op: ServiceOp.MESSAGE,
      id: 0,
      sent: (service) => sent.push(service),
      failed: (service, error) => failed.push({ name: service.name, service, error }),
      answered: (_, data) => {
        answer = data;
      },
    });
    this.#context.counts.sent += sent.length;
    this.#context.counts.failed += failed.length;
    return { sent, failed, means: sent.length > 0 ? "links" : "none", answer };
  }

  query(options: ServiceQueryOptions): Query {
    this.#assertOpen();
    checkCallOptions("query", options, QUERY_KEYS);
    if (options === undefined || options === null)
      throw new InvalidArgumentError(`query takes an object; got ${describe(options)}`);
    const { channel = 0, id, data = "", timeout = QUERY_TIMEOUT, signal } = options;
    const { maxReplyBytes = MAX_UNREAD_BYTES } = options;
    const protocols = protocolsOf(options.protocols);
    checkChannel(channel);
    if (id !== undefined) checkRuid(id);
    if (typeof timeout !== "number" || !(timeout === -1 || (timeout >= 0 && timeout <= MAX_TIMEOUT)))
      throw new InvalidArgumentError(
        `timeout is ms from 0 to ${MAX_TIMEOUT}, or -1; got ${describe(timeout)}`,
      );
    if (signal !== undefined && !(signal instanceof AbortSignal))
      throw new InvalidArgumentError(`signal is an AbortSignal; got ${describe(signal)}`);
    if (!Number.isSafeInteger(maxReplyBytes) || maxReplyBytes < 0)
      throw new InvalidArgumentError(
        `maxReplyBytes is a whole number from 0; got ${describe(maxReplyBytes)}`,
      );
    const checked = checkData("data", data);
    const { services, failed } = this.#select("query", options, false);
    const unknown = failed.find(({ service }) => service === undefined);
    if (unknown !== undefined) throw unknown.error;
    const gone = failed.map(({ service }) => service as Service);
    this.#context.pending.assertRoom(services.length + gone.length);

    const number = this.#context.pending.take();
    const ruid = id ?? String(number);
    const query: Query = new Query(ruid, [...services, ...gone], maxReplyBytes, (ended) =>
      this.#endQuery(number, ended),
    );
    this.#context.pending.add(number, query);
    const cleanups: (() => void)[] = [];
    if (timeout >= 0) {
      // After a turn, so that what came while the program computed counts as in time.
      const timer = setTimeout(() => setImmediate(() => query.end("timeout")), timeout);
      cleanups.push(() => clearTimeout(timer));
    }
    if (signal !== undefined) {
      const abort = (): void => query.end("cancelled");
      signal.addEventListener("abort", abort, { once: true });
      cleanups.push(() => signal.removeEventListener("abort", abort));
    }
    this.#cleanups.set(query, () => {
      for (const cleanup of cleanups) cleanup();
    });
    if (signal?.aborted === true) query.end("cancelled");
    for (const { service, error } of failed) query.respond({ service: service as Service, error });
    if (services.length === 0) query.end("done");
    else if (query.ended === undefined)
      void this.#ask(query, number, services, { data: checked, channel, ruid }, protocols);
    return query;
  }

  stats(): ServicesStats {
    return {
      ...this.#context.counts,
      queries: this.#context.pending.size,
      awaited: this.#context.pending.awaited,
      ...this.#receiver.stats(),
      refused: { ...this.#context.refused },
    };
  }

  // --- What the bus brings -------------------------------------------------------------------------------------------

  /**
   * An item of a member came. It never throws or rejects.
   *
   * @returns settles when the next one may come; `undefined`: now
   */
  onItem(from: string, item: Buffer): void | Promise<void> {
    return this.#receiver.onBytes(from, item, this.#context.effects.protocolOf(from));
  }

  /** A member was seen first, or is back, or is another than before, or is gone. */
  onMember(what: "discovered" | "found" | "changed" | "lost", service: Service): void {
    this.#context.admission.onMember(what, service);
    if (what === "lost")
      this.#context.pending.onGone(service.id, (gone) => ({
        service: gone,
        error: new UnroutableError(`${gone.name} is gone`),
      }));
  }

  close(): void {
    this.#context.closed = true;
    this.#context.pending.close();
    this.#receiver.close();
  }

  // --- Sending -------------------------------------------------------------------------------------------------------

  #select(call: string, options: ServiceSelection, all: boolean): Selected {
    const { services, resolver, resolve, self = false } = options;
    if (typeof self !== "boolean")
      throw new InvalidArgumentError(`self is true or false; got ${describe(self)}`);
    const found = new Map<string, Service>();
    const failed: ServiceSendFailure[] = [];
    const add = (service: Service): void => void found.set(service.id, service);
    if (services !== undefined) {
      if (typeof services === "string" || typeof services?.[Symbol.iterator] !== "function")
        throw new InvalidArgumentError(`services is a list; got ${describe(services)}`);
      for (const each of services) {
        const name = typeof each === "string" ? each : each?.id;
        if (typeof name !== "string")
          throw new InvalidArgumentError(`services are services, ids or names; got ${describe(each)}`);
        const live = this.#context.effects.find(name);
        if (live !== undefined) add(live);
        else {
          const shown = typeof each === "string" ? each : each.name;
          failed.push({
            name: shown,
            service: typeof each === "string" ? undefined : each,
            error: new UnroutableError(`no live member is called ${JSON.stringify(shown)}`),
          });
        }
      }
    }
    if (resolver !== undefined)
      for (const service of Array.isArray(resolver)
        ? this.#context.effects.resolve(resolver as readonly ResolverStep[])
        : servicesOf(resolver as Iterable<Service>))
        add(service);
    if (resolve !== undefined)
      for (const service of this.#context.effects.resolve([
        { has: typeof resolve === "string" ? [resolve] : resolve },
      ]))
        add(service);
    if (services === undefined && resolver === undefined && resolve === undefined) {
      if (!all)
        throw new InvalidArgumentError(
          `${call} takes services, resolver or resolve${call === "send" ? ", or broadcast: true for all" : ""}`,
        );
      for (const service of this.#context.effects.others()) add(service);
      if (self) add(this.#context.effects.self());
    }
    if (!self) found.delete(this.#context.effects.self().id);
    if (found.size > MAX_TARGETS)
      throw new InvalidArgumentError(`${call} goes to ${MAX_TARGETS} services at most; got ${found.size}`);
    return { services: [...found.values()], failed };
  }

  async #ask(
    query: Query,
    number: number,
    services: readonly Service[],
    payload: HookPayload,
    protocols: readonly string[] | undefined,
  ): Promise<void> {
    const fail = (service: Service, error: ShoalError): void => {
      this.#context.counts.failed += 1;
      query.respond({ service, error });
    };
    try {
      const passed = await this.#context.hooks.pass(ENCODING, payload, {
        kind: "query",
        services,
        protocol: "",
      });
      if (passed instanceof HookAnswer) {
        this.#context.counts.answered += 1;
        for (const service of services) query.respond({ service, data: passed.data });
        return;
      }
      await this.#sendTo(services, passed, protocols, {
        op: ServiceOp.QUERY,
        id: number,
        sent: () => {
          this.#context.counts.sent += 1;
        },
        failed: fail,
        answered: (service, data) => void query.respond({ service, data }),
      });
    } catch (error) {
      for (const service of services) if (query.awaits(service.id)) fail(service, error as ShoalError);
    }
  }

  #endQuery(number: number, query: Query): void {
    this.#context.pending.remove(number, query);
    this.#cleanups.get(query)?.();
    this.#cleanups.delete(query);
  }

  /** Hands a payload to each service, encoded once for each protocol. */
  async #sendTo(
    services: readonly Service[],
    payload: HookPayload,
    protocols: readonly string[] | undefined,
    each: {
      readonly op: ServiceOp;
      readonly id: number;
      sent(service: Service): void;
      failed(service: Service, error: ShoalError): void;
      answered(service: Service, data: string | Buffer): void;
    },
  ): Promise<void> {
    const kind = each.op === ServiceOp.QUERY ? "query" : "message";
    const groups = new Map<string, Service[]>();
    for (const service of services) {
      const verdict = this.#context.admission.verdictOf(service);
      const veto = verdict instanceof Promise ? await verdict : verdict;
      if (veto !== undefined) {
        each.failed(service, veto);
        continue;
      }
      const protocol = this.#protocolTo(service, protocols);
      if (protocol instanceof UnroutableError) {
        each.failed(service, protocol);
        continue;
      }
      const group = groups.get(protocol);
      if (group === undefined) groups.set(protocol, [service]);
      else group.push(service);
    }
    for (const [protocol, group] of groups) {
      let passed: HookPayload | HookAnswer;
      try {
        passed = await this.#context.hooks.pass(TRANSMITTING, payload, { kind, services: group, protocol });
      } catch (error) {
        for (const service of group) each.failed(service, error as VetoError);
        continue;
      }
      if (passed instanceof HookAnswer) {
        this.#context.counts.answered += 1;
        for (const service of group) each.answered(service, passed.data);
        continue;
      }
      // The handlers take the number for an id that is not there.
      const ruid = each.id !== 0 && passed.ruid === String(each.id) ? "" : passed.ruid;
      const item = encodeService({ ...passed, op: each.op, id: each.id, ruid });
      for (const service of group) {
        if (protocol === SELF) {
          each.sent(service);
          void this.#receiver.onBytes(service.id, item, SELF);
          continue;
        }
        const error = this.#context.sendItem(service, item, passed.channel);
        if (error === undefined) each.sent(service);
        else each.failed(service, error);
      }
    }
  }

  #protocolTo(service: Service, protocols: readonly string[] | undefined): string | UnroutableError {
    if (service.id === this.#context.effects.self().id) return SELF;
    const protocol = this.#context.effects.protocolOf(service.id);
    if (protocols === undefined || protocol === "" || protocols.includes(protocol)) return protocol;
    return new UnroutableError(
      `the link to ${service.name} is ${protocol}, which is not one of ${protocols.join(", ")}`,
    );
  }

  #assertOpen(): void {
    if (this.#context.closed) throw new ClosedError("EBADF", "the bus is closed");
  }
}

function* servicesOf(services: Iterable<Service>): Iterable<Service> {
  if (typeof services?.[Symbol.iterator] !== "function" || typeof services === "string")
    throw new InvalidArgumentError(
      `resolver is a list of conditions, or a resolver; got ${describe(services)}`,
    );
  yield* services;
}

function protocolsOf(protocols: readonly string[] | undefined): readonly string[] | undefined {
  if (protocols === undefined) return undefined;
  if (!Array.isArray(protocols) || protocols.length === 0)
    throw new InvalidArgumentError(`protocols is an array with at least one; got ${describe(protocols)}`);
  for (const protocol of protocols) checkProtocol(protocol);
  return protocols;
}
