/**
 * Items of requests, and answers to members, that wait for room at other nodes (waiting-sends.ts).
 *
 * A peer may begin and end requests, or ask for refusals, without reading: above a bound items are dropped.
 */
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
import { WaitingSends } from "./waiting-sends.js";

/** `sent`: the link has it. `dropped`: too much waits already. */
export type QueueResult = Exclude<SendResult, "full"> | "dropped";

/** Gets items that this node sends to itself. */
export interface OwnItems {
  readonly id: string;
  onItem(from: string, item: Buffer): void;
}

export class NodeQueues extends WaitingSends {
  /** Items that the bounds did not admit. */
  dropped = 0;
  readonly #links: Pick<NodeLinks, "send" | "room">;
  readonly #kind: MessageKind;
  readonly #own: OwnItems | undefined;
  #ownItems: Buffer[] = [];
  #ownBytes = 0;

  constructor(links: Pick<NodeLinks, "send" | "room">, kind: MessageKind, own?: OwnItems) {
    super(Infinity, Infinity, (node) => links.room(node));
    this.#links = links;
    this.#kind = kind;
    this.#own = own;
  }

  /** Whether as many items to this node itself wait as handlers may take. */
  get isOwnFull(): boolean {
    return this.#ownItems.length >= MAX_HANDLING || this.#ownBytes >= MAX_HANDLING_BYTES;
  }

  #sendNow(node: string, item: Buffer): SendResult {
    if (node === this.#own?.id) {
      // Deferred, so that other work gets turns.
      this.#ownItems.push(item);
      this.#ownBytes += item.length;
      if (this.#ownItems.length === 1) setImmediate(this.#takeOwn);
      return "sent";
    }
    return this.#links.send(node, this.#kind, item);
  }

  #takeOwn = (): void => {
    const items = this.#ownItems;
    this.#ownItems = [];
    this.#ownBytes = 0;
    for (const item of items) this.#own?.onItem(this.#own.id, item);
  };

  /** Sends it now, behind the node's waiting items. */
  send(node: string, item: Buffer): SendResult {
    return this.has(node) ? "full" : this.#sendNow(node, item);
  }

  /** Waits for room if the link is full. @param done called once @param most items that may wait at the node */
  sendLater(
    node: string,
    item: Buffer,
    done?: (result: QueueResult) => void,
    most: number = MAX_QUEUED_ITEMS,
    mostBytes: number = MAX_QUEUED_BYTES,
  ): void {
    const result = this.isClosed ? "unreachable" : this.send(node, item);
    if (result !== "full") done?.(result);
    else if (this.isFullAt(node, item.length, most, mostBytes)) {
      this.dropped += 1;
      done?.("dropped");
    } else
      this.queue(
        node,
        item.length,
        () => this.#sendNow(node, item),
        (left) => done?.(left as QueueResult),
      );
  }

  /** Like `sendLater`, with the bound of answers without a slot. */
  answer(node: string, item: Buffer, done?: (result: QueueResult) => void): void {
    this.sendLater(node, item, done, MAX_UNREAD_ANSWERS, MAX_UNREAD_ANSWER_BYTES);
  }
}
