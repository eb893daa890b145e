/**
 * What answers services: replies to queries, messages that answer messages, failures and the reasons of vetoes.
 *
 *   answer ── a link, where hooks are called with how it goes ── hooks of sending ── encoded ──┬── link, or its queue (node-queues.ts)
 *                                                                                              └── this node itself
 *
 * Nothing here throws or rejects: a reply that cannot go is a failure for the service that asked, and is counted.
 */
import type { ShoalError } from "../../core/errors.js";
import type { Service } from "../node/service.js";
import {
  LINK_TIMEOUT,
  MAX_KEPT_ANSWER_BYTES,
  MAX_UNREAD_ANSWER_BYTES,
  MAX_UNREAD_ANSWERS,
} from "./bounds.js";
import type { ClusterChannel } from "./channels.js";
import {
  ENCODING,
  type HookAbout,
  type HookAnswer,
  type HookPayload,
  type Hooks,
  type MessageStage,
  TRANSMITTING,
  VetoError,
} from "./hooks.js";
import type { QueueResult } from "./node-queues.js";
import type { QueryFailureReason } from "./query.js";
import { prefixOfChannel, SELF, type ServiceContext, sizeOf } from "./service-context.js";
import { encodeService, ServiceOp } from "./service-wire.js";

/** Characters of a failed handler's message that go to the service that asked. */
export const MAX_FAILURE_TEXT = 1_024;
const REPLY_STAGES: readonly MessageStage[] = [...ENCODING, ...TRANSMITTING];

/** An answer before the hooks of sending. */
export type Reply = HookPayload & { readonly op: ServiceOp; readonly id: number };

/** Answers to a service that wait for a link to it. */
interface Linkless {
  readonly replies: Reply[];
  bytes: number;
  /** They pass their hooks; `undefined`: there is no link yet. */
  sending: Promise<void> | undefined;
}

/** What answers need of the end that receives. */
export interface RepliesEffects {
  /** This node answers a query of its own. */
  onAnswer(item: Buffer): void;
  /** This node answers a message of its own. @returns whether there was room */
  onMessage(item: Buffer): boolean;
  /** Settles when a service that is lost is back, or gone, or has not come back in time. */
  returned(id: string): Promise<void>;
}

export class ServiceReplies {
  readonly #context: ServiceContext;
  readonly #effects: RepliesEffects;
  /** Answers that wait for links, and bytes of all of them. */
  readonly #linkless = new Map<string, Linkless>();
  #linklessBytes = 0;
  /** Services that were waited for in vain, and until when they are not again; the oldest first. */
  readonly #unlinked = new Map<string, number>();

  constructor(context: ServiceContext, effects: RepliesEffects) {
    this.#context = context;
    this.#effects = effects;
  }

  /** A service is back, or gone for good. */
  onReturn(id: string): void {
    this.#unlinked.delete(id);
  }

  /**
   * Sends an answer through the hooks of sending: those of the protocol that it goes by, which need not be the one that its query came by. It
   * neither throws nor rejects.
   */
  reply(service: Service, reply: Reply): void | Promise<void> {
    const { effects, hooks, selfId } = this.#context;
    const protocol = service.id === selfId ? SELF : effects.protocolOf(service.id);
    const waiting = this.#linkless.get(service.id);
    if (waiting === undefined && (protocol !== "" || hooks.isEmpty("protocol:send")))
      return this.#replyBy(protocol, service, reply);
    return this.#replyLinked(service, reply, waiting);
  }

  /**
   * The same where there has to be a link first. That may take long, and holds neither the link by which it was asked for nor a slot: others wait
   * for these.
   */
  #replyLinked(service: Service, reply: Reply, waiting: Linkless | undefined): void | Promise<void> {
    const size = sizeOf(reply.data);
    const isFull =
      waiting !== undefined &&
      (waiting.replies.length >= MAX_UNREAD_ANSWERS || waiting.bytes + size > MAX_UNREAD_ANSWER_BYTES);
    const areFull = this.#linklessBytes > 0 && this.#linklessBytes + size > MAX_KEPT_ANSWER_BYTES;
    if (isFull || areFull || performance.now() < (this.#unlinked.get(service.id) ?? 0))
      return this.#replyUnlinked(service, reply);
    const linkless = waiting ?? { replies: [], bytes: 0, sending: undefined };
    linkless.replies.push(reply);
    linkless.bytes += size;
    this.#linklessBytes += size;
    if (waiting === undefined) {
      this.#linkless.set(service.id, linkless);
      void this.#link(service).then((protocol) => this.#sendLinkless(service, linkless, protocol));
    }
    return linkless.sending;
  }

  /** @returns how the link goes that was made; "": none was */
  async #link({ id }: Service): Promise<string> {
    const { effects } = this.#context;
    const known = effects.whenKnown?.(id);
    if (known !== undefined) await known;
    const begun = performance.now();
    let protocol = await effects.whenLinked(id, undefined);
    if (protocol === "" && !this.#context.closed && effects.mayReturn(id)) {
      await this.#effects.returned(id);
      protocol = await effects.whenLinked(id, undefined);
    }
    const now = performance.now();
    // Where it is known at once that there is none, nothing waits the next time, either.
    if (protocol === "" && now - begun > LINK_TIMEOUT / 2) {
      for (const [other, until] of this.#unlinked) {
        if (until > now) break;
        this.#unlinked.delete(other);
      }
      this.#unlinked.delete(id);
      this.#unlinked.set(id, now + LINK_TIMEOUT);
    }
    return protocol;
  }

  async #sendLinkless(service: Service, linkless: Linkless, protocol: string): Promise<void> {
    let done = (): void => undefined;
    linkless.sending = new Promise((resolve) => {
      done = resolve;
    });
    const { replies } = linkless;
    while (replies.length > 0 && !this.#context.closed) {
      const reply = replies.shift() as Reply;
      const size = sizeOf(reply.data);
      linkless.bytes -= size;
      this.#linklessBytes -= size;
      const sent =
        protocol === "" ? this.#replyUnlinked(service, reply) : this.#replyBy(protocol, service, reply);
      // Those to messages keep their order. Those to queries have numbers.
      if (sent !== undefined && reply.op === ServiceOp.ANSWER) await sent;
    }
    this.#linkless.delete(service.id);
    done();
  }

  /** Which hooks it has to pass is not known: it stays here. A failure passes none. */
  #replyUnlinked(service: Service, { op, channel, id }: Reply): void {
    this.#context.refuse("service:reply");
    if (op === ServiceOp.REPLY) this.fail(service, channel, id, "handler-failed", "no link for the answer");
  }

  #replyBy(protocol: string, service: Service, reply: Reply): void | Promise<void> {
    let passed: ReturnType<Hooks["pass"]>;
    try {
      const about: HookAbout = { kind: "reply", services: [service], protocol };
      passed = this.#context.hooks.pass(REPLY_STAGES, reply, about);
    } catch (error) {
      return this.#replyFailed(service, reply, error);
    }
    if (!(passed instanceof Promise)) return this.#sendReply(service, reply, passed);
    return passed.then(
      (each) => this.#sendReply(service, reply, each),
      (error: unknown) => this.#replyFailed(service, reply, error),
    );
  }

  #sendReply(service: Service, reply: Reply, passed: HookPayload | HookAnswer): void {
    if (this.#context.closed) return;
    const { op, id, channel } = reply;
    // A hook cannot answer a reply.
    const { data, ruid } = passed as HookPayload;
    let item: Buffer;
    try {
      item = encodeService({ op, id, channel, ruid, data });
    } catch (error) {
      this.#replyFailed(service, reply, error);
      return;
    }
    if (op === ServiceOp.REPLY) this.#answer(service, item, channel, id);
    else this.transmit(service, item, channel);
  }

  #replyFailed(service: Service, { op, id, channel }: Reply, error: unknown): void {
    if (this.#context.closed) return;
    if (!(error instanceof VetoError)) {
      this.fail(service, channel, id, "too-large", "");
      return;
    }
    this.#context.vetoed(service, error);
    if (op === ServiceOp.REPLY) this.fail(service, channel, id, "vetoed", error.reason ?? "");
  }

  /** Answers a query by a failure, which passes no hooks. */
  fail(
    service: Service,
    channel: ClusterChannel,
    id: number,
    reason: QueryFailureReason,
    text: string,
  ): void {
    const data = text.slice(0, MAX_FAILURE_TEXT);
    this.#answer(
      service,
      encodeService({ op: ServiceOp.FAILURE, channel, id, ruid: reason, data }),
      channel,
      0,
    );
  }

  /** Sends what answers a query. It waits for room; what is dropped is counted. @param query 0: it is a failure */
  #answer(service: Service, item: Buffer, channel: ClusterChannel, query: number): void {
    if (service.id === this.#context.selfId) {
      this.#effects.onAnswer(item);
      return;
    }
    const { answers } = this.#context;
    // Mostly there is room.
    const result = answers.send(service.id, item);
    if (result === "sent") return;
    const done = (left: QueueResult): void => {
      if (left === "too-large") {
        // Larger than this node's links take, or than the other node does.
        this.#context.refuse("service:too-large");
        if (query !== 0) this.fail(service, channel, query, "too-large", "");
      } else if (left === "unreachable") this.#context.refuse("service:reply");
    };
    if (result === "too-large") done(result);
    else answers.answer(service.id, item, done);
  }

  /** Sends a message that answers one, or the reason of a veto: nobody waits for it. */
  transmit(service: Service, item: Buffer, channel: ClusterChannel): void {
    if (service.id === this.#context.selfId) {
      if (!this.#effects.onMessage(item)) this.#context.refuse("service:reply");
      return;
    }
    let error: ShoalError | undefined;
    try {
      error = this.#context.sendItem(service, item, prefixOfChannel(channel));
    } catch (thrown) {
      error = thrown as ShoalError;
    }
    if (error !== undefined)
      this.#context.refuse(error.code === "EINVAL" ? "service:too-large" : "service:reply");
  }
}
