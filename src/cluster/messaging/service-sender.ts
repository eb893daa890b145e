/**
 * Sends messages and queries to services, for services.ts; service-receiver.ts is the other end.
 *
 *   admitted? ── hooks of the protocol ── encoded once for each protocol ──┬── one datagram to many, where the program asks for it
 *                                                                          ├── links, an item for each service
 *                                                                          └── this node itself
 *
 * Without a wait all of it is done in one go. A waiting message keeps its turn at each of its services (send-lines.ts).
 */
import { ClosedError, type ShoalError, UnroutableError } from "../../core/errors.js";
import type { Member } from "../node/member.js";
import { MIN_ITEM_LIMIT } from "./bounds.js";
import { ENCODING, HookAnswer, type HookPayload, type Hooks, TRANSMITTING, type VetoError } from "./hooks.js";
import { leaveAll, SendLines, type SendTurn } from "./send-lines.js";
import { type Means, prefixOfChannel, SELF, type ServiceContext, sizeOf } from "./service-context.js";
import type { ServiceReceiver } from "./service-receiver.js";
import { encodeService, ServiceOp } from "./service-wire.js";

/** How a message is sent, and callbacks for each recipient. */
export interface Recipients extends Means {
  readonly kind: "message" | "query";
  readonly id: number;
  /** Of a trace. */
  readonly context: Buffer | undefined;
  /** Nothing was selected: also for members that are not known here yet. */
  readonly isForAll: boolean;
  readonly lines: SendLines;
  /** Its turns, by id, if it has joined the lines of all its services; a service without one has a full line. */
  readonly turns?: ReadonlyMap<string, SendTurn> | undefined;
  /** Whether it has waited for the details of its services. */
  readonly hasDetails?: boolean;
  /** Whether it is still to be sent to an awaited service. */
  isWanted(service: Member): boolean;
  sent(service: Member, means: "links" | "datagram"): void;
  failed(service: Member, error: ShoalError): void;
  answered(service: Member, data: string | Buffer): void;
}

/** An item, or a hook's answer or veto. */
type Outcome = Buffer | HookAnswer | ShoalError;

export class ServiceSender {
  readonly #context: ServiceContext;
  /** For messages to this node itself. */
  readonly #receiver: ServiceReceiver;
  /** By nesting depth of send hooks: a hook's sends do not wait for the message that waits for the hook. */
  readonly #lines: SendLines[] = [];

  constructor(context: ServiceContext, receiver: ServiceReceiver) {
    this.#context = context;
    this.#receiver = receiver;
  }

  /**
   * The lines of the program's current sends.
   *
   * @throws InvalidStateError `EFSM` for hooks that send within each other too deep
   */
  lines(): SendLines {
    const { depth } = this.#context.hooks;
    let lines = this.#lines[depth];
    if (lines === undefined) {
      lines = new SendLines(depth);
      this.#lines[depth] = lines;
    }
    return lines;
  }

  /**
   * Passes a payload through the hooks of sending, and to each service by the best allowed means.
   *
   * @returns a hook's answer, instead of sending; `undefined`: nothing waits any more
   * @throws VetoError of a hook, and errors of links for an item that is too large
   */
  async send(
    services: readonly Member[],
    payload: HookPayload,
    each: Recipients,
  ): Promise<HookAnswer | undefined> {
    const { hooks, counts } = this.#context;
    const { kind, lines } = each;
    const passing = hooks.pass(ENCODING, payload, { kind, services, protocol: "", depth: lines.depth });
    let turns: ReadonlyMap<string, SendTurn> | undefined;
    try {
      // Earlier calls join the lines first.
      await undefined;
      if (passing instanceof Promise) turns = lines.joinAll(services, sizeOf(payload.data));
      const passed = passing instanceof Promise ? await passing : passing;
      if (passed instanceof HookAnswer) {
        counts.answered += 1;
        return passed;
      }
      const waiting = this.#sendEncoded(services, passed, turns === undefined ? each : { ...each, turns });
      if (waiting !== undefined) await waiting;
      return undefined;
    } finally {
      if (turns !== undefined) leaveAll(turns);
    }
  }

  /** @returns settles when none waits; `undefined`: none does */
  #sendEncoded(
    services: readonly Member[],
    payload: HookPayload,
    each: Recipients,
  ): Promise<unknown> | undefined {
    const byDatagram: Member[] = [];
    const byLink: Member[] = [];
    const undecided: Member[] = [];
    const verdicts: Promise<unknown>[] = [];
    const { admission, effects, multicast } = this.#context;
    const fits = each.byDatagram && multicast?.fits(payload.data.length) === true;
    for (const service of services) {
      // Hooks that decide about a new member need its details.
      const waits = admission.decides && each.hasDetails !== true;
      const verdict = (waits ? effects.whenKnown?.(service.id) : undefined) ?? admission.verdictOf(service);
      if (verdict instanceof Promise) {
        undecided.push(service);
        verdicts.push(verdict);
        continue;
      }
      if (verdict !== undefined) each.failed(service, verdict);
      else if (fits && service.id !== this.#context.selfId) byDatagram.push(service);
      else if (this.#mayLink(service, each)) byLink.push(service);
    }
    const tasks: Promise<unknown>[] = [];
    if (undecided.length > 0) tasks.push(this.#sendAdmitted(undecided, verdicts, payload, each));
    this.#sendByLinks(byLink, payload, each, each.kind === "query" ? each.id : 0, tasks);
    if (byDatagram.length > 0) tasks.push(this.#sendByDatagram(byDatagram, payload, each));
    return tasks.length === 0 ? undefined : Promise.all(tasks);
  }

  /** For services with undecided hooks; the others do not wait for that. */
  async #sendAdmitted(
    services: readonly Member[],
    verdicts: readonly Promise<unknown>[],
    payload: HookPayload,
    each: Recipients,
  ): Promise<void> {
    const turns = each.turns ?? each.lines.joinAll(services, sizeOf(payload.data));
    try {
      await Promise.all(verdicts);
      await this.#sendEncoded(this.#liveOf(services, each), payload, { ...each, turns, hasDetails: true });
    } finally {
      if (each.turns === undefined) leaveAll(turns);
    }
  }

  /** By datagram, and by link to services that a datagram cannot name. */
  async #sendByDatagram(services: readonly Member[], payload: HookPayload, each: Recipients): Promise<void> {
    const { multicast, effects } = this.#context;
    const item = await this.#itemFor("udp", services, payload, each, each.id);
    if (!Buffer.isBuffer(item)) {
      for (const service of services) goes(item, service, each);
      return;
    }
    const isSent = multicast?.fits(item.length) === true;
    const left = new Set(isSent ? multicast.send(item, services, effects.others(), each.isForAll) : services);
    const byLink: Member[] = [];
    for (const service of services)
      if (!left.has(service)) each.sent(service, "datagram");
      else if (this.#mayLink(service, each)) byLink.push(service);
    const tasks: Promise<unknown>[] = [];
    this.#sendByLinks(byLink, payload, each, 0, tasks);
    await Promise.all(tasks);
  }

  /** The current services, with their details; a send to a gone one has failed. */
  #liveOf(services: readonly Member[], each: Recipients): readonly Member[] {
    const live: Member[] = [];
    for (const service of services) {
      const known = this.#context.effects.find(service.id);
      if (known !== undefined) live.push(known);
      else each.failed(service, new UnroutableError(`${service.name} is gone`));
    }
    return live;
  }

  /**
   * Within this call, except for services with waiting messages, which do not hold up the others.
   *
   * @param id of the items; 0: none
   * @param tasks gets waits and errors
   */
  #sendByLinks(
    services: readonly Member[],
    payload: HookPayload,
    each: Recipients,
    id: number,
    tasks: Promise<unknown>[],
  ): void {
    if (services.length === 0) return;
    const { effects, selfId: self } = this.#context;
    const isOne = !this.#needsProtocol(each);
    const groups = new Map<string, Member[]>();
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
          : this.#context.links.protocolOf(service.id, each.lane);
      if (known !== undefined || (protocol === "" && !isOne)) {
        const making = this.#itemWhen(known, service, payload, each, id);
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
      // As an error of a wait: it may be one of several.
      tasks.push(Promise.reject(error));
    }
  }

  /** Whether it may wait for a service. */
  #hasTurn({ id }: Member, { data }: HookPayload, { lines, turns }: Recipients): boolean {
    return turns === undefined ? !lines.isFull(id, sizeOf(data)) : turns.has(id);
  }

  /** Whether the protocol matters. If not, one item is for all links, and may open them. */
  #needsProtocol({ protocols }: Means): boolean {
    return protocols !== undefined || !this.#context.hooks.isEmpty("protocol:send");
  }

  /** The item for a new member, or a service without a link, when its listeners and protocol are known. */
  async #itemWhen(
    known: Promise<void> | undefined,
    service: Member,
    payload: HookPayload,
    each: Recipients,
    id: number,
  ): Promise<Outcome> {
    if (known !== undefined) await known;
    if (!this.#needsProtocol(each)) return this.#itemFor("", [service], payload, each, id);
    const { links } = this.#context;
    const { lane } = each;
    const protocol = links.protocolOf(service.id, lane) || (await links.whenLinked(service.id, lane));
    if (protocol === "") return this.#unreached(service, each);
    return this.#itemFor(protocol, [service], payload, each, id);
  }

  /** Sends a service an item, perhaps not made yet, after all earlier ones. */
  async #sendInTurn(
    service: Member,
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

  #deliver(service: Member, outcome: Outcome, prefix: string, each: Recipients): void {
    if (!goes(outcome, service, each)) return;
    if (service.id === this.#context.selfId) {
      if (this.#receiver.onOwn(outcome)) each.sent(service, "links");
      else each.failed(service, new ClosedError("EAGAIN", "too many messages to this node itself wait"));
      return;
    }
    const error = this.#context.sendItem(service, outcome, prefix, each);
    if (error === undefined) each.sent(service, "links");
    else each.failed(service, error);
  }

  /** @returns at once if no hook of the protocol returns a promise */
  #itemFor(
    protocol: string,
    services: readonly Member[],
    payload: HookPayload,
    each: Recipients,
    id: number,
  ): Outcome | Promise<Outcome> {
    const { hooks } = this.#context;
    if (hooks.isEmpty("protocol:send")) return this.#encode(protocol, payload, each, id);
    let passed: ReturnType<Hooks["pass"]>;
    try {
      const { kind, lines } = each;
      passed = hooks.pass(TRANSMITTING, payload, { kind, services, protocol, depth: lines.depth });
    } catch (error) {
      return error as VetoError;
    }
    if (!(passed instanceof Promise)) return this.#encode(protocol, passed, each, id);
    return passed.then(
      (late) => this.#encode(protocol, late, each, id),
      (error: VetoError) => error,
    );
  }

  #encode(
    protocol: string,
    passed: HookPayload | HookAnswer,
    { kind, context }: Recipients,
    id: number,
  ): Outcome {
    if (passed instanceof HookAnswer) {
      this.#context.counts.answered += 1;
      return passed;
    }
    // Handlers take the number if the id is missing.
    const ruid = passed.ruid === String(id) ? "" : passed.ruid;
    const op = kind === "query" ? ServiceOp.QUERY : ServiceOp.MESSAGE;
    const { channel, data } = passed;
    if (context !== undefined) {
      const traced = encodeService({ op, channel, id, ruid, data, context });
      // Every node takes this size, and a message that fits a datagram goes by one.
      const { multicast } = this.#context;
      const fits = protocol === "udp" ? multicast?.fits(traced.length) : traced.length <= MIN_ITEM_LIMIT;
      if (fits === true) return traced;
    }
    return encodeService({ op, channel, id, ruid, data });
  }

  /** Whether a message may use a link; otherwise it has failed. */
  #mayLink(service: Member, each: Recipients): boolean {
    if (each.lane >= 0 || service.id === this.#context.selfId) return true;
    each.failed(service, this.#unreached(service, each));
    return false;
  }

  /** No allowed link leads to a service, and none can be opened. */
  #unreached({ id, name }: Member, { protocols }: Means): ShoalError {
    if (protocols === undefined) return new UnroutableError(`${name} is gone, or no protocol reaches it`);
    const names = protocols.join(", ");
    const stands = this.#context.links.protocolOf(id);
    return new UnroutableError(
      stands === ""
        ? `${name} is not reached by ${names}`
        : `the link to ${name} is ${stands}, and it is not reached by ${names}`,
    );
  }
}

/** Whether an item is to be sent; otherwise the sender gets the reason. */
function goes(outcome: Outcome, service: Member, each: Recipients): outcome is Buffer {
  if (Buffer.isBuffer(outcome)) return true;
  if (outcome instanceof HookAnswer) each.answered(service, outcome.data);
  else each.failed(service, outcome);
  return false;
}
