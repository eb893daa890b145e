/**
 * One-to-one messages, sent and received. The link to another node acknowledges them. A
 * node without the client returns CLOSED, so that the next send fails at once.
 */
import { checkCallOptions, invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError, TimeoutError, UnroutableError } from "../../core/errors.js";
import { keepMessageContext } from "../../core/message-operations.js";
import { waitFor } from "../../core/waiter.js";
import { LatestMap } from "../bounds.js";
import type { LocalClient, MessageRecipient, SendToNodesOptions, SendToOptions } from "./client.js";
import { directBytes, encodeClosed, encodeDirect, ItemFlag, ItemReader, isClient } from "./items.js";
import { checkData, checkTimeout } from "./options.js";
import { MessageKind } from "./parts.js";
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
    if (node === this.#messaging.id) return this.#sendLocally(client, id, subtopic, data, context);
    const name = this.nameOfLive(node);
    if (this.#closed.has(`${node} ${id}`)) throw new UnroutableError(`the client is closed, at ${name}`);
    const { links, settings, pending } = this.#messaging;
    const item = encodeDirect(id, client.id, subtopic, data, context);
    const isFull = this.pending >= settings.maxPending;
    const result = isFull ? "full" : links.send(node, MessageKind.DIRECT, item, pending);
    if (result === "full")
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        "too many one-to-one messages wait: messaging.maxPending and maxPendingBytes",
      );
    if (result === "too-large")
      throw new InvalidArgumentError(`${name} takes no message of ${item.length} bytes`);
    if (result === "unreachable")
      throw new UnroutableError(`${name} does not take messages, or is out of reach`);
    this.sent += 1;
    const late = (): TimeoutError =>
      new TimeoutError("ETIMEDOUT", "the recipient's node did not acknowledge it in time");
    this.pending += 1;
    try {
      await waitFor(links.delivered(node, name), { timeout }, late);
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
    // A copy: a protocol that fails within a send may have the program remove a member.
    for (const { id } of [...(this.#messaging.namespace.membership?.live ?? [])]) {
      const result = this.#messaging.links.send(id, MessageKind.DIRECT, item);
      if (result === "sent") count += 1;
      else if (result === "full") this.#messaging.dropFull(id, "$direct");
      else if (result === "too-large") this.#messaging.drops.dropped("size", id, "$direct");
    }
    this.sent += count;
    return count;
  }

  #sendLocally(
    sender: LocalClient,
    id: number,
    subtopic: string | undefined,
    data: string | Uint8Array,
    context: Buffer | undefined,
  ): void {
    const { deliveries, clients } = this.#messaging;
    const { direct } = clients.get(id) as LocalClient;
    if (deliveries.isFull || direct.some((each) => each.isFull))
      throw new TimeoutError("EAGAIN", "the queue of the client is full");
    const bytes = Buffer.from(data as Uint8Array);
    const message = new ReceivedMessage(SELF_TOPIC, bytes, sender.address, subtopic);
    keepMessageContext(message, context);
    if (direct.length === 0) this.#messaging.unclaimed += 1;
    else deliveries.queue(direct, message);
    this.sent += 1;
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

  /** @returns the name of another, live node @throws UnroutableError `EHOSTUNREACH` */
  nameOfLive(node: string): string {
    const member = this.#messaging.namespace.membership?.get(node);
    if (member === undefined) throw new UnroutableError(`no node has the id ${node}: it is gone`);
    if (!member.isLive) throw new UnroutableError(`the node ${member.name} is lost or has left`);
    return member.name;
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
