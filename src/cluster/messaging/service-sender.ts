/**
 * Sends messages and queries to services, for services.ts; service-receiver.ts is the other end.
 *
 *   for each service: admitted? ── link and its protocol ── hooks of the protocol ── encoded, once for each protocol ──> its turn ──> link
 *   where the program asks for it: one datagram to many
 *
 * Without a wait all of it is done in one go. A message that waits, such as for a hook, holds up later ones to the same
 * service on the same channel, and no others.
 */
import { ClosedError, type ShoalError, UnroutableError } from "../../core/errors.js";
import { ignore } from "../../core/ignore.js";
import type { Member } from "../node/member.js";
import { MAX_OWN_WAITING, MAX_OWN_WAITING_BYTES, MIN_ITEM_LIMIT } from "./bounds.js";
import { ENCODING, HookAnswer, type HookPayload, type Passed, TRANSMITTING } from "./hooks.js";
import { type Means, SELF, type ServiceContext, sizeOf } from "./service-context.js";
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
  /** Whether it is still to be sent to an awaited service. */
  isWanted(service: Member): boolean;
  sent(service: Member, means: "links" | "datagram"): void;
  failed(service: Member, error: ShoalError): void;
  answered(service: Member, data: string | Buffer): void;
}

/** An item, or a hook's answer or veto; `undefined`: nothing is to be sent. */
type Outcome = Buffer | HookAnswer | ShoalError | undefined;

/** A message that has passed the hooks of sending, and what is the same for several recipients. */
class Message {
  readonly services: readonly Member[];
  readonly payload: HookPayload;
  readonly each: Recipients;
  /** Items by protocol. */
  readonly items = new Map<string, Outcome | Promise<Outcome>>();

  constructor(services: readonly Member[], payload: HookPayload, each: Recipients) {
    this.services = services;
    this.payload = payload;
    this.each = each;
  }
}

/** Waiting messages to a service on a channel. */
interface Line {
  /** Settles when all current ones have left. */
  last: Promise<unknown>;
  count: number;
  bytes: number;
}

export class ServiceSender {
  readonly #context: ServiceContext;
  /** For messages to this node itself. */
  readonly #receiver: ServiceReceiver;
  /** By channel and service; none without a waiting message. */
  readonly #lines = new Map<string, Line>();

  constructor(context: ServiceContext, receiver: ServiceReceiver) {
    this.#context = context;
    this.#receiver = receiver;
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
    const { hooks, multicast, selfId } = this.#context;
    const passing = hooks.pass(ENCODING, payload, { kind: each.kind, services, protocol: "" });
    const making =
      passing instanceof Promise
        ? passing.then((passed) => this.#messageOf(passed, services, each))
        : this.#messageOf(passing, services, each);
    const fits = each.byDatagram && multicast.fits(payload.data.length);
    const byDatagram = fits ? services.filter(({ id }) => id !== selfId) : [];
    const byLink = fits ? services.filter(({ id }) => id === selfId) : services;
    const tasks: Promise<unknown>[] = [];
    for (const service of byLink)
      this.#inTurn(
        service,
        making instanceof Promise
          ? making.then((made) => this.#outcomeFor(service, made))
          : this.#outcomeFor(service, making),
        payload,
        each,
        tasks,
      );
    if (byDatagram.length > 0) tasks.push(this.#sendByDatagram(byDatagram, making));
    if (tasks.length > 0) await Promise.all(tasks);
    const made = making instanceof Promise ? await making : making;
    return made instanceof HookAnswer ? made : undefined;
  }

  #messageOf(passed: Passed, services: readonly Member[], each: Recipients): Message | HookAnswer {
    if (!(passed instanceof HookAnswer)) return new Message(services, passed, each);
    this.#context.counts.answered += 1;
    return passed;
  }

  /** By datagram, or by links where it does not fit one. */
  async #sendByDatagram(
    services: readonly Member[],
    making: Message | HookAnswer | Promise<Message | HookAnswer>,
  ): Promise<void> {
    const message = await making;
    if (message instanceof HookAnswer) return;
    const { payload, each } = message;
    const { multicast, effects, admission } = this.#context;
    const admitted: Member[] = [];
    for (const service of services) {
      const error = admission.decides ? await this.#refusalOf(service) : undefined;
      if (error !== undefined) each.failed(service, error);
      else admitted.push(service);
    }
    const item = await this.#transmit("udp", admitted, payload, each, each.id);
    if (Buffer.isBuffer(item) && multicast.fits(item.length)) {
      multicast.send(item, admitted, each.isForAll && admitted.length === effects.others().length);
      for (const service of admitted) each.sent(service, "datagram");
      return;
    }
    const tasks: Promise<unknown>[] = [];
    for (const service of admitted) {
      const outcome = Buffer.isBuffer(item) ? this.#outcomeFor(service, message) : item;
      this.#inTurn(service, outcome, payload, each, tasks);
    }
    await Promise.all(tasks);
  }

  /** Delivers the outcome, perhaps not made yet, after all earlier ones. @param tasks gets the wait */
  #inTurn(
    service: Member,
    outcome: Outcome | Promise<Outcome>,
    { channel, data }: HookPayload,
    each: Recipients,
    tasks: Promise<unknown>[],
  ): void {
    if (this.#lines.size === 0 && !(outcome instanceof Promise)) {
      try {
        this.#deliver(service, outcome, each);
      } catch (error) {
        tasks.push(Promise.reject(error)); // The other recipients get it all the same.
      }
      return;
    }
    const key = `${channel}/${service.id}`;
    const line = this.#lines.get(key) ?? { last: Promise.resolve(), count: 0, bytes: 0 };
    const size = sizeOf(data);
    // One may wait, whatever its size.
    const isFull =
      line.count >= MAX_OWN_WAITING || (line.count > 0 && line.bytes + size > MAX_OWN_WAITING_BYTES);
    if (isFull) {
      if (outcome instanceof Promise) outcome.catch(ignore); // The caller has this failure.
      each.failed(service, new ClosedError("EAGAIN", `too many messages to ${service.name} wait`));
      return;
    }
    this.#lines.set(key, line);
    const task = this.#deliverAfter(line, key, size, outcome, service, each);
    line.last = task.catch(ignore); // Those that wait behind it are sent all the same.
    tasks.push(task);
  }

  async #deliverAfter(
    line: Line,
    key: string,
    size: number,
    making: Outcome | Promise<Outcome>,
    service: Member,
    each: Recipients,
  ): Promise<void> {
    const before = line.last;
    line.count += 1;
    line.bytes += size;
    let outcome: Outcome;
    try {
      outcome = await making;
    } finally {
      await before;
      line.count -= 1;
      line.bytes -= size;
      if (line.count === 0) this.#lines.delete(key);
    }
    if (outcome !== undefined && each.isWanted(service)) this.#deliver(service, outcome, each);
  }

  #deliver(service: Member, outcome: Outcome, each: Recipients): void {
    if (outcome === undefined) return;
    if (outcome instanceof HookAnswer) each.answered(service, outcome.data);
    else if (!Buffer.isBuffer(outcome)) each.failed(service, outcome);
    else if (service.id === this.#context.selfId) {
      if (this.#receiver.onOwn(outcome)) each.sent(service, "links");
      else each.failed(service, new ClosedError("EAGAIN", "too many messages to this node itself wait"));
    } else {
      const error = this.#context.sendItem(service, outcome, each);
      if (error === undefined) each.sent(service, "links");
      else each.failed(service, error);
    }
  }

  // --- What a service gets -------------------------------------------------------------------------------------------

  /** A promise only where something is waited for. */
  #outcomeFor(service: Member, message: Message | HookAnswer): Outcome | Promise<Outcome> {
    if (message instanceof HookAnswer) return undefined;
    const refusal = this.#refusalOf(service);
    if (refusal instanceof Promise) return refusal.then((error) => error ?? this.#itemFor(service, message));
    return refusal ?? this.#itemFor(service, message);
  }

  /** Why a service gets no messages, once its listeners and the verdict of the hooks are known. */
  #refusalOf(service: Member): ShoalError | undefined | Promise<ShoalError | undefined> {
    const { admission, effects, selfId } = this.#context;
    const known = service.id === selfId ? undefined : effects.whenKnown(service.id);
    if (known !== undefined)
      return known.then(() => {
        const live = effects.find(service.id);
        return live === undefined ? gone(service) : admission.verdictOf(live);
      });
    const verdict = admission.verdictOf(service);
    if (!(verdict instanceof Promise)) return verdict;
    return verdict.then((veto) => (effects.find(service.id) === undefined ? gone(service) : veto));
  }

  #itemFor(service: Member, { services, payload, each, items }: Message): Outcome | Promise<Outcome> {
    const { links, hooks, selfId } = this.#context;
    const { id } = service;
    const { lane, protocols } = each;
    const number = each.kind === "query" ? each.id : 0;
    const isSelf = id === selfId;
    if (lane < 0 && !isSelf) return this.#unreached(service, each);
    // Without a need for the protocol one item is for all links, and may open them.
    const isAny = protocols === undefined && hooks.isEmpty("protocol:send");
    const protocol = isAny ? "" : isSelf ? SELF : links.protocolOf(id, lane);
    if (protocol === "" && !isAny)
      return links
        .whenLinked(id, lane)
        .then((linked) =>
          linked === ""
            ? this.#unreached(service, each)
            : this.#transmit(linked, [service], payload, each, number),
        );
    let item = items.get(protocol);
    if (item === undefined) {
      const group = isAny
        ? services
        : services.filter((other) =>
            other.id === selfId ? protocol === SELF : links.protocolOf(other.id, lane) === protocol,
          );
      item = this.#transmit(protocol, group, payload, each, number);
      items.set(protocol, item);
    }
    return item;
  }

  /** Passes the hooks of the protocol, and encodes. A veto is an outcome. */
  #transmit(
    protocol: string,
    services: readonly Member[],
    payload: HookPayload,
    each: Recipients,
    id: number,
  ): Outcome | Promise<Outcome> {
    const { hooks } = this.#context;
    if (hooks.isEmpty("protocol:send")) return this.#encode(protocol, payload, each, id);
    const encode = (passed: Passed): Outcome => this.#encode(protocol, passed, each, id);
    try {
      const passed = hooks.pass(TRANSMITTING, payload, { kind: each.kind, services, protocol });
      return passed instanceof Promise ? passed.then(encode, (error: ShoalError) => error) : encode(passed);
    } catch (error) {
      return error as ShoalError;
    }
  }

  #encode(protocol: string, passed: Passed, { kind, context }: Recipients, id: number): Outcome {
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
      const isSmall = traced.length <= MIN_ITEM_LIMIT;
      if (protocol === "udp" ? this.#context.multicast.fits(traced.length) : isSmall) return traced;
    }
    return encodeService({ op, channel, id, ruid, data });
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

function gone({ name }: Member): ShoalError {
  return new UnroutableError(`${name} is gone`);
}
