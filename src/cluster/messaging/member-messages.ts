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
import { CompiledResolver, type ResolverStep } from "../resolver.js";
import { MIN_ITEM_LIMIT } from "./bounds.js";
import { checkChannel } from "./channels.js";
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
import { MemberReceiver, type MembersNamespace, SELF } from "./member-receiver.js";
import {
  type MemberMessagesStats,
  type MemberQueryOptions,
  type MemberSelection,
  type MemberSendFailure,
  type MemberSendOptions,
  type MemberSendResult,
  QUERY_OPTIONS,
  SEND_OPTIONS,
} from "./member-types.js";
import { DATAGRAM_HEADER, encodeDatagrams, encodeMemberItem, MemberOp } from "./member-wire.js";
import { checkedData, checkRuid } from "./options.js";
import type { SendResult } from "./parts.js";
import { Query } from "./query.js";

type Hook = MessageHook | MemberHook;

interface Selected {
  readonly members: readonly Member[];
  readonly failed: MemberSendFailure[];
}

/** What a member gets: an item, a hook's answer to the program in its place, or nothing for this reason. */
type Outcome = Buffer | HookAnswer | ShoalError;

/** A message or query on its way. */
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
  readonly context: Buffer | undefined;
  /** Nothing was selected: also for members that are not known here yet. */
  readonly isForAll: boolean;
  /** By protocol. */
  readonly outcomes: Map<string, Outcome>;
  /** Messages that name protocols, on their way to streams. */
  readonly leaving: Promise<void>[];
  /** @param result how it was sent, or what came in place of that */
  settle(member: Member, result: "links" | "datagram" | HookAnswer | ShoalError): void;
}

type Asked = Pick<Outgoing, "id" | "members" | "payload" | "byDatagram" | "protocols">;

export class MemberMessages extends MemberReceiver {
  /** Valid names in `protocols`. */
  readonly #protocols: readonly string[];

  constructor(namespace: MembersNamespace) {
    super(namespace);
    const { protocols = [] } = namespace.settings.messaging;
    const names = protocols.map((each) => (typeof each === "string" ? each : each.name));
    // A protocol that this node does not have reaches no member.
    this.#protocols = [...new Set(["ipc", "tcp", "ws", "tls", "udp", SELF, ...names])];
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
    return this.hooks.add(stage, options ?? {}, call);
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
    const leaving: Promise<void>[] = [];
    let byProtocol: string | Buffer | undefined;
    const answer = this.#give({
      ...means,
      kind: "message",
      id: 0,
      members,
      payload,
      context,
      isForAll: isUnselected(settings),
      outcomes: new Map(),
      leaving,
      settle: (member, result) => {
        if (result instanceof HookAnswer) byProtocol = result.data;
        else if (result instanceof Error) failed.push({ name: member.name, member, error: result });
        else {
          sent.push(member);
          used.add(result);
        }
      },
    });
    if (answer !== undefined) return { sent: [], failed: [], means: "none", answer: answer.data };
    if (leaving.length > 0) await Promise.all(leaving);
    this.counts.sent += sent.length;
    this.counts.failed += failed.length;
    const [by = "none"] = used;
    return { sent, failed, means: used.size > 1 ? "both" : by, answer: byProtocol };
  }

  query(options: MemberQueryOptions): Query {
    if (this.closed) throw new ClosedError("EBADF", "the node is closed");
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
    const number = this.pending.take();
    const ruid = id ?? String(number);
    let operation: MessageSendOperation | undefined;
    const query: Query = new Query(ruid, [...members, ...gone], maxReplyBytes, (ended) => {
      this.pending.remove(number);
      if (operation !== undefined) endOperation(operation, ended, timeout);
    });
    const isAborted = signal?.aborted === true;
    this.pending.add(number, query, { timeout, signal: isAborted ? undefined : signal });
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

  #ask(query: Query, asked: Asked, context: Buffer | undefined): void {
    const { members } = asked;
    const settle: Outgoing["settle"] = (member, result) => {
      if (result instanceof HookAnswer) query.respond({ member, data: result.data });
      else if (!(result instanceof Error)) this.counts.sent += 1;
      // Its answer may have come by another link.
      else if (query.respond({ member, error: result })) this.counts.failed += 1;
    };
    try {
      const answer = this.#give({
        ...asked,
        byDatagram: false,
        kind: "query",
        context,
        isForAll: false,
        outcomes: new Map(),
        leaving: [],
        settle,
      });
      if (answer !== undefined) for (const member of members) settle(member, answer);
    } catch (error) {
      for (const member of members) if (query.awaits(member.id)) settle(member, error as ShoalError);
    }
  }

  stats(): MemberMessagesStats {
    const { counts, handling, handlingBytes, pending, queues } = this;
    return {
      ...counts,
      queries: pending.size,
      awaited: pending.awaited,
      handling,
      handlingBytes,
      refused: { ...this.refused, ...(queues.dropped > 0 && { "member:unread": queues.dropped }) },
    };
  }

  // --- What the namespace brings -------------------------------------------------------------------------------------------

  onMember(what: MemberChange, member: Member): void {
    this.hooks.onMember(what, member);
    if (what !== "lost") return;
    this.pending.onGone(member.id, (gone) => ({
      member: gone,
      error: new UnroutableError(`${gone.name} is gone`),
    }));
  }

  close(): void {
    this.closed = true;
    this.queues.close();
    this.pending.close();
  }

  // --- Whom it goes to ----------------------------------------------------------------------------------------------

  #select(call: string, options: MemberSelection, all: boolean): Selected {
    const { members, resolver, resolve, self } = options;
    const found = new Map<string, Member>();
    const failed = new Map<string, MemberSendFailure>();
    const add = (some: Iterable<Member>): void => {
      for (const member of some) found.set(member.id, member);
    };
    if (members !== undefined) {
      if (typeof members === "string" || typeof members?.[Symbol.iterator] !== "function")
        throw invalidArgument("members must be a list", members);
      for (const each of members) {
        const name = typeof each === "string" ? each : each?.id;
        if (typeof name !== "string")
          throw invalidArgument("members must be a list of members, ids or names", each);
        const live = this.#find(name);
        const member = typeof each === "string" ? undefined : each;
        const shown = member?.name ?? name;
        if (live !== undefined) add([live]);
        // An unknown name ends a query, also if its member is given too.
        else if (member === undefined || !failed.has(name)) {
          const error = new UnroutableError(`no live member is called ${quoted(shown)}`);
          failed.set(name, { name: shown, member, error });
        }
      }
    }
    if (isSteps(resolver)) add(this.#resolve(resolver));
    else if (resolver !== undefined) add(membersOf(resolver));
    if (resolve !== undefined)
      add(this.#resolve([{ has: typeof resolve === "string" ? [resolve] : resolve }]));
    if (isUnselected(options)) {
      if (!all)
        throw new InvalidArgumentError(
          `${call} takes members, resolver or resolve${call === "send" ? ", or broadcast: true for all" : ""}`,
        );
      add(this.#resolve([]));
    }
    if (self !== true) found.delete(this.id);
    if (found.size > MAX_MEMBERS)
      throw new InvalidArgumentError(`${call} goes to ${MAX_MEMBERS} members at most; got ${found.size}`);
    return { members: [...found.values()], failed: [...failed.values()] };
  }

  /** The live member with an id or a name; may be this node. */
  #find(nameOrId: string): Member | undefined {
    const member = this.namespace.membership && this.namespace.find(nameOrId);
    return member?.isLive === true ? this.namespace.snapshotOf(member) : undefined;
  }

  /** Live members that match, including this node. */
  #resolve(steps: readonly ResolverStep[]): Member[] {
    const { self, live } = this.namespace.rules;
    const found = new CompiledResolver(steps).select([self, ...live], self);
    return found.map((member) => this.namespace.snapshotOf(member));
  }

  #meansOf(
    names: readonly string[] | undefined,
    broadcast: boolean,
  ): Pick<Outgoing, "byDatagram" | "protocols"> {
    const protocols = protocolsOf(names, this.#protocols);
    const isMulticast = broadcast && protocols?.includes("udp") !== false;
    return { byDatagram: isMulticast || protocols?.[0] === "udp", protocols };
  }

  // --- To each member ------------------------------------------------------------------------------------------------

  /**
   * Passes a payload through the hooks of sending, and to each member by the best allowed means.
   *
   * @returns a hook's answer in place of sending
   * @throws VetoError of a hook
   */
  #give(message: Outgoing): HookAnswer | undefined {
    const { kind, members, payload } = message;
    const passed = this.hooks.pass(ENCODING, payload, { kind, members, protocol: "" });
    if (passed instanceof HookAnswer) {
      this.counts.answered += 1;
      return passed;
    }
    message.payload = passed;
    const others: Member[] = [];
    const isDatagram = message.byDatagram && this.#fitsDatagram(dataBytes(passed.data));
    for (const member of members)
      if (isDatagram && member.id !== this.id) others.push(member);
      else this.#giveByLink(member, message);
    if (others.length > 0) this.#giveByDatagram(others, message);
    return undefined;
  }

  #giveByLink(member: Member, message: Outgoing): void {
    const { protocols, leaving } = message;
    const refusal = this.#refusalOf(member);
    if (refusal !== undefined) message.settle(member, refusal);
    else if (protocols === undefined || member.id === this.id)
      this.#settle(member, this.#outcomeFor(member, message), message);
    else leaving.push(this.#giveBy(protocols, member, message));
  }

  #settle(member: Member, outcome: Outcome, message: Outgoing): void {
    message.settle(member, Buffer.isBuffer(outcome) ? (this.#sendItem(member, outcome) ?? "links") : outcome);
  }

  /** By the first named protocol that works, in place of the link. */
  async #giveBy(protocols: readonly string[], member: Member, message: Outgoing): Promise<void> {
    const { id, name } = member;
    let reason = "";
    for (const way of this.links.waysBy(id, protocols)) {
      const outcome = this.#encode(way.protocol.name, [member], message);
      if (!Buffer.isBuffer(outcome)) {
        message.settle(member, outcome);
        return;
      }
      try {
        const result = await this.links.sendBy(way, outcome);
        message.settle(member, result === "sent" ? "links" : this.#errorOf(result, name, outcome.length));
        return;
      } catch (error) {
        reason = `: ${way.protocol.name}: ${(error as ShoalError).message}`;
      }
    }
    const text = `${name} is not reached by ${protocols.join(", ")}${reason}`;
    message.settle(member, new UnroutableError(text));
  }

  /** By datagram, or by links where it does not fit one. */
  #giveByDatagram(members: readonly Member[], message: Outgoing): void {
    const admitted = members.filter((member) => {
      const error = this.#refusalOf(member);
      if (error !== undefined) message.settle(member, error);
      return error === undefined;
    });
    if (admitted.length === 0) return;
    const outcome = this.#encode("udp", admitted, message);
    if (!Buffer.isBuffer(outcome)) for (const member of admitted) this.#settle(member, outcome, message);
    else if (this.#fitsDatagram(outcome.length)) {
      const isForAll = message.isForAll && admitted.length === members.length;
      for (const datagram of encodeDatagrams(outcome, isForAll ? [] : admitted, this.namespace.messageRoom))
        this.namespace.membership?.multicastMessage(datagram);
      for (const member of admitted) message.settle(member, "datagram");
    } else for (const member of admitted) this.#giveByLink(member, message);
  }

  #fitsDatagram(size: number): boolean {
    return size + DATAGRAM_HEADER <= this.namespace.messageRoom;
  }

  #sendItem(member: Member, item: Buffer): ShoalError | undefined {
    const { links, queues } = this;
    const { id, name } = member;
    if (id === this.id && (this.isBusy || queues.isOwnFull))
      return new TimeoutError("EAGAIN", "too many messages are handled, or wait for this node itself");
    const result = this.closed ? "unreachable" : queues.send(id, item);
    if (result === "full") links.drop(id);
    return result === "sent" ? undefined : this.#errorOf(result, name, item.length);
  }

  #errorOf(result: Exclude<SendResult, "sent">, name: string, bytes = 0): ShoalError {
    if (result === "full") return new TimeoutError("EAGAIN", `the link to ${name} is full`);
    if (result === "too-large") return new InvalidArgumentError(`${name} takes no message of ${bytes} bytes`);
    return new UnroutableError(`${name} is gone, or takes no messages`);
  }

  /** Why a member gets no messages. */
  #refusalOf(member: Member): ShoalError | undefined {
    if (this.hooks.decides && member.id !== this.id && !this.isKnown(member.id))
      return new UnroutableError(`the details of ${member.name}, which hooks decide by, have not come`);
    return this.hooks.verdictOf(member);
  }

  #outcomeFor(member: Member, message: Outgoing): Outcome {
    const { members, outcomes } = message;
    // Without a need for the protocol one item is for all links, and may open them.
    const isAny = this.hooks.isEmpty("protocol:send");
    const protocol = isAny ? "" : this.protocolOf(member.id);
    if (protocol === "" && !isAny) return this.#errorOf("unreachable", member.name);
    let outcome = outcomes.get(protocol);
    if (outcome === undefined) {
      const group = isAny ? members : members.filter(({ id }) => this.protocolOf(id) === protocol);
      outcome = this.#encode(protocol, group, message);
      outcomes.set(protocol, outcome);
    }
    return outcome;
  }

  /** Passes the hooks of the protocol, and encodes. A veto is an outcome. */
  #encode(protocol: string, members: readonly Member[], message: Outgoing): Outcome {
    const { kind, id, context } = message;
    let passed: Passed = message.payload;
    try {
      passed = this.hooks.pass(TRANSMITTING, message.payload, { kind, members, protocol });
    } catch (error) {
      return error as ShoalError;
    }
    if (passed instanceof HookAnswer) {
      this.counts.answered += 1;
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
      if (protocol === "udp" ? this.#fitsDatagram(traced.length) : isSmall) return traced;
    }
    return encodeMemberItem({ op, channel, id, ruid, data });
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
function isSteps(resolver: MemberSelection["resolver"]): resolver is readonly ResolverStep[] {
  if (!Array.isArray(resolver)) return false;
  // An empty filtered list does not mean all.
  if (resolver.length === 0)
    throw new InvalidArgumentError(
      "resolver is empty: broadcast: true is for all, members for a list that may be",
    );
  return !resolver.some((each) => typeof (each as Partial<Member> | null)?.id === "string");
}

function membersOf(members: Iterable<Member>): Iterable<Member> {
  if (typeof members?.[Symbol.iterator] !== "function" || typeof members === "string")
    throw invalidArgument("resolver must be a list of conditions, or a resolver", members);
  return members;
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
