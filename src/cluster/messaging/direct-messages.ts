/**
 * One-to-one messages, sent and received. The link to another node acknowledges them. A
 * node without the client returns CLOSED, so that the next send fails at once.
 */
import { checkCallOptions, invalidArgument } from "../../core/arguments.js";
import {
  ClosedError,
  InvalidArgumentError,
  InvalidStateError,
  TimeoutError,
  UnroutableError,
} from "../../core/errors.js";
import { keepMessageContext } from "../../core/message-operations.js";
import { waitFor } from "../../core/waiter.js";
import { LatestMap } from "../bounds.js";
import type { LocalClient, MessageRecipient, SendToNodesOptions, SendToOptions } from "./client.js";
import { directBytes, encodeClosed, encodeDirect, ItemFlag, ItemReader, isClient } from "./items.js";
import { checkData, checkTimeout } from "./options.js";
import { MessageKind, type SendResult } from "./parts.js";
import type { MessagingState } from "./state.js";
import { type ClusterAddress, ReceivedMessage, SELF_ID, SELF_TOPIC } from "./subscription.js";
import { checkedSubtopic } from "./topics.js";

export class DirectMessages {
  readonly #messaging: MessagingState;
  /** Unacknowledged messages on links. */
  pending = 0;
  readonly #reader = new ItemReader();
  /** Clients of other nodes, which their nodes do not have. */
  readonly #closed = new LatestMap<string, true>(4_096);
  sent = 0;
  received = 0;

  constructor(messaging: MessagingState) {
    this.#messaging = messaging;
  }

  /** @param context of a trace */
  async sendTo(
    client: LocalClient,
    to: MessageRecipient,
    data: string | Uint8Array,
    options: SendToOptions = {},
    context?: Buffer,
  ): Promise<void> {
    this.#messaging.assertOpen(client);
    checkCallOptions("sendTo", options, ["subtopic", "timeout"]);
    checkData(data);
    const timeout = checkTimeout(options.timeout ?? 10_000);
    const subtopic = checkedSubtopic(options.subtopic);
    this.#messaging.checkSize(directBytes(client.id, subtopic, data));
    const { node, id } = this.recipient(to);
    if (node === this.#messaging.id) return this.#sendLocally(client, id, subtopic, data, timeout, context);
    this.checkReachable(node);
    if (this.#closed.has(`${node} ${id}`))
      throw new UnroutableError(`the client is closed, at ${this.#messaging.nameOf(node)}`);
    if (this.pending + this.#messaging.waiting.count >= this.#messaging.settings.maxPending)
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        "too many one-to-one messages wait: messaging.maxPending",
      );
    const deadline = timeout < 0 ? Infinity : performance.now() + timeout;
    const item = encodeDirect(id, client.id, subtopic, data, context);
    const bytes = item.length;
    let delivered: Promise<void> | undefined;
    const send = (): SendResult => {
      const result = this.#messaging.links.send(node, MessageKind.DIRECT, item);
      if (result === "sent") delivered = this.#whenDelivered(node, deadline);
      return result;
    };
    let result: SendResult = this.#messaging.waiting.has(node) ? "full" : send();
    if (result === "full") result = await this.#wait(node, bytes, timeout, send);
    if (result === "too-large")
      throw new InvalidArgumentError(`${this.#messaging.nameOf(node)} takes no message of ${bytes} bytes`);
    if (result === "unreachable" || delivered === undefined) {
      if (this.#messaging.closed)
        throw new ClosedError("EAGAIN", "the node closed while the message waited for room");
      this.checkReachable(node);
      throw new UnroutableError(`${this.#messaging.nameOf(node)} does not take messages, or is out of reach`);
    }
    this.sent += 1;
    return delivered;
  }

  /** Settles when a node has acknowledged the message just given to its link. */
  async #whenDelivered(id: string, deadline: number): Promise<void> {
    const { links } = this.#messaging;
    const timeout = deadline === Infinity ? -1 : Math.max(0, deadline - performance.now());
    const late = (): TimeoutError =>
      new TimeoutError("ETIMEDOUT", "the recipient's node did not acknowledge it in time");
    this.pending += 1;
    try {
      await waitFor(links.delivered({ id, name: this.#messaging.nameOf(id) }), { timeout }, late);
    } finally {
      this.pending -= 1;
    }
  }

  /**
   * @param context of a trace
   * @returns the number of receiving nodes
   */
  async sendToNodes(
    client: LocalClient,
    data: string | Uint8Array,
    options: SendToNodesOptions = {},
    context?: Buffer,
  ): Promise<number> {
    this.#messaging.assertOpen(client);
    checkCallOptions("sendToNodes", options, ["subtopic"]);
    checkData(data);
    const subtopic = checkedSubtopic(options.subtopic);
    this.#messaging.checkSize(directBytes(client.id, subtopic, data));
    const item = encodeDirect(SELF_ID, client.id, subtopic, data, context);
    let count = 0;
    for (const id of this.#messaging.peers()) {
      const isBehind = this.#messaging.waiting.has(id);
      const result = isBehind ? "full" : this.#messaging.links.send(id, MessageKind.DIRECT, item);
      if (result === "sent") count += 1;
      else if (result === "full") this.#messaging.dropFull(id, "$direct");
      else if (result === "too-large") this.#messaging.drops.dropped("size", id, "$direct");
    }
    this.sent += count;
    return count;
  }

  async #sendLocally(
    sender: LocalClient,
    id: number,
    subtopic: string | undefined,
    data: string | Uint8Array,
    timeout: number,
    context: Buffer | undefined,
  ): Promise<void> {
    const recipient = this.#messaging.clients.get(id) as LocalClient;
    const message = new ReceivedMessage(
      SELF_TOPIC,
      Buffer.from(data as Uint8Array),
      sender.address,
      subtopic,
    );
    keepMessageContext(message, context);
    const send = (): SendResult => {
      if (this.#messaging.deliveries.isFull || recipient.direct.some((each) => each.isFull)) return "full";
      if (recipient.direct.length === 0) this.#messaging.unclaimed += 1;
      else this.#messaging.deliveries.queue(recipient.direct, message);
      this.sent += 1;
      return "sent";
    };
    if (!this.#messaging.waiting.has(this.#messaging.id) && send() === "sent") return;
    if ((await this.#wait(this.#messaging.id, message.bytes, timeout, send)) !== "sent")
      throw new ClosedError("EAGAIN", "the node closed while the message waited for room");
  }

  /** @throws InvalidStateError `ERR_TOO_MANY_PENDING`; TimeoutError `ETIMEDOUT` */
  async #wait(node: string, bytes: number, timeout: number, send: () => SendResult): Promise<SendResult> {
    if (this.#messaging.waiting.isFull(1, bytes))
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        "too many one-to-one messages wait for room: messaging.maxPending and maxPendingBytes",
      );
    const result = await this.#messaging.waiting.wait(node, bytes, timeout, send);
    if (result !== "timeout") return result;
    const where = node === this.#messaging.id ? "the client" : this.#messaging.nameOf(node);
    throw new TimeoutError("ETIMEDOUT", `no room at ${where} within ${timeout} ms`);
  }

  /** @throws UnroutableError `EHOSTUNREACH`; InvalidArgumentError `EINVAL` */
  recipient(to: MessageRecipient): ClusterAddress {
    const { id: self, clients } = this.#messaging;
    if (typeof to === "number") return this.recipient({ node: self, id: to });
    const { id, node } = Object(to) as { readonly id?: unknown; readonly node?: unknown };
    if (typeof id === "string") return { node: id, id: SELF_ID };
    if (typeof node !== "string" || typeof id !== "number" || !isClient(id))
      throw invalidArgument("a recipient must be an address, an id or a member", to);
    if (node === self && !clients.has(id))
      throw new UnroutableError(`no client of this node has the id ${id}: it is closed`);
    return { node, id };
  }

  /** @throws UnroutableError `EHOSTUNREACH` */
  checkReachable(node: string): void {
    const member = this.#messaging.member(node);
    if (member === undefined) throw new UnroutableError(`no node has the id ${node}: it is gone`);
    if (!member.isLive) throw new UnroutableError(`the node ${member.name} is lost or has left`);
  }

  onItem(from: string, item: Buffer): Promise<void> | undefined {
    const reader = this.#reader;
    reader.start(item, 0);
    const flags = reader.byte();
    const to = reader.uint32();
    if (flags === ItemFlag.CLOSED) {
      if (reader.failed) return this.#messaging.refuse("direct:malformed");
      this.#closed.set(`${from} ${to}`, true);
      return undefined;
    }
    const client = (flags & ItemFlag.CLIENT) === 0 ? SELF_ID : reader.uint32();
    const subtopic = (flags & ItemFlag.SUBTOPIC) === 0 ? undefined : reader.subtopic();
    const context = (flags & ItemFlag.CONTEXT) === 0 ? undefined : reader.context();
    if (
      reader.failed ||
      (flags & ~(ItemFlag.CLIENT | ItemFlag.SUBTOPIC | ItemFlag.CONTEXT)) !== 0 ||
      !isClient(client)
    )
      return this.#messaging.refuse("direct:malformed");
    this.received += 1;
    const recipient = this.#messaging.clients.get(to);
    if (recipient === undefined) {
      // Omitted without room: the next message has another one.
      this.#messaging.links.send(from, MessageKind.DIRECT, encodeClosed(to));
      return this.#messaging.refuse("direct:closed");
    }
    if (recipient.direct.length === 0) {
      this.#messaging.unclaimed += 1;
      return undefined;
    }
    const message = new ReceivedMessage(SELF_TOPIC, reader.rest(), { node: from, id: client }, subtopic);
    keepMessageContext(message, context);
    return this.#messaging.deliveries.deliver(recipient.direct, message, true);
  }
}
