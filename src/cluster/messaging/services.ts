/**
 * What programs send to services and ask them: `send`, `query`, and the way there. service-receiver.ts is the other end.
 *
 *   send, query ── select ── admitted? ── hooks of sending ── encoded once for each protocol ──┬── links, an item for each service
 *                                                                                              └── this node itself
 *
 * All of that is done in one go where nothing waits. What waits keeps its turn at each of its services (send-lines.ts).
 *
 * Nothing that arrives is ever evaluated as code: data are texts or bytes, which only the program's own hooks and handlers read.
 */
import { checkCallOptions, describe, quoted } from "../../core/arguments.js";
import {
  ClosedError,
  InvalidArgumentError,
  type ShoalError,
  TimeoutError,
  UnroutableError,
} from "../../core/errors.js";
import {
  channelDestination,
  contextToSend,
  isMessageSendObserved,
  type MessageSendOperation,
  observeMessageSend,
  startMessageSend,
} from "../../core/message-operations.js";
import { suggest } from "../../core/suggestions.js";
import type { Service } from "../node/service.js";
import type { ResolverStep } from "../resolver.js";
import { MAX_TARGETS, MAX_UNREAD_BYTES } from "./bounds.js";
import { type ClusterChannels, checkChannel } from "./channels.js";
import type { GroupSends } from "./group-sends.js";
import {
  checkData,
  checkProtocol,
  checkRuid,
  ENCODING,
  HookAnswer,
  type HookOptions,
  type HookPayload,
  type HookStage,
  type Hooks,
  type MessageHook,
  type MessageStage,
  type ServiceHook,
  type ServiceStage,
  TRANSMITTING,
  type VetoError,
} from "./hooks.js";
import { Query } from "./query.js";
import { SendLines, type SendTurn } from "./send-lines.js";
import { prefixOfChannel, SELF, ServiceContext } from "./service-context.js";
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
const QUERY_KEYS = [
  ...SELECTION,
  "broadcast",
  "protocols",
  "channel",
  "id",
  "data",
  "timeout",
  "signal",
  "maxReplyBytes",
];

/** How a message may go, protocols of a program's own apart. One that this node does not have reaches nobody. */
const PROTOCOLS = ["ipc", "tcp", "node", "ws", "tls", "udp", SELF];

/** Services without a link from which on a datagram to all of them is cheaper than so many links. */
const GROUP_FROM = 8;

interface Means {
  readonly broadcast: boolean | undefined;
  readonly protocols: readonly string[] | undefined;
}

/** Where what becomes of each recipient goes. */
interface Recipients {
  readonly op: ServiceOp;
  /** By which alone it goes; `undefined`: all. */
  readonly protocols: readonly string[] | undefined;
  readonly id: number;
  /** Of a trace. */
  readonly context: Buffer | undefined;
  /** Nobody was selected: also for members that are not known here yet. */
  readonly isForAll: boolean;
  readonly lines: SendLines;
  /** Its turns, by id, where it has joined the lines of all its services; one without a turn there found its line full. */
  readonly turns: ReadonlyMap<string, SendTurn> | undefined;
  /** It has waited for the details of its services already. */
  readonly hasDetails?: boolean;
  /** Whether it is still to go to a service for which it has waited. */
  isWanted(service: Service): boolean;
  sent(service: Service, means: "links" | "datagram"): void;
  failed(service: Service, error: ShoalError): void;
  answered(service: Service, data: string | Buffer): void;
}

/** An item as it is, and with the context of a trace. */
interface ItemForms {
  readonly plain: Buffer;
  readonly traced: Buffer | undefined;
}

/** An item, or what keeps it here: hooks answered or vetoed it. */
type Outcome = ItemForms | HookAnswer | ShoalError;

type Hook = MessageHook | ServiceHook;

interface Selected {
  readonly services: readonly Service[];
  readonly failed: ServiceSendFailure[];
}

export class Services {
  readonly #context: ServiceContext;
  readonly #receiver: ServiceReceiver;
  /** By how deep in hooks of sending a message is: what a hook sends does not wait for that which waits for the hook. */
  readonly #lines: SendLines[] = [];
  /** Names that `protocols` may have. */
  readonly #protocols: readonly string[];
  /** What each query leaves behind until it ends: its timer, its listener. */
  readonly #cleanups = new Map<Query, () => void>();

  constructor(effects: ServicesEffects, options: ServicesOptions = {}) {
    this.#context = new ServiceContext(effects, options);
    this.#receiver = new ServiceReceiver(this.#context, options.codec);
    this.#protocols = [...new Set([...PROTOCOLS, ...(options.protocols ?? [])])];
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
    // A name that no protocol has would keep it from being called, and from encrypting what it was meant to.
    protocolsOf(options?.protocols, this.#protocols);
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

  send(options: ServiceSendOptions): Promise<ServiceSendResult> {
    if (!isMessageSendObserved()) return this.#send(options, undefined);
    return observeMessageSend(
      "send",
      channelDestination(options?.channel ?? 0),
      options?.data,
      (context) => this.#send(options, context),
      ({ sent }) => sent.length,
    );
  }

  async #send(options: ServiceSendOptions, context: Buffer | undefined): Promise<ServiceSendResult> {
    this.#assertOpen();
    checkCallOptions("send", options, SEND_KEYS);
    if (options === undefined || options === null)
      throw new InvalidArgumentError(`send takes an object; got ${describe(options)}`);
    const { channel = 0, ruid = "", data = "" } = options;
    const means = meansOf(options, this.#protocols);
    checkChannel(channel);
    checkRuid(ruid);
    const payload: HookPayload = { data: checkData("data", data), channel, ruid };
    const { services, failed } = this.#select("send", options, means.broadcast === true);
    const lines = this.#linesHere();

    const passing = this.#context.hooks.pass(ENCODING, payload, { kind: "message", services, protocol: "" });
    let turns: ReadonlyMap<string, SendTurn> | undefined;
    try {
      // Those that were called before this one join the lines before it.
      await undefined;
      if (passing instanceof Promise) turns = lines.joinAll(services, sizeOf(payload.data));
      const passed = passing instanceof Promise ? await passing : passing;
      if (passed instanceof HookAnswer) {
        this.#context.counts.answered += 1;
        return { sent: [], failed: [], means: "none", answer: passed.data };
      }
      const sent: Service[] = [];
      let answer: string | Buffer | undefined;
      const used = new Set<"links" | "datagram">();
      const waiting = this.#sendTo(services, passed, means, {
        op: ServiceOp.MESSAGE,
        protocols: means.protocols,
        id: this.#context.pending.take(),
        context,
        isForAll: isUnselected(options),
        lines,
        turns,
        isWanted: () => true,
        sent: (service, by) => {
          sent.push(service);
          this.#context.notices.give(service.id);
          used.add(by);
        },
        failed: (service, error) => failed.push({ name: service.name, service, error }),
        answered: (_, data) => {
          answer = data;
        },
      });
      if (waiting !== undefined) await waiting;
      this.#context.counts.sent += sent.length;
      this.#context.counts.failed += failed.length;
      const [by = "none"] = used;
      return { sent, failed, means: used.size > 1 ? "both" : by, answer };
    } finally {
      if (turns !== undefined) leaveAll(turns);
    }
  }

  query(options: ServiceQueryOptions): Query {
    this.#assertOpen();
    checkCallOptions("query", options, QUERY_KEYS);
    if (options === undefined || options === null)
      throw new InvalidArgumentError(`query takes an object; got ${describe(options)}`);
    const { channel = 0, id, data = "", timeout = QUERY_TIMEOUT, signal } = options;
    const { maxReplyBytes = MAX_UNREAD_BYTES } = options;
    const means = meansOf(options, this.#protocols);
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
    const lines = this.#linesHere();
    this.#context.pending.assertRoom(services.length + gone.length);

    const number = this.#context.pending.take();
    const ruid = id ?? String(number);
    const operation = isMessageSendObserved()
      ? startMessageSend("query", channelDestination(channel), checked)
      : undefined;
    const query: Query = new Query(ruid, [...services, ...gone], maxReplyBytes, (ended) => {
      this.#endQuery(number, ended);
      if (operation !== undefined) endOperation(operation, ended, timeout);
    });
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
    else if (query.ended === undefined) {
      const payload = { data: checked, channel, ruid };
      if (operation === undefined) void this.#ask(query, number, services, payload, means, lines, undefined);
      else
        void operation.run(() =>
          this.#ask(query, number, services, payload, means, lines, contextToSend(operation)),
        );
    }
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
    return this.#receiver.onBytes(from, item, this.#context.effects.protocolFrom(from));
  }

  /** A datagram of messaging came from a live member. It never throws. */
  onDatagram(from: string, bytes: Buffer): void {
    this.#receiver.onDatagram(from, bytes);
  }

  /** A member was seen first, or is back, or is another than before, or is gone. */
  onMember(what: "discovered" | "found" | "changed" | "lost", service: Service): void {
    this.#context.admission.onMember(what, service);
    if (what === "discovered" || what === "found") this.#receiver.onReturn(service.id);
    if (what !== "lost") return;
    this.#context.group?.onGone(service.id);
    this.#context.seen.onGone(service.id);
    this.#context.notices.onGone(service.id);
    this.#context.pending.onGone(service.id, (gone) => ({
      service: gone,
      error: new UnroutableError(`${gone.name} is gone`),
    }));
  }

  /** A member was lost, and may come back: items that it has not acknowledged. */
  onGivenUp(id: string, items: readonly Buffer[]): void {
    this.#context.answers.lost(id, items);
  }

  /** A member is there, or back. */
  onReturn(id: string): void {
    this.#context.answers.back(id);
  }

  /** A member is gone for good. */
  onForgotten(id: string): void {
    this.#context.answers.gone(id);
    this.#receiver.onReturn(id);
  }

  close(): void {
    this.#context.closed = true;
    this.#context.answers.close();
    this.#context.pending.close();
    this.#context.group?.close();
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
            error: new UnroutableError(`no live member is called ${quoted(shown)}`),
          });
        }
      }
    }
    if (resolver !== undefined)
      for (const service of isSteps(resolver)
        ? this.#context.effects.resolve(resolver as readonly ResolverStep[])
        : servicesOf(resolver as Iterable<Service>))
        add(service);
    if (resolve !== undefined)
      for (const service of this.#context.effects.resolve([
        { has: typeof resolve === "string" ? [resolve] : resolve },
      ]))
        add(service);
    if (isUnselected(options)) {
      if (!all)
        throw new InvalidArgumentError(
          `${call} takes services, resolver or resolve${call === "send" ? ", or broadcast: true for all" : ""}`,
        );
      for (const service of this.#context.effects.others()) add(service);
      if (self) add(this.#context.effects.self());
    }
    if (!self) found.delete(this.#context.selfId);
    if (found.size > MAX_TARGETS)
      throw new InvalidArgumentError(`${call} goes to ${MAX_TARGETS} services at most; got ${found.size}`);
    return { services: [...found.values()], failed };
  }

  async #ask(
    query: Query,
    number: number,
    services: readonly Service[],
    payload: HookPayload,
    means: Means,
    lines: SendLines,
    context: Buffer | undefined,
  ): Promise<void> {
    const fail = (service: Service, error: ShoalError): void => {
      this.#context.counts.failed += 1;
      query.respond({ service, error });
    };
    let turns: ReadonlyMap<string, SendTurn> | undefined;
    try {
      const passing = this.#context.hooks.pass(ENCODING, payload, { kind: "query", services, protocol: "" });
      // As `send` does.
      await undefined;
      if (passing instanceof Promise) turns = lines.joinAll(services, sizeOf(payload.data));
      const passed = passing instanceof Promise ? await passing : passing;
      if (passed instanceof HookAnswer) {
        this.#context.counts.answered += 1;
        for (const service of services) query.respond({ service, data: passed.data });
        return;
      }
      const waiting = this.#sendTo(services, passed, means, {
        op: ServiceOp.QUERY,
        protocols: means.protocols,
        id: number,
        context,
        isForAll: false,
        lines,
        turns,
        isWanted: ({ id }) => query.ended === undefined && query.awaits(id),
        sent: () => {
          this.#context.counts.sent += 1;
        },
        failed: fail,
        answered: (service, data) => void query.respond({ service, data }),
      });
      if (waiting !== undefined) await waiting;
    } catch (error) {
      for (const service of services) if (query.awaits(service.id)) fail(service, error as ShoalError);
    } finally {
      if (turns !== undefined) leaveAll(turns);
    }
  }

  /** @throws InvalidStateError `EFSM` for hooks that send within each other too deep */
  #linesHere(): SendLines {
    const { depth } = this.#context.hooks;
    let lines = this.#lines[depth];
    if (lines === undefined) {
      lines = new SendLines();
      this.#lines[depth] = lines;
    }
    return lines;
  }

  #endQuery(number: number, query: Query): void {
    this.#context.pending.remove(number, query);
    this.#cleanups.get(query)?.();
    this.#cleanups.delete(query);
  }

  /** Hands a payload to each service by the best means that it may use. @returns settles when none waits; `undefined`: none does */
  #sendTo(
    services: readonly Service[],
    payload: HookPayload,
    means: Means,
    each: Recipients,
  ): Promise<unknown> | undefined {
    const byDatagram: Service[] = [];
    const byLink: Service[] = [];
    const undecided: Service[] = [];
    const verdicts: Promise<unknown>[] = [];
    let linkless = 0;
    const group = this.#context.group?.fits(payload.data.length) === true ? this.#context.group : undefined;
    const { admission, effects } = this.#context;
    for (const service of services) {
      // Hooks that decide about a newcomer see its details.
      const waits = admission.decides && each.hasDetails !== true;
      const verdict = (waits ? effects.whenKnown?.(service.id) : undefined) ?? admission.verdictOf(service);
      if (verdict instanceof Promise) {
        undecided.push(service);
        verdicts.push(verdict);
        continue;
      }
      const way = verdict ?? this.#wayTo(service, means, group);
      if (way === "udp" || way === "either") byDatagram.push(service);
      else if (way === "link") byLink.push(service);
      else each.failed(service, way);
      if (way === "either") linkless += 1;
    }
    // A datagram that few want is dearer than the links that they get anyway.
    const isCheap = linkless === 0 || linkless >= GROUP_FROM;
    if (!isCheap) byLink.push(...byDatagram.splice(0));
    const tasks: Promise<unknown>[] = [];
    if (undecided.length > 0) tasks.push(this.#sendAdmitted(undecided, verdicts, payload, means, each));
    this.#sendByLinks(byLink, payload, means, each, each.op === ServiceOp.QUERY ? each.id : 0, tasks);
    if (byDatagram.length > 0) tasks.push(this.#sendToGroup(byDatagram, payload, means, each));
    return tasks.length === 0 ? undefined : Promise.all(tasks);
  }

  /** Hands it to services about which hooks have yet to decide. The others do not wait for that. */
  async #sendAdmitted(
    services: readonly Service[],
    verdicts: readonly Promise<unknown>[],
    payload: HookPayload,
    means: Means,
    each: Recipients,
  ): Promise<void> {
    const turns = each.turns ?? each.lines.joinAll(services, sizeOf(payload.data));
    try {
      await Promise.all(verdicts);
      await this.#sendTo(this.#liveOf(services, each), payload, means, { ...each, turns, hasDetails: true });
    } finally {
      if (each.turns === undefined) leaveAll(turns);
    }
  }

  /** By datagram, and by their links to those that it does not reach. */
  async #sendToGroup(
    services: readonly Service[],
    payload: HookPayload,
    means: Means,
    each: Recipients,
  ): Promise<void> {
    const again: Service[] = [];
    for (const service of await this.#sendByDatagram(services, payload, each))
      if (mayLink(this.#context.effects.protocolOf(service.id, means.protocols), means.protocols))
        again.push(service);
      else each.failed(service, new TimeoutError("ETIMEDOUT", `${service.name} acknowledged no datagram`));
    const tasks: Promise<unknown>[] = [];
    this.#sendByLinks(again, payload, means, each, each.id, tasks);
    await Promise.all(tasks);
  }

  /** The services as they are now, with their details: those that went meanwhile have failed. */
  #liveOf(services: readonly Service[], each: Recipients): readonly Service[] {
    const live: Service[] = [];
    for (const service of services) {
      const known = this.#context.effects.find(service.id);
      if (known !== undefined) live.push(known);
      else each.failed(service, new UnroutableError(`${service.name} is gone`));
    }
    return live;
  }

  /** @returns those that it did not reach */
  async #sendByDatagram(
    services: readonly Service[],
    payload: HookPayload,
    each: Recipients,
  ): Promise<readonly Service[]> {
    const { group, effects } = this.#context;
    if (group?.fits(payload.data.length) !== true) return services;
    const outcome = await this.#itemFor("udp", services, payload, each, each.id);
    if (!("plain" in outcome)) {
      for (const service of services) goes(outcome, service, each);
      return [];
    }
    const { plain, traced } = outcome;
    // One datagram is for all of them.
    const takes = (bytes: number): boolean =>
      services.every(({ id }) => effects.takesContext?.(id, bytes) === true);
    const item = traced !== undefined && group.fits(traced.length) && takes(traced.length) ? traced : plain;
    if (!group.fits(item.length)) return services;
    const reached = await group.send(each.id, item, services, effects.others(), each.isForAll);
    const rest: Service[] = [];
    for (const service of services)
      if (reached.has(service.id)) each.sent(service, "datagram");
      else rest.push(service);
    return rest;
  }

  /**
   * Within this call, but for services of which something waits: these do not hold up the others.
   *
   * @param id of the items; 0: they have none, since no datagram has gone before them
   * @param tasks gets what waits, and errors
   */
  #sendByLinks(
    services: readonly Service[],
    payload: HookPayload,
    means: Means,
    each: Recipients,
    id: number,
    tasks: Promise<unknown>[],
  ): void {
    if (services.length === 0) return;
    const { effects, selfId: self } = this.#context;
    const isOne = !this.#needsProtocol(means);
    const groups = new Map<string, Service[]>();
    for (const service of services) {
      if (!this.#hasTurn(service, payload, each)) {
        each.failed(service, new ClosedError("EAGAIN", `too many messages to ${service.name} wait`));
        continue;
      }
      const known = service.id === self ? undefined : effects.whenKnown?.(service.id);
      const protocol = isOne
        ? ""
        : service.id === self
          ? SELF
          : effects.protocolOf(service.id, means.protocols);
      if (known !== undefined || (protocol === "" && !isOne)) {
        const making = this.#itemWhen(known, service, payload, means, each, id);
        tasks.push(this.#sendInTurn(service, making, payload, each));
        continue;
      }
      const group = groups.get(protocol);
      if (group === undefined) groups.set(protocol, [service]);
      else group.push(service);
    }
    const prefix = prefixOfChannel(payload.channel);
    try {
      for (const [protocol, group] of groups) {
        const outcome = this.#itemFor(protocol, group, payload, each, id);
        for (const service of group)
          if (outcome instanceof Promise || each.turns !== undefined || each.lines.has(service.id))
            tasks.push(this.#sendInTurn(service, outcome, payload, each));
          else this.#deliver(service, outcome, prefix, each);
      }
    } catch (error) {
      // As that of one that has waited: it may be one of several.
      tasks.push(Promise.reject(error));
    }
  }

  /** Whether it may wait for a service, if it has to. */
  #hasTurn({ id }: Service, { data }: HookPayload, { lines, turns }: Recipients): boolean {
    return turns === undefined ? !lines.isFull(id, sizeOf(data)) : turns.has(id);
  }

  /** Whether it has to be known by which protocol something goes. Where not, one item is for all links, and may make them. */
  #needsProtocol({ protocols }: Means): boolean {
    return protocols !== undefined || !this.#context.hooks.isEmpty("protocol:send");
  }

  /** The item for a newcomer, or for a service without a link: when it is known where and how it takes messages. */
  async #itemWhen(
    known: Promise<void> | undefined,
    service: Service,
    payload: HookPayload,
    means: Means,
    each: Recipients,
    id: number,
  ): Promise<Outcome> {
    if (known !== undefined) await known;
    if (!this.#needsProtocol(means)) return this.#itemFor("", [service], payload, each, id);
    const { effects } = this.#context;
    const { protocols } = means;
    const protocol =
      effects.protocolOf(service.id, protocols) || (await effects.whenLinked(service.id, protocols));
    if (protocol === "" || !mayLink(protocol, protocols)) return this.#unreached(service, protocols);
    return this.#itemFor(protocol, [service], payload, each, id);
  }

  /** Hands a service what was, or is yet to be made, after all that it was sent before. */
  async #sendInTurn(
    service: Service,
    making: Outcome | Promise<Outcome>,
    payload: HookPayload,
    each: Recipients,
  ): Promise<void> {
    const turn = each.turns?.get(service.id) ?? each.lines.join(service.id, sizeOf(payload.data));
    try {
      const outcome = await making;
      if (turn.before !== undefined) await turn.before;
      if (each.isWanted(service)) this.#deliver(service, outcome, prefixOfChannel(payload.channel), each);
    } finally {
      turn.leave();
    }
  }

  #deliver(service: Service, outcome: Outcome, prefix: string, each: Recipients): void {
    if (!goes(outcome, service, each)) return;
    const { effects, selfId } = this.#context;
    const { plain, traced } = outcome;
    if (service.id === selfId) {
      const own = traced ?? plain;
      if (this.#receiver.hasOwnRoom(own.length)) {
        each.sent(service, "links");
        this.#receiver.onOwn(own);
      } else each.failed(service, new ClosedError("EAGAIN", "too many messages to this node itself wait"));
      return;
    }
    const item =
      traced !== undefined && effects.takesContext?.(service.id, traced.length) === true ? traced : plain;
    const error = this.#context.sendItem(service, item, prefix, each.protocols);
    if (error === undefined) each.sent(service, "links");
    else each.failed(service, error);
  }

  /** Passes a payload through the hooks of a protocol. @returns at once where none of them returns a promise */
  #itemFor(
    protocol: string,
    services: readonly Service[],
    payload: HookPayload,
    each: Recipients,
    id: number,
  ): Outcome | Promise<Outcome> {
    const { hooks } = this.#context;
    if (hooks.isEmpty("protocol:send")) return this.#encode(payload, each, id);
    const kind = each.op === ServiceOp.QUERY ? "query" : "message";
    let passed: ReturnType<Hooks["pass"]>;
    try {
      passed = hooks.pass(TRANSMITTING, payload, { kind, services, protocol });
    } catch (error) {
      return error as VetoError;
    }
    if (!(passed instanceof Promise)) return this.#encode(passed, each, id);
    return passed.then(
      (late) => this.#encode(late, each, id),
      (error: VetoError) => error,
    );
  }

  #encode(passed: HookPayload | HookAnswer, { op, context }: Recipients, id: number): Outcome {
    if (passed instanceof HookAnswer) {
      this.#context.counts.answered += 1;
      return passed;
    }
    // The handlers take the number for an id that is not there.
    const ruid = passed.ruid === String(id) ? "" : passed.ruid;
    const plain = encodeService({ ...passed, op, id, ruid });
    const traced = context && encodeService({ ...passed, op, id, ruid, context });
    return { plain, traced };
  }

  /** How a message may go to a service; `either`: by datagram where enough others want that. */
  #wayTo(
    service: Service,
    { broadcast, protocols }: Means,
    group: GroupSends | undefined,
  ): "udp" | "link" | "either" | UnroutableError {
    const { effects } = this.#context;
    const { id } = service;
    if (id === this.#context.selfId) return "link";
    const protocol = effects.protocolOf(id, protocols);
    const byLink = mayLink(protocol, protocols);
    const byDatagram =
      broadcast !== false && (protocols?.includes("udp") ?? true) && group?.reaches(id) === true;
    if (byDatagram && (broadcast === true || !byLink || protocols?.[0] === "udp")) return "udp";
    if (byDatagram && protocol === "") return "either";
    return byLink ? "link" : this.#unreached(service, protocols);
  }

  /** No link that a message may take leads to a service, and none can be made. */
  #unreached({ id, name }: Service, protocols: readonly string[] | undefined): UnroutableError {
    if (protocols === undefined) return new UnroutableError(`${name} is gone, or no protocol reaches it`);
    const names = protocols.join(", ");
    const stands = this.#context.effects.protocolOf(id);
    return new UnroutableError(
      stands === ""
        ? `${name} is not reached by ${names}`
        : `the link to ${name} is ${stands}, and it is not reached by ${names}`,
    );
  }

  #assertOpen(): void {
    if (this.#context.closed) throw new ClosedError("EBADF", "the bus is closed");
  }
}

/** Whether an item is to go. What keeps it here goes to the sender. */
function goes(outcome: Outcome, service: Service, each: Recipients): outcome is ItemForms {
  if ("plain" in outcome) return true;
  if (outcome instanceof HookAnswer) each.answered(service, outcome.data);
  else each.failed(service, outcome);
  return false;
}

function leaveAll(turns: ReadonlyMap<string, SendTurn>): void {
  for (const turn of turns.values()) turn.leave();
}

function sizeOf(data: string | Buffer): number {
  return typeof data === "string" ? 2 * data.length : data.length;
}

/** A query has ended. One that the program leaves, or that time ends, has what it has: only time is an error. */
function endOperation(operation: MessageSendOperation, query: Query, timeout: number): void {
  operation.recipients = query.services.length - query.missing.length;
  if (query.ended !== "timeout") operation.end();
  else
    operation.end(
      new TimeoutError(
        "ETIMEDOUT",
        `${query.missing.length} of ${query.services.length} services did not respond within ${timeout} ms`,
      ),
    );
}

/** Whether it is conditions: an array may also be of services, as `members()` gives them. */
function isSteps(resolver: unknown): boolean {
  if (!Array.isArray(resolver)) return false;
  // Of a filtered list none may be left, which is not everybody.
  if (resolver.length === 0)
    throw new InvalidArgumentError(
      "resolver is empty: broadcast: true is for all, services for a list that may be",
    );
  return !resolver.some((each) => typeof (each as Partial<Service> | null)?.id === "string");
}

function* servicesOf(services: Iterable<Service>): Iterable<Service> {
  if (typeof services?.[Symbol.iterator] !== "function" || typeof services === "string")
    throw new InvalidArgumentError(
      `resolver is a list of conditions, or a resolver; got ${describe(services)}`,
    );
  yield* services;
}

/** Whether nothing selects services: then a message is for all. */
function isUnselected({ services, resolver, resolve }: ServiceSelection): boolean {
  return services === undefined && resolver === undefined && resolve === undefined;
}

function meansOf(
  { broadcast, protocols }: Pick<ServiceSendOptions, "broadcast" | "protocols">,
  known: readonly string[],
): Means {
  if (broadcast !== undefined && typeof broadcast !== "boolean")
    throw new InvalidArgumentError(`broadcast is true or false; got ${describe(broadcast)}`);
  return { broadcast, protocols: protocolsOf(protocols, known) };
}

/** @param protocol of the link; "": it has none yet */
function mayLink(protocol: string, protocols: readonly string[] | undefined): boolean {
  if (protocols === undefined) return true;
  return protocol === "" ? protocols.some((each) => each !== "udp") : protocols.includes(protocol);
}

/** @param known names of protocols */
function protocolsOf(
  protocols: readonly string[] | undefined,
  known: readonly string[],
): readonly string[] | undefined {
  if (protocols === undefined) return undefined;
  if (!Array.isArray(protocols) || protocols.length === 0)
    throw new InvalidArgumentError(`protocols is an array with at least one; got ${describe(protocols)}`);
  for (const protocol of protocols) {
    checkProtocol(protocol);
    if (!known.includes(protocol))
      throw new InvalidArgumentError(
        `protocols are of ${known.join(", ")}; got ${describe(protocol)}${suggest(protocol, known)}`,
      );
  }
  return [...protocols];
}
