/**
 * Answers to services: replies to queries, messages that answer messages, failures and the reasons of vetoes.
 *
 *   answer ── a link, if hooks need its protocol ── hooks of sending ── encoded ──> the link's queue (node-queues.ts)
 *
 * Nothing here throws or rejects: an answer that cannot be sent is counted.
 */
import { ignore } from "../../core/ignore.js";
import type { Member } from "../node/member.js";
import type { ClusterChannel } from "./channels.js";
import { ENCODING, type HookPayload, type MessageStage, TRANSMITTING } from "./hooks.js";
import type { QueryFailureReason } from "./query.js";
import { SELF, type ServiceContext } from "./service-context.js";
import { encodeService, ServiceOp } from "./service-wire.js";

/** Characters. */
export const MAX_FAILURE_TEXT = 1_024;
const REPLY_STAGES: readonly MessageStage[] = [...ENCODING, ...TRANSMITTING];

/** An answer before the hooks of sending. */
export type Reply = HookPayload & { readonly op: ServiceOp; readonly id: number };

/** Receives answers to this node itself. */
interface OwnReceiver {
  onBytes(from: string, bytes: Buffer, protocol: string): void | Promise<void>;
}

export class ServiceReplies {
  readonly #context: ServiceContext;
  readonly #receiver: OwnReceiver;

  constructor(context: ServiceContext, receiver: OwnReceiver) {
    this.#context = context;
    this.#receiver = receiver;
  }

  /** Its protocol may differ from its query's. */
  reply(service: Member, reply: Reply): void | Promise<void> {
    const { hooks, links, selfId } = this.#context;
    const protocol = service.id === selfId ? SELF : links.protocolOf(service.id);
    if (protocol !== "" || hooks.isEmpty("protocol:send")) return this.#replyBy(protocol, service, reply);
    return this.#replyLinked(service, reply);
  }

  /** Opens a link first, whose protocol the hooks need. */
  async #replyLinked(service: Member, reply: Reply): Promise<void> {
    const { effects, links } = this.#context;
    await effects.whenKnown?.(service.id);
    const protocol = await links.whenLinked(service.id, 0);
    if (protocol !== "") return this.#replyBy(protocol, service, reply);
    this.#context.refuse("service:reply");
    const { op, channel, id } = reply;
    // A failure passes no hooks.
    if (op === ServiceOp.REPLY) this.fail(service, channel, id, "handler-failed", "no link for the answer");
  }

  #replyBy(protocol: string, service: Member, reply: Reply): void | Promise<void> {
    const { op, id, channel } = reply;
    return this.#context.pass(
      REPLY_STAGES,
      reply,
      { kind: "reply", services: [service], protocol },
      ({ data, ruid }) => {
        const item = encodeService({ op, id, channel, ruid, data });
        this.transmit(service, item, channel, op === ServiceOp.REPLY ? id : 0);
      },
      // A hook cannot answer a reply.
      ignore,
      (error) => {
        this.#context.vetoed(service, error);
        if (op === ServiceOp.REPLY) this.fail(service, channel, id, "vetoed", error.reason ?? "");
      },
    );
  }

  /** Answers a query by a failure, which passes no hooks. */
  fail(service: Member, channel: ClusterChannel, id: number, reason: QueryFailureReason, text: string): void {
    const data = text.slice(0, MAX_FAILURE_TEXT);
    this.transmit(
      service,
      encodeService({ op: ServiceOp.FAILURE, channel, id, ruid: reason, data }),
      channel,
    );
  }

  /** Waits for room; a dropped answer is counted. @param query the answered one; 0: none */
  transmit(service: Member, item: Buffer, channel: ClusterChannel, query = 0): void {
    if (service.id === this.#context.selfId) {
      void this.#receiver.onBytes(service.id, item, SELF);
      return;
    }
    this.#context.answers.answer(service.id, item, (result) => {
      if (result === "too-large") {
        // Larger than this node's or the other node's links take.
        this.#context.refuse("service:too-large");
        if (query !== 0) this.fail(service, channel, query, "too-large", "");
      } else if (result === "unreachable") this.#context.refuse("service:reply");
    });
  }
}
