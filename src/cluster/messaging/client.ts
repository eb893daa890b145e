/** Options of messages, and a client of a node, as which a program publishes, subscribes and sends. */
import { boolean, type Given, integer, text } from "../../kit/options.js";
import type { ClusterAddress, Subscription } from "./subscription.js";

export const SUBSCRIBE_OPTIONS = {
  /** Only with this subtopic. Default: all. */
  subtopic: text(),
  /** Whether it also gets messages of an overlapping, earlier subscription of this client. Default `false`. */
  each: boolean(false),
  /** Whether it first gets the retained values of its topics. Default `false`. */
  retained: boolean(false),
  /** Messages queued for the program. Default: `messaging.maxQueue`. */
  maxQueue: integer({ max: Number.MAX_SAFE_INTEGER }),
  /** Bytes queued for the program. Default: `messaging.maxQueueBytes`. */
  maxQueueBytes: integer({ max: Number.MAX_SAFE_INTEGER }),
};

export type SubscribeOptions = Given<typeof SUBSCRIBE_OPTIONS>;

/** Checked by hand, as those of `request`: with a table of them a publication takes a tenth longer. */
export interface PublishOptions {
  readonly subtopic?: string | undefined;
  /** Whether this node's own subscriptions get it. Default `true`. */
  readonly self?: boolean | undefined;
  /** Whether it becomes the retained value of the topic; empty data removes the value. Default `false`. */
  readonly retain?: boolean | undefined;
  /**
   * At a node whose mark is reached: the message is dropped and counted (`drop`, the default), or queued all the same,
   * and the call waits for room (`wait`).
   */
  readonly onFull?: "drop" | "wait" | undefined;
  /** ms for `wait`; -1 (default): no limit. */
  readonly timeout?: number | undefined;
}

export const PUBLISH_KEYS = ["subtopic", "self", "retain", "onFull", "timeout"] as const;

export interface SendToOptions {
  readonly subtopic?: string | undefined;
  /** ms until the recipient's node must have answered; -1: no limit. Default 10,000. */
  readonly timeout?: number | undefined;
}

export type SendToNodesOptions = Pick<SendToOptions, "subtopic">;

/** A message's `sender`, the id of a client of this node, or a member, for its node's own client. */
export type MessageRecipient = number | ClusterAddress | { readonly id: string; readonly name: string };

/** A client of this node, as the parts of messaging use it. */
export class LocalClient {
  /** Address for others: this node and its id. */
  readonly address: ClusterAddress;
  /** Name for the program; may be empty. */
  readonly name: string;
  /** @internal */
  lastDelivery = 0;
  /** @internal */
  readonly subscriptions = new Set<Subscription>();
  /** @internal Subscriptions of one-to-one messages, the oldest first. Replaced, not changed. */
  direct: readonly Subscription[] = [];
  #closed = false;

  /** @internal */
  constructor(address: ClusterAddress, name: string) {
    this.address = address;
    this.name = name;
  }

  /** 1: the node's own client. */
  get id(): number {
    return this.address.id;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Ends its subscriptions: later messages to it fail. */
  close(): void {
    this.#closed = true;
    for (const subscription of [...this.subscriptions]) subscription.close();
  }
}
