/**
 * `send` and `query` of programs: the selection of their recipients, and the item for each of these.
 *
 *   send, query ── select ── hooks of sending ──> for each member
 *   admitted? ── its link's protocol ── hooks of the protocol ── encoded, once for each protocol ──> link ──> member-receiver.ts
 *   where the program asks for it: one datagram to many
 *
 * Received data is never evaluated as code: only the program's own hooks and handlers read its texts or bytes.
 */
import { checkCallOptions, describe, invalidArgument, quoted, suggest } from "../../core/arguments.js";
import { isObserved, MESSAGE_SEND } from "../../core/diagnostics.js";
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
  type MessageSendOperation,
  observeMessageSend,
  startMessageSend,
} from "../../core/message-operations.js";
import { checkOptions } from "../../kit/options.js";
import { MAX_MEMBERS } from "../bounds.js";
import type { Member } from "../node/member.js";
import type { ResolverStep } from "../resolver.js";
import { MIN_ITEM_LIMIT } from "./bounds.js";
import { type ClusterChannels, checkChannel } from "./channels.js";
import {
  ENCODING,
  HookAnswer,
  type HookOptions,
  type HookPayload,
  type HookStage,
  type MemberChange,
  type MemberHook,
  type MemberStage,
  type MessageHook,
  type MessageStage,
  type Passed,
  TRANSMITTING,
} from "./hooks.js";
import { dataBytes } from "./items.js";
import { MemberContext, SELF } from "./member-context.js";
import { MemberReceiver } from "./member-receiver.js";
import {
  type MemberMessagesEffects,
  type MemberMessagesStats,
  type MemberQueryOptions,
  type MemberSelection,
  type MemberSendFailure,
  type MemberSendOptions,
  type MemberSendResult,
  QUERY_OPTIONS,
  SEND_OPTIONS,
} from "./member-types.js";
import { encodeMemberItem, MemberOp } from "./member-wire.js";
import { checkedData, checkRuid, type MessagingSettings } from "./options.js";
import { MessageKind } from "./parts.js";
import { Query } from "./query.js";

type Hook = MessageHook | MemberHook;

type Asked = Pick<Outgoing, "id" | "members" | "payload" | "protocols" | "lane">;

interface Selected {
  readonly members: readonly Member[];
  readonly failed: MemberSendFailure[];
}

export class MemberMessages {
  readonly #context: MemberContext;
  readonly receiver: MemberReceiver;
  readonly #sender: MemberSender;
  /** Valid names in `protocols`. */
  readonly #protocols: readonly string[];

  constructor(effects: MemberMessagesEffects, { channels, protocols = [] }: MessagingSettings) {
    this.#context = new MemberContext(effects, channels, (from, item) =>
      this.receiver.onBytes(from, item, SELF),
    );
    this.receiver = new MemberReceiver(this.#context);
    this.#sender = new MemberSender(this.#context, this.receiver);
    const names = protocols.map((each) => (typeof each === "string" ? each : each.name));
    // A protocol that this node does not have reaches no member.
    this.#protocols = [...new Set(["ipc", "tcp", "ws", "tls", "udp", SELF, ...names])];
  }

  get channels(): ClusterChannels {
    return this.#context.channels;
  }

  // --- What programs call --------------------------------------------------------------------------------------------

  hook(stage: MessageStage, call: MessageHook): () => void;
  hook(stage: MessageStage, options: HookOptions, call: MessageHook): () => void;
  hook(stage: MemberStage, call: MemberHook): () => void;
  hook(stage: HookStage, ...rest: [Hook] | [HookOptions, Hook]): () => void {
    const [options, call] = rest.length === 1 ? [undefined, rest[0]] : rest;
    checkCallOptions("hook", options, ["channels", "protocols"]);
    // A hook for an unknown name would never be called, and not encrypt what it was meant to.
    protocolsOf(options?.protocols, this.#protocols);
    const remove = this.#context.hooks.add(stage, options ?? {}, call);
    this.#context.admission.hooksChanged();
    return () => {
      remove();
      this.#context.admission.hooksChanged();
    };
  }

  send(options: MemberSendOptions): Promise<MemberSendResult> {
    if (!isObserved(MESSAGE_SEND)) return this.#send(options, undefined);
    return observeMessageSend(
      "send",
      channelDestination(options?.channel ?? 0),
      options?.data,
      (context) => this.#send(options, context),
      ({ sent }) => sent.length,
    );
  }

  async #send(options: MemberSendOptions, context: Buffer | undefined): Promise<MemberSendResult> {
    const settings = checkOptions("send", SEND_OPTIONS, options);
    const { protocols, broadcast, channel = 0, ruid = "", data = "" } = settings;
    const means = this.#meansOf(protocols, broadcast);
    checkChannel(channel);
    checkRuid(ruid);
    const payload: HookPayload = { data: checkedData("data", data), channel, ruid };
    const { members, failed } = this.#select("send", settings, broadcast);

    const sent: Member[] = [];
    const used = new Set<"links" | "datagram">();
    const arriving: (Promise<void> | undefined)[] = [];
    const fail = (member: Member, error: ShoalError): void => {
      failed.push({ name: member.name, member, error });
    };
    let byProtocol: string | Buffer | undefined;
    const answer = this.#sender.send({
      ...means,
      kind: "message",
      id: 0,
      members,
      payload,
      context,
      isForAll: isUnselected(settings),
      items: new Map(),
      sent: (member, by) => {
        const done = (): void => {
          sent.push(member);
          used.add(by);
        };
        if (by === "datagram") done();
        else arriving.push(this.#whenSent(member, means.lane, done, (error) => fail(member, error)));
      },
      failed: fail,
      answered: (_, data) => {
        byProtocol = data;
      },
    });
    if (answer !== undefined) return { sent: [], failed: [], means: "none", answer: answer.data };
    if (means.lane > 0) await Promise.all(arriving);
    this.#context.counts.sent += sent.length;
    this.#context.counts.failed += failed.length;
    const [by = "none"] = used;
    return { sent, failed, means: used.size > 1 ? "both" : by, answer: byProtocol };
  }

  query(options: MemberQueryOptions): Query {
    if (this.#context.closed) throw new ClosedError("EBADF", "the node is closed");
    const settings = checkOptions("query", QUERY_OPTIONS, options);
    const { protocols, channel = 0, id, data = "", timeout, signal, maxReplyBytes } = settings;
    const means = this.#meansOf(protocols, false);
    checkChannel(channel);
    if (id !== undefined) checkRuid(id);
    const checked = checkedData("data", data);
    const { members, failed } = this.#select("query", settings, false);
    const unknown = failed.find(({ member }) => member === undefined);
    if (unknown !== undefined) throw unknown.error;
    const gone = failed.map(({ member }) => member as Member);
    const number = this.#context.pending.take();
    const ruid = id ?? String(number);
    let operation: MessageSendOperation | undefined;
    const query: Query = new Query(ruid, [...members, ...gone], maxReplyBytes, (ended) => {
      this.#context.pending.remove(number);
      if (operation !== undefined) endOperation(operation, ended, timeout);
    });
    const isAborted = signal?.aborted === true;
    this.#context.pending.add(number, query, { timeout, signal: isAborted ? undefined : signal });
    if (isObserved(MESSAGE_SEND)) operation = startMessageSend("query", channelDestination(channel), checked);
    if (isAborted) query.end("cancelled");
    for (const { member, error } of failed) query.respond({ member: member as Member, error });
    if (members.length === 0) query.end("done");
    else if (query.ended === undefined) {
      const asked = { ...means, id: number, members, payload: { data: checked, channel, ruid } };
      if (operation === undefined) this.#ask(query, asked, undefined);
      else operation.run(() => this.#ask(query, asked, contextToSend(operation)));
    }
    return query;
  }

  stats(): MemberMessagesStats {
    const { counts, pending, queues, refused } = this.#context;
    return {
      ...counts,
      queries: pending.size,
      awaited: pending.awaited,
      handling: this.receiver.handling,
      handlingBytes: this.receiver.handlingBytes,
      refused: { ...refused, ...(queues.dropped > 0 && { "member:unread": queues.dropped }) },
    };
  }

  // --- What the namespace brings -------------------------------------------------------------------------------------------

  onMember(what: MemberChange, member: Member): void {
    this.#context.admission.onMember(what, member);
    if (what !== "lost") return;
    this.#context.pending.onGone(member.id, (gone) => ({
      member: gone,
      error: new UnroutableError(`${gone.name} is gone`),
    }));
  }

  /** A member is gone for good. */
  onForgotten(id: string): void {
    this.#context.admission.onForgotten(id);
  }

  close(): void {
    this.#context.closed = true;
    this.#context.queues.close();
    this.#context.pending.close();
  }

  // --- Whom it goes to ----------------------------------------------------------------------------------------------

  #select(call: string, options: MemberSelection, all: boolean): Selected {
    const { members, resolver, resolve, self } = options;
    const found = new Map<string, Member>();
    const failed = new Map<string, MemberSendFailure>();
    const add = (member: Member): void => void found.set(member.id, member);
    if (members !== undefined) {
      if (typeof members === "string" || typeof members?.[Symbol.iterator] !== "function")
        throw invalidArgument("members must be a list", members);
      for (const each of members) {
        const name = typeof each === "string" ? each : each?.id;
        if (typeof name !== "string")
          throw invalidArgument("members must be a list of members, ids or names", each);
        const live = this.#context.effects.find(name);
        if (live !== undefined) add(live);
        // An unknown name ends a query, also if its member is given too.
        else if (typeof each === "string" || !failed.has(name)) {
          const shown = typeof each === "string" ? each : each.name;
          failed.set(name, {
            name: shown,
            member: typeof each === "string" ? undefined : each,
            error: new UnroutableError(`no live member is called ${quoted(shown)}`),
          });
        }
      }
    }
    if (resolver !== undefined)
      for (const member of isSteps(resolver)
        ? this.#context.effects.resolve(resolver as readonly ResolverStep[])
        : membersOf(resolver as Iterable<Member>))
        add(member);
    if (resolve !== undefined)
      for (const member of this.#context.effects.resolve([
        { has: typeof resolve === "string" ? [resolve] : resolve },
      ]))
        add(member);
    if (isUnselected(options)) {
      if (!all)
        throw new InvalidArgumentError(
          `${call} takes members, resolver or resolve${call === "send" ? ", or broadcast: true for all" : ""}`,
        );
      for (const member of this.#context.effects.resolve([])) add(member);
    }
    if (self !== true) found.delete(this.#context.selfId);
    if (found.size > MAX_MEMBERS)
      throw new InvalidArgumentError(`${call} goes to ${MAX_MEMBERS} members at most; got ${found.size}`);
    return { members: [...found.values()], failed: [...failed.values()] };
  }

  #ask(query: Query, asked: Asked, context: Buffer | undefined): void {
    const { members } = asked;
    const fail = (member: Member, error: ShoalError): void => {
      // Its answer may have come by another link.
      if (query.respond({ member, error })) this.#context.counts.failed += 1;
    };
    try {
      const answer = this.#sender.send({
        ...asked,
        byDatagram: false,
        kind: "query",
        context,
        isForAll: false,
        items: new Map(),
        sent: (member) => {
          const done = (): void => {
            this.#context.counts.sent += 1;
          };
          this.#whenSent(member, asked.lane, done, (error) => fail(member, error));
        },
        failed: fail,
        answered: (member, data) => void query.respond({ member, data }),
      });
      if (answer !== undefined) for (const member of members) query.respond({ member, data: answer.data });
    } catch (error) {
      for (const member of members) if (query.awaits(member.id)) fail(member, error as ShoalError);
    }
  }

  /** A message that names protocols is sent once it has arrived, and fails where none of them leads. */
  #whenSent(
    member: Member,
    lane: number,
    done: () => void,
    failed: (error: ShoalError) => void,
  ): Promise<void> | undefined {
    const { links, selfId } = this.#context;
    if (lane > 0 && member.id !== selfId) return links.delivered(member, lane).then(done, failed);
    done();
    return undefined;
  }

  #meansOf(
    names: readonly string[] | undefined,
    broadcast: boolean,
  ): Pick<Outgoing, "byDatagram" | "protocols" | "lane"> {
    const protocols = protocolsOf(names, this.#protocols);
    const isMulticast = broadcast && protocols?.includes("udp") !== false;
    const lane = protocols === undefined ? 0 : this.#context.links.laneOf(protocols);
    return { byDatagram: isMulticast || protocols?.[0] === "udp", protocols, lane };
  }
}

/** Only a timeout is an error: a query that the program leaves has its results. */
function endOperation(operation: MessageSendOperation, query: Query, timeout: number): void {
  operation.recipients = query.members.length - query.missing.length;
  if (query.ended !== "timeout") operation.end();
  else
    operation.end(
      new TimeoutError(
        "ETIMEDOUT",
        `${query.missing.length} of ${query.members.length} members did not respond within ${timeout} ms`,
      ),
    );
}

/** Whether it is conditions: an array may also be of members, as `members()` gives them. */
function isSteps(resolver: unknown): boolean {
  if (!Array.isArray(resolver)) return false;
  // An empty filtered list does not mean all.
  if (resolver.length === 0)
    throw new InvalidArgumentError(
      "resolver is empty: broadcast: true is for all, members for a list that may be",
    );
  return !resolver.some((each) => typeof (each as Partial<Member> | null)?.id === "string");
}

function* membersOf(members: Iterable<Member>): Iterable<Member> {
  if (typeof members?.[Symbol.iterator] !== "function" || typeof members === "string")
    throw invalidArgument("resolver must be a list of conditions, or a resolver", members);
  yield* members;
}

/** Whether nothing selects members: then a message is for all. */
function isUnselected({ members, resolver, resolve }: MemberSelection): boolean {
  return members === undefined && resolver === undefined && resolve === undefined;
}

/** @param known names of protocols */
function protocolsOf(
  protocols: readonly string[] | undefined,
  known: readonly string[],
): readonly string[] | undefined {
  if (protocols === undefined) return undefined;
  if (!Array.isArray(protocols) || protocols.length === 0)
    throw invalidArgument("protocols must be an array with at least one", protocols);
  for (const protocol of protocols)
    if (!known.includes(protocol))
      throw new InvalidArgumentError(
        `protocols must be of ${known.join(", ")}; got ${describe(protocol)}${suggest(protocol, known)}`,
      );
  return [...protocols];
}

// --- To each member ----------------------------------------------------------------------------------------

/** An item, or a hook's answer or veto. */
type Outcome = Buffer | HookAnswer | ShoalError;

/** A message or query on its way, and callbacks for each recipient. */
interface Outgoing {
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

/** Sends messages and queries to members. MemberReceiver is the other end. */
class MemberSender {
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
    const fits = message.byDatagram && multicast.fits(dataBytes(passed.data));
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
    const isOwn = id === selfId;
    if (isOwn && (this.#receiver.isBusy || queues.isOwnFull))
      return new TimeoutError("EAGAIN", "too many messages are handled, or wait for this node itself");
    const send = () =>
      isOwn ? queues.send(id, item) : links.send(id, MessageKind.MEMBER, item, message.lane);
    switch (closed ? "unreachable" : send()) {
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
