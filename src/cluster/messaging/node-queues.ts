/** Items of requests and answers to members, which links take beyond their marks, and what a node sends to itself. */
import {
  MAX_HANDLING,
  MAX_HANDLING_BYTES,
  MAX_QUEUED_BYTES,
  MAX_QUEUED_ITEMS,
  MAX_UNREAD_ANSWER_BYTES,
  MAX_UNREAD_ANSWERS,
} from "./bounds.js";
import type { NodeLinks } from "./links.js";
import type { MessageKind, SendResult } from "./parts.js";

/** `sent`: the link has it, and room again. `dropped`: too much waits already. */
export type QueueResult = Exclude<SendResult, "full"> | "dropped";

/** Gets items that this node sends to itself. */
export interface OwnItems {
  readonly id: string;
  onItem(from: string, item: Buffer): void;
}

/** What links take beyond their marks of requests, and of subscriptions. */
export const QUEUED = { items: MAX_QUEUED_ITEMS, bytes: MAX_QUEUED_BYTES };
const ANSWERS = { items: MAX_UNREAD_ANSWERS, bytes: MAX_UNREAD_ANSWER_BYTES };

/** A peer may begin and end requests, or ask for refusals, without reading: above a bound items are dropped. */
export class NodeQueues {
  /** Items that the bounds did not admit. */
  dropped = 0;
  #isClosed = false;
  readonly #links: Pick<NodeLinks, "send" | "room" | "isFull" | "maxItem">;
  readonly #kind: MessageKind;
  readonly #own: OwnItems;
  #ownItems: Buffer[] = [];
  #ownBytes = 0;

  constructor(
    links: Pick<NodeLinks, "send" | "room" | "isFull" | "maxItem">,
    kind: MessageKind,
    own: OwnItems,
  ) {
    this.#links = links;
    this.#kind = kind;
    this.#own = own;
  }

  /** Whether as many items to this node itself wait as handlers may take. */
  get isOwnFull(): boolean {
    return this.#ownItems.length >= MAX_HANDLING || this.#ownBytes >= MAX_HANDLING_BYTES;
  }

  /** Sends it now. @param beyond what may be queued beyond the link's mark */
  send(node: string, item: Buffer, beyond?: typeof QUEUED): SendResult {
    if (node !== this.#own.id) return this.#links.send(node, this.#kind, item, beyond);
    if (item.length > this.#links.maxItem) return "too-large";
    // Deferred, so that other work gets turns.
    this.#ownItems.push(item);
    this.#ownBytes += item.length;
    if (this.#ownItems.length === 1) setImmediate(this.#takeOwn);
    return "sent";
  }

  #takeOwn = (): void => {
    const items = this.#ownItems;
    this.#ownItems = [];
    this.#ownBytes = 0;
    for (const item of items) this.#own.onItem(this.#own.id, item);
  };

  /** Queues it beyond the link's mark. @param done called once */
  sendLater(node: string, item: Buffer, done?: (result: QueueResult) => void, beyond = QUEUED): void {
    const result = this.#isClosed ? "unreachable" : this.send(node, item, beyond);
    if (result === "full") {
      this.dropped += 1;
      done?.("dropped");
    } else if (done === undefined || result !== "sent" || !this.#links.isFull(node)) done?.(result);
    else void this.#links.room(node).then((isThere) => done(isThere ? "sent" : "unreachable"));
  }

  /** Like `sendLater`, with the bound of answers without a slot. */
  answer(node: string, item: Buffer, done?: (result: QueueResult) => void): void {
    this.sendLater(node, item, done, ANSWERS);
  }

  close(): void {
    this.#isClosed = true;
  }
}
