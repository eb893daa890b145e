/**
 * Sends messages and queries to services, for services.ts; service-receiver.ts is the other end.
 *
 *   for each service: admitted? ── its link's protocol ── hooks of the protocol ── encoded, once for each protocol ──> link
 *   where the program asks for it: one datagram to many
 */
import { ClosedError, InvalidArgumentError, type ShoalError, UnroutableError } from "../../core/errors.js";
import type { Member } from "../node/member.js";
import { MIN_ITEM_LIMIT } from "./bounds.js";
import { ENCODING, HookAnswer, type HookPayload, type Passed, TRANSMITTING } from "./hooks.js";
import { MessageKind } from "./parts.js";
import { type Means, SELF, type ServiceContext } from "./service-context.js";
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
  sent(service: Member, means: "links" | "datagram"): void;
  failed(service: Member, error: ShoalError): void;
  answered(service: Member, data: string | Buffer): void;
}

/** An item, or a hook's answer or veto. */
type Outcome = Buffer | HookAnswer | ShoalError;

/** A message that has passed the hooks of sending, and what is the same for several recipients. */
interface Message {
  readonly services: readonly Member[];
  readonly payload: HookPayload;
  readonly each: Recipients;
  /** Items by protocol. */
  readonly items: Map<string, Outcome>;
}

export class ServiceSender {
  readonly #context: ServiceContext;
  /** For messages to this node itself. */
  readonly #receiver: ServiceReceiver;

  constructor(context: ServiceContext, receiver: ServiceReceiver) {
    this.#context = context;
    this.#receiver = receiver;
  }

  /**
   * Passes a payload through the hooks of sending, and to each service by the best allowed means.
   *
   * @returns a hook's answer in place of sending
   * @throws VetoError of a hook
   */
  send(services: readonly Member[], payload: HookPayload, each: Recipients): HookAnswer | undefined {
    const { hooks, multicast, selfId } = this.#context;
    const passed = hooks.pass(ENCODING, payload, { kind: each.kind, services, protocol: "" });
    if (passed instanceof HookAnswer) {
      this.#context.counts.answered += 1;
      return passed;
    }
    const message: Message = { services, payload: passed, each, items: new Map() };
    const fits = each.byDatagram && multicast.fits(payload.data.length);
    const byDatagram = fits ? services.filter(({ id }) => id !== selfId) : [];
    const byLink = fits ? services.filter(({ id }) => id === selfId) : services;
    this.#sendByLinks(byLink, message);
    if (byDatagram.length > 0) this.#sendByDatagram(byDatagram, message);
    return undefined;
  }

  /** By datagram, or by links where it does not fit one. */
  #sendByDatagram(services: readonly Member[], message: Message): void {
    const { payload, each } = message;
    const { multicast, effects } = this.#context;
    const admitted: Member[] = [];
    for (const service of services) {
      const error = this.#refusalOf(service);
      if (error !== undefined) each.failed(service, error);
      else admitted.push(service);
    }
    const item = this.#transmit("udp", admitted, payload, each, each.id);
    if (!Buffer.isBuffer(item)) for (const service of admitted) this.#deliver(service, item, each);
    else if (multicast.fits(item.length)) {
      multicast.send(item, admitted, each.isForAll && admitted.length === effects.others().length);
      for (const service of admitted) each.sent(service, "datagram");
    } else this.#sendByLinks(admitted, message);
  }

  #sendByLinks(services: readonly Member[], message: Message): void {
    const { each } = message;
    for (const service of services) {
      const refusal = this.#refusalOf(service);
      if (refusal !== undefined) each.failed(service, refusal);
      else this.#deliver(service, this.#itemFor(service, message), each);
    }
  }

  #deliver(service: Member, outcome: Outcome, each: Recipients): void {
    if (outcome instanceof HookAnswer) each.answered(service, outcome.data);
    else if (!Buffer.isBuffer(outcome)) each.failed(service, outcome);
    else {
      const error = this.#sendItem(service, outcome, each);
      if (error === undefined) each.sent(service, "links");
      else each.failed(service, error);
    }
  }

  /** @returns why it was not taken */
  #sendItem(service: Member, item: Buffer, means: Means): ShoalError | undefined {
    const { closed, links, queues, selfId } = this.#context;
    const { id, name } = service;
    if (id === selfId) {
      if (this.#receiver.isBusy || queues.isOwnFull)
        return new ClosedError("EAGAIN", "too many messages are handled, or wait for this node itself");
      queues.send(id, item);
      return undefined;
    }
    switch (closed ? "unreachable" : links.send(id, MessageKind.SERVICE, item, means.lane)) {
      case "sent":
        return undefined;
      case "full":
        links.drop(id);
        return new ClosedError("EAGAIN", `the link to ${name} is full`);
      case "too-large":
        return new InvalidArgumentError(`${name} takes no message of ${item.length} bytes`);
      case "unreachable":
        return this.#unreachable(service, means);
    }
  }

  // --- What a service gets -------------------------------------------------------------------------------------------

  /** Why a service gets no messages. */
  #refusalOf(service: Member): ShoalError | undefined {
    const { admission, effects, selfId } = this.#context;
    if (admission.decides && service.id !== selfId && !effects.isKnown(service.id))
      return new UnroutableError(`the details of ${service.name}, which hooks decide by, have not come`);
    return admission.verdictOf(service);
  }

  #itemFor(service: Member, { services, payload, each, items }: Message): Outcome {
    const { links, hooks, selfId } = this.#context;
    const { id } = service;
    const { lane } = each;
    const protocolOf = (of: string): string => (of === selfId ? SELF : links.protocolFor(of, lane));
    const number = each.kind === "query" ? each.id : 0;
    if (lane < 0 && id !== selfId) return this.#unreachable(service, each);
    // Without a need for the protocol one item is for all links, and may open them.
    const isAny = hooks.isEmpty("protocol:send");
    const protocol = isAny ? "" : protocolOf(id);
    if (protocol === "" && !isAny) return this.#unreachable(service, each);
    let item = items.get(protocol);
    if (item === undefined) {
      const group = isAny ? services : services.filter((other) => protocolOf(other.id) === protocol);
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
  ): Outcome {
    const { hooks } = this.#context;
    if (hooks.isEmpty("protocol:send")) return this.#encode(protocol, payload, each, id);
    let passed: Passed;
    try {
      passed = hooks.pass(TRANSMITTING, payload, { kind: each.kind, services, protocol });
    } catch (error) {
      return error as ShoalError;
    }
    return this.#encode(protocol, passed, each, id);
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
  #unreachable({ id, name }: Member, { protocols }: Means): ShoalError {
    if (protocols === undefined) return new UnroutableError(`${name} is gone, or takes no messages`);
    const names = protocols.join(", ");
    const stands = this.#context.links.protocolOf(id);
    return new UnroutableError(
      stands === ""
        ? `${name} is not reached by ${names}`
        : `the link to ${name} is ${stands}, and it is not reached by ${names}`,
    );
  }
}
