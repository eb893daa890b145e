/**
 * Received items of members: messages and queries for the program's handlers, responses for its waiting queries. Sending
 * (member-messages.ts) extends it: both use hooks, channels and counts.
 *
 *   item ── channel joined? ── decode ── admitted? ── hooks of receiving ──┬── handlers of messages
 *                                                                          ├── handler of queries ──> answer
 *                                                                          └── the query that waits for this reply
 *   answer ── hooks of sending ── encoded ──> the link's queue (node-queues.ts)
 *
 * While too many are handled, messages are dropped and queries refused.
 *
 * Nothing here throws, whatever a peer sends: an answer that cannot be sent is counted.
 */
import { invalidArgument, isThenable } from "../../core/arguments.js";
import { owned } from "../../core/bytes.js";
import { begin, isObserved, MESSAGE_PROCESS } from "../../core/diagnostics.js";
import { InvalidStateError, type ShoalError, TimeoutError } from "../../core/errors.js";
import {
  channelDestination,
  type MessageHandlerKind,
  type MessageProcessOperation,
  observedBytes,
} from "../../core/message-operations.js";
import { exposedText } from "../../kit/errors.js";
import { checkOptions } from "../../kit/options.js";
import { type Member as KnownMember, MemberState } from "../membership/members.js";
import type { Membership } from "../membership/membership.js";
import type { Member } from "../node/member.js";
import type { NamespaceSettings } from "../node/options.js";
import { MAX_FAILURE_TEXT, MAX_HANDLING, MAX_HANDLING_BYTES } from "./bounds.js";
import { type ClusterChannel, ClusterChannels, channelSet } from "./channels.js";
import {
  type HookAbout,
  HookAnswer,
  type HookPayload,
  Hooks,
  type MessageStage,
  type Passed,
  SENDING,
  UNWRAPPING,
  type VetoError,
} from "./hooks.js";
import type { NodeLinks } from "./links.js";
import {
  HANDLER_OPTIONS,
  type HandlerOptions,
  type MemberMessage,
  type MemberMessageHandler,
  type MemberMessagesEvent,
  type MemberQuery,
  type MemberQueryHandler,
} from "./member-types.js";
import {
  decodeMemberItem,
  encodeMemberItem,
  type MemberItem,
  MemberOp,
  readDatagram,
} from "./member-wire.js";
import { NodeQueues } from "./node-queues.js";
import { checkedData } from "./options.js";
import { MessageKind } from "./parts.js";
import {
  PendingQueries,
  QUERY_FAILURES,
  QueryError,
  type QueryFailureReason,
  type QueryResponse,
  sizeOf,
} from "./query.js";

/** Protocol of messages to this node itself. */
export const SELF = "self";

const MESSAGE_STAGES: readonly MessageStage[] = [...UNWRAPPING, "member:evaluate", "event"];
const QUERY_STAGES: readonly MessageStage[] = [...UNWRAPPING, "member:evaluate", "query"];

interface Handler<H> {
  readonly channels: ReadonlySet<ClusterChannel> | undefined;
  readonly timeout: number;
  readonly call: H;
}

/** The cluster on this node. */
export interface MembersNamespace {
  readonly identity: { readonly id: string };
  readonly settings: Pick<NamespaceSettings, "messaging">;
  readonly messages: { readonly links: NodeLinks };
  readonly membership: Membership | undefined;
  readonly rules: Membership;
  /** Bytes of a datagram to the group; 0: none. */
  readonly messageRoom: number;
  find(nameOrId: string): KnownMember | undefined;
  snapshotOf(member: Readonly<KnownMember>): Member;
  report(event: MemberMessagesEvent): void;
}

export class MemberReceiver {
  /** Of this node. */
  readonly id: string;
  readonly namespace: MembersNamespace;
  readonly links: NodeLinks;
  readonly channels: ClusterChannels;
  readonly hooks: Hooks;
  readonly pending: PendingQueries;
  /** Answers, and what goes to this node itself. */
  readonly queues: NodeQueues;
  readonly counts = {
    sent: 0,
    failed: 0,
    received: 0,
    notJoined: 0,
    unhandled: 0,
    vetoed: 0,
    answered: 0,
  };
  readonly refused: Record<string, number> = {};
  closed = false;
  #messageHandlers: readonly Handler<MemberMessageHandler>[] = [];
  #queryHandlers: readonly Handler<MemberQueryHandler>[] = [];
  handling = 0;
  handlingBytes = 0;
  /** Whether dropped messages were reported since nothing was handled. */
  #isOverloaded = false;

  constructor(namespace: MembersNamespace) {
    const { links } = namespace.messages;
    this.id = namespace.identity.id;
    this.namespace = namespace;
    this.links = links;
    this.channels = new ClusterChannels(namespace.settings.messaging.channels);
    this.hooks = new Hooks((member, error) => namespace.report({ type: "hook:failed", member, error }));
    // Answers to an earlier life match no query.
    this.pending = new PendingQueries(Math.floor(Math.random() * 2 ** 20));
    this.queues = new NodeQueues(links, MessageKind.MEMBER, {
      id: this.id,
      onItem: (from, item) => this.onBytes(from, item, SELF),
    });
  }

  onMessage(call: MemberMessageHandler, options: HandlerOptions = {}): () => void {
    const handler = handlerOf("onMessage", call, options);
    this.#messageHandlers = [...this.#messageHandlers, handler];
    return () => {
      this.#messageHandlers = this.#messageHandlers.filter((each) => each !== handler);
    };
  }

  onQuery(call: MemberQueryHandler, options: HandlerOptions = {}): () => void {
    const handler = handlerOf("onQuery", call, options);
    const overlaps = ({ channels }: Handler<unknown>): boolean =>
      channels === undefined || handler.channels === undefined
        ? channels === handler.channels
        : [...channels].some((channel) => handler.channels?.has(channel) === true);
    if (this.#queryHandlers.some(overlaps))
      throw new InvalidStateError("EFSM", "there is a handler of queries on this channel already");
    this.#queryHandlers = [...this.#queryHandlers, handler];
    return () => {
      this.#queryHandlers = this.#queryHandlers.filter((each) => each !== handler);
    };
  }

  onDatagram(from: string, bytes: Buffer): void {
    const { closed, hooks, id } = this;
    const data = readDatagram(bytes, id);
    if (closed || data === undefined) return;
    const item = data === "filter" ? data : decodeMemberItem(data);
    if (typeof item === "string") this.refuse(`datagram:${item}`);
    else if (item.op !== MemberOp.MESSAGE) this.refuse("datagram:op");
    else if (this.isBusy) this.refuse("datagram:busy");
    // Hooks that decide about the member need its details.
    else if (hooks.decides && !this.isKnown(from)) this.refuse("datagram:details");
    else this.#take(from, item, "udp");
  }

  onBytes(from: string, bytes: Buffer, protocol: string): void {
    if (this.closed) return;
    const item = decodeMemberItem(bytes);
    if (typeof item === "string") this.refuse(`member:${item}`);
    else this.#take(from, item, protocol);
  }

  #take(from: string, item: MemberItem, protocol: string): void {
    const { channels, counts, hooks } = this;
    const { op, channel } = item;
    const isRequest = op === MemberOp.MESSAGE || op === MemberOp.QUERY;
    if (isRequest && !channels.has(channel)) {
      counts.notJoined += 1;
      return;
    }
    const member = this.sender(from);
    if (member === undefined) this.refuse("member:sender");
    else if (hooks.verdictOf(member) !== undefined) {
      counts.vetoed += 1;
      this.refuse("member:validate");
    } else if (isRequest) this.#onRequest(member, item, protocol);
    else if (op === MemberOp.REPLY || op === MemberOp.FAILURE) this.#onResponse(member, item, protocol);
    else this.refuse("member:op");
  }

  #onRequest(member: Member, item: MemberItem, protocol: string): void {
    const { op, channel, id, context } = item;
    const isQuery = op === MemberOp.QUERY;
    if (isQuery && id === 0) {
      this.refuse("member:id");
      return;
    }
    const kind = isQuery ? "query" : "message";
    const ruid = isQuery && item.ruid === "" ? String(id) : item.ruid;
    const stages = isQuery ? QUERY_STAGES : MESSAGE_STAGES;
    const payload = { data: ownData(item.data), channel, ruid };
    const passed = this.#pass(stages, payload, { kind, members: [member], protocol });
    if (passed instanceof Error) {
      if (isQuery) this.#fail(member, channel, id, "vetoed", passed.reason ?? "");
    } else if (passed instanceof HookAnswer) {
      this.counts.answered += 1;
      this.#reply(member, channel, id, passed.data);
    } else if (passed !== undefined) {
      const message = messageOf(member, protocol, passed);
      if (isQuery) void this.#answerQuery(message, id, context);
      else this.#handleMessage(message, context);
    }
  }

  #onResponse(member: Member, item: MemberItem, protocol: string): void {
    const query = this.pending.find(member.id, item.id);
    if (query === undefined) {
      this.refuse("member:unawaited");
      return;
    }
    if (item.op === MemberOp.FAILURE) {
      const reason = Object.hasOwn(QUERY_FAILURES, item.ruid)
        ? (item.ruid as QueryFailureReason)
        : "handler-failed";
      const text = typeof item.data === "string" ? item.data.slice(0, MAX_FAILURE_TEXT) : "";
      query.respond({ member, error: new QueryError(reason, member.name, text) });
      return;
    }
    const payload = { data: ownData(item.data), channel: item.channel, ruid: query.id };
    const passed = this.#pass(UNWRAPPING, payload, { kind: "reply", members: [member], protocol });
    // A hook cannot answer a reply.
    if (passed === undefined || passed instanceof HookAnswer) return;
    const response: QueryResponse =
      passed instanceof Error ? { member, error: passed } : { member, data: passed.data };
    if (!query.respond(response)) this.refuse("member:unawaited");
  }

  #handleMessage(message: MemberMessage, context: Buffer | undefined): void {
    const { member } = message;
    const { counts, namespace } = this;
    // Those of this node itself were counted when they were sent.
    if (this.isBusy && member.id !== this.id) {
      this.refuse("member:overloaded");
      const text = `${this.handling} messages and queries are handled, and further ones are dropped`;
      const error = new TimeoutError("EAGAIN", text);
      // One event until nothing is handled any more.
      if (!this.#isOverloaded) namespace.report({ type: "handler:failed", member, error });
      this.#isOverloaded = true;
      return;
    }
    const handlers = this.#messageHandlers.filter(({ channels }) => channels?.has(message.channel) !== false);
    if (handlers.length === 0) {
      counts.unhandled += 1;
      return;
    }
    counts.received += 1;
    for (const handler of handlers)
      this.#run("message", handler, message, context).catch((error: unknown) =>
        namespace.report({ type: "handler:failed", member, error }),
      );
  }

  /** Never rejects. */
  async #answerQuery(query: MemberQuery, id: number, context: Buffer | undefined): Promise<void> {
    const { member, channel } = query;
    const handler =
      this.#queryHandlers.find(({ channels }) => channels?.has(channel) === true) ??
      this.#queryHandlers.find(({ channels }) => channels === undefined);
    if (handler === undefined) {
      this.#fail(member, channel, id, "no-handler", "");
      return;
    }
    if (this.isBusy) {
      this.refuse("member:overloaded");
      this.#fail(member, channel, id, "overloaded", "");
      return;
    }
    this.counts.received += 1;
    try {
      const answer = await this.#run("query", handler, query, context);
      this.#reply(member, channel, id, checkedData("an answer", answer ?? ""));
    } catch (error) {
      this.namespace.report({ type: "handler:failed", member, error });
      this.#fail(member, channel, id, "handler-failed", exposedText(error) ?? "");
    }
  }

  async #run(
    kind: MessageHandlerKind,
    { call, timeout }: Handler<(message: MemberMessage) => unknown>,
    message: MemberMessage,
    context: Buffer | undefined,
  ): Promise<unknown> {
    const size = sizeOf(message.data);
    this.handling += 1;
    this.handlingBytes += size;
    try {
      const result = isObserved(MESSAGE_PROCESS) ? observed(kind, message, context, call) : call(message);
      return isThenable(result) ? await settledWithin(result, timeout) : result;
    } finally {
      this.handling -= 1;
      this.handlingBytes -= size;
      if (this.handling === 0) this.#isOverloaded = false;
    }
  }

  /** Its protocol may differ from its query's. */
  #reply(member: Member, channel: ClusterChannel, id: number, answer: string | Buffer): void {
    const protocol = this.protocolOf(member.id);
    if (protocol === "" && !this.hooks.isEmpty("protocol:send")) {
      this.refuse("member:reply");
      this.#fail(member, channel, id, "handler-failed", "no link for the answer");
      return;
    }
    const payload = { data: answer, channel, ruid: "" };
    const passed = this.#pass(SENDING, payload, { kind: "reply", members: [member], protocol });
    // A hook cannot answer a reply.
    if (passed === undefined || passed instanceof HookAnswer) return;
    if (passed instanceof Error) this.#fail(member, channel, id, "vetoed", passed.reason ?? "");
    else this.#transmit(member, { op: MemberOp.REPLY, channel, id, ruid: passed.ruid, data: passed.data });
  }

  /** Answers a query by a failure, which passes no hooks. */
  #fail(member: Member, channel: ClusterChannel, id: number, reason: QueryFailureReason, text: string): void {
    const data = text.slice(0, MAX_FAILURE_TEXT);
    this.#transmit(member, { op: MemberOp.FAILURE, channel, id, ruid: reason, data });
  }

  /** Waits for room; a dropped answer is counted. */
  #transmit(member: Member, item: MemberItem): void {
    this.queues.answer(member.id, encodeMemberItem(item), (result) => {
      if (result === "too-large") {
        // Larger than this node's or the other node's links take.
        this.refuse("member:too-large");
        if (item.op === MemberOp.REPLY) this.#fail(member, item.channel, item.id, "too-large", "");
      } else if (result === "unreachable") this.refuse("member:reply");
    });
  }

  /**
   * Passes what a member sent, or an answer for it, through hooks.
   *
   * @returns also a veto, which is reported; `undefined`: a hook has closed the node
   */
  #pass(
    stages: readonly MessageStage[],
    payload: HookPayload,
    about: HookAbout,
  ): Passed | VetoError | undefined {
    const { hooks, counts, namespace } = this;
    try {
      const passed = hooks.pass(stages, payload, about);
      return this.closed ? undefined : passed;
    } catch (thrown) {
      const error = thrown as VetoError;
      counts.vetoed += 1;
      namespace.report({ type: "hook:failed", member: about.members[0] as Member, error });
      return error;
    }
  }

  refuse(reason: string): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }

  /** A live or lost member: a lost one may only have paused. */
  sender(id: string): Member | undefined {
    const member = this.namespace.membership?.get(id);
    return member === undefined || member.state === MemberState.LEFT
      ? undefined
      : this.namespace.snapshotOf(member);
  }

  /** Whether a member's details are known. */
  isKnown(id: string): boolean {
    const member = this.namespace.membership?.get(id);
    return member?.isLive !== true || member.hasDetails;
  }

  /** Its protocol, or the first to be tried; empty: none. */
  protocolOf(id: string): string {
    return id === this.id ? SELF : this.links.protocolFor(id);
  }

  get isBusy(): boolean {
    return this.handling >= MAX_HANDLING || this.handlingBytes >= MAX_HANDLING_BYTES;
  }
}

/** Without spreads, which took a `send` from 2.6 to 6.6 µs. */
function messageOf(member: Member, protocol: string, { data, channel, ruid }: HookPayload): MemberMessage {
  return { member, protocol, data, channel, ruid };
}

function observed<T>(
  handler: MessageHandlerKind,
  message: MemberMessage,
  context: Buffer | undefined,
  call: (message: MemberMessage) => T,
): T {
  const received = {
    system: "cluster" as const,
    destination: channelDestination(message.channel),
    filter: "",
    sender: message.member.id,
    bytes: observedBytes(message.data),
    message,
    context,
  };
  const operation = begin<MessageProcessOperation>(MESSAGE_PROCESS, { handler, received });
  return operation.observe(() => call(message));
}

function handlerOf<H>(name: string, call: H, options: HandlerOptions): Handler<H> {
  const { channels, timeout } = checkOptions(name, HANDLER_OPTIONS, options);
  if (typeof call !== "function") throw invalidArgument(`${name} takes a function`, call);
  return { channels: channelSet(channels), timeout, call };
}

function ownData(data: string | Buffer): string | Buffer {
  return typeof data === "string" ? data : owned(data);
}

function late(timeout: number): ShoalError {
  const error = new TimeoutError("ETIMEDOUT", `the handler has not settled within ${timeout} ms`);
  return Object.assign(error, { expose: true });
}

/** @param timeout ms; -1: no limit @returns the promise's result, or an error when it is late */
function settledWithin<T>(result: PromiseLike<T>, timeout: number): Promise<T> {
  if (timeout === -1) return Promise.resolve(result);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late(timeout)), timeout).unref();
    Promise.resolve(result)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
