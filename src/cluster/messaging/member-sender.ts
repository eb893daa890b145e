/**
 * Sends messages and queries to members, for member-messages.ts; member-receiver.ts is the other end.
 *
 *   for each member: admitted? ── its link's protocol ── hooks of the protocol ── encoded, once for each protocol ──> link
 *   where the program asks for it: one datagram to many
 */
import { InvalidArgumentError, type ShoalError, TimeoutError, UnroutableError } from "../../core/errors.js";
import type { Member } from "../node/member.js";
import { MIN_ITEM_LIMIT } from "./bounds.js";
import { ENCODING, HookAnswer, type HookPayload, type Passed, TRANSMITTING } from "./hooks.js";
import { type MemberContext, SELF } from "./member-context.js";
import type { MemberReceiver } from "./member-receiver.js";
import { encodeMemberItem, MemberOp } from "./member-wire.js";
import { MessageKind } from "./parts.js";

/** An item, or a hook's answer or veto. */
type Outcome = Buffer | HookAnswer | ShoalError;

/** A message or query on its way, and callbacks for each recipient. */
export interface Outgoing {
  readonly kind: "message" | "query";
  /** Of a query; else 0. */
  readonly id: number;
  readonly members: readonly Member[];
  /** Then what the hooks of sending make of it. */
  payload: HookPayload;
  /** By one datagram to the group where it fits. */
  readonly byDatagram: boolean;
  /** By which alone it goes; `undefined`: all. */
  readonly protocols: readonly string[] | undefined;
  /** Of these protocols, as links have it. */
  readonly lane: number;
  /** Of a trace. */
  readonly context: Buffer | undefined;
  /** Nothing was selected: also for members that are not known here yet. */
  readonly isForAll: boolean;
  /** Items by protocol. */
  readonly items: Map<string, Outcome>;
  sent(member: Member, means: "links" | "datagram"): void;
  failed(member: Member, error: ShoalError): void;
  answered(member: Member, data: string | Buffer): void;
}

export class MemberSender {
  readonly #context: MemberContext;
  /** For messages to this node itself. */
  readonly #receiver: MemberReceiver;

  constructor(context: MemberContext, receiver: MemberReceiver) {
    this.#context = context;
    this.#receiver = receiver;
  }

  /**
   * Passes a payload through the hooks of sending, and to each member by the best allowed means.
   *
   * @returns a hook's answer in place of sending
   * @throws VetoError of a hook
   */
  send(message: Outgoing): HookAnswer | undefined {
    const { hooks, multicast, selfId } = this.#context;
    const { kind, members, payload } = message;
    const passed = hooks.pass(ENCODING, payload, { kind, members, protocol: "" });
    if (passed instanceof HookAnswer) {
      this.#context.counts.answered += 1;
      return passed;
    }
    message.payload = passed;
    const fits = message.byDatagram && multicast.fits(payload.data.length);
    const byDatagram = fits ? members.filter(({ id }) => id !== selfId) : [];
    this.#sendByLinks(fits ? members.filter(({ id }) => id === selfId) : members, message);
    if (byDatagram.length > 0) this.#sendByDatagram(byDatagram, message);
    return undefined;
  }

  /** By datagram, or by links where it does not fit one. */
  #sendByDatagram(members: readonly Member[], message: Outgoing): void {
    const { multicast } = this.#context;
    const admitted: Member[] = [];
    for (const member of members) {
      const error = this.#refusalOf(member);
      if (error !== undefined) message.failed(member, error);
      else admitted.push(member);
    }
    const item = this.#transmit("udp", admitted, message);
    if (!Buffer.isBuffer(item)) for (const member of admitted) this.#deliver(member, item, message);
    else if (multicast.fits(item.length)) {
      multicast.send(item, admitted, message.isForAll && admitted.length === members.length);
      for (const member of admitted) message.sent(member, "datagram");
    } else this.#sendByLinks(admitted, message);
  }

  #sendByLinks(members: readonly Member[], message: Outgoing): void {
    for (const member of members) {
      const refusal = this.#refusalOf(member);
      if (refusal !== undefined) message.failed(member, refusal);
      else this.#deliver(member, this.#itemFor(member, message), message);
    }
  }

  #deliver(member: Member, outcome: Outcome, message: Outgoing): void {
    if (outcome instanceof HookAnswer) message.answered(member, outcome.data);
    else if (!Buffer.isBuffer(outcome)) message.failed(member, outcome);
    else {
      const error = this.#sendItem(member, outcome, message);
      if (error === undefined) message.sent(member, "links");
      else message.failed(member, error);
    }
  }

  /** @returns why it was not taken */
  #sendItem(member: Member, item: Buffer, message: Outgoing): ShoalError | undefined {
    const { closed, links, queues, selfId } = this.#context;
    const { id, name } = member;
    if (id === selfId) {
      if (this.#receiver.isBusy || queues.isOwnFull)
        return new TimeoutError("EAGAIN", "too many messages are handled, or wait for this node itself");
      queues.send(id, item);
      return undefined;
    }
    switch (closed ? "unreachable" : links.send(id, MessageKind.MEMBER, item, message.lane)) {
      case "sent":
        return undefined;
      case "full":
        links.drop(id);
        return new TimeoutError("EAGAIN", `the link to ${name} is full`);
      case "too-large":
        return new InvalidArgumentError(`${name} takes no message of ${item.length} bytes`);
      case "unreachable":
        return this.#unreachable(member, message);
    }
  }

  // --- What a member gets --------------------------------------------------------------------------------------------

  /** Why a member gets no messages. */
  #refusalOf(member: Member): ShoalError | undefined {
    const { admission, effects, selfId } = this.#context;
    if (admission.decides && member.id !== selfId && !effects.isKnown(member.id))
      return new UnroutableError(`the details of ${member.name}, which hooks decide by, have not come`);
    return admission.verdictOf(member);
  }

  #itemFor(member: Member, message: Outgoing): Outcome {
    const { links, hooks, selfId } = this.#context;
    const { id } = member;
    const { lane, members, items } = message;
    const protocolOf = (of: string): string => (of === selfId ? SELF : links.protocolFor(of, lane));
    if (lane < 0 && id !== selfId) return this.#unreachable(member, message);
    // Without a need for the protocol one item is for all links, and may open them.
    const isAny = hooks.isEmpty("protocol:send");
    const protocol = isAny ? "" : protocolOf(id);
    if (protocol === "" && !isAny) return this.#unreachable(member, message);
    let item = items.get(protocol);
    if (item === undefined) {
      const group = isAny ? members : members.filter((other) => protocolOf(other.id) === protocol);
      item = this.#transmit(protocol, group, message);
      items.set(protocol, item);
    }
    return item;
  }

  /** Passes the hooks of the protocol, and encodes. A veto is an outcome. */
  #transmit(protocol: string, members: readonly Member[], message: Outgoing): Outcome {
    const { hooks, multicast } = this.#context;
    const { kind, id, context } = message;
    let passed: Passed = message.payload;
    try {
      if (!hooks.isEmpty("protocol:send"))
        passed = hooks.pass(TRANSMITTING, message.payload, { kind, members, protocol });
    } catch (error) {
      return error as ShoalError;
    }
    if (passed instanceof HookAnswer) {
      this.#context.counts.answered += 1;
      return passed;
    }
    // Handlers take the number if the id is missing.
    const ruid = kind === "query" && passed.ruid === String(id) ? "" : passed.ruid;
    const op = kind === "query" ? MemberOp.QUERY : MemberOp.MESSAGE;
    const { channel, data } = passed;
    if (context !== undefined) {
      const traced = encodeMemberItem({ op, channel, id, ruid, data, context });
      // Every node takes this size, and a message that fits a datagram goes by one.
      const isSmall = traced.length <= MIN_ITEM_LIMIT;
      if (protocol === "udp" ? multicast.fits(traced.length) : isSmall) return traced;
    }
    return encodeMemberItem({ op, channel, id, ruid, data });
  }

  /** No allowed link leads to a member, and none can be opened. */
  #unreachable({ id, name }: Member, { protocols }: Outgoing): ShoalError {
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
