/** A client of a node: what a program publishes, subscribes and sends as. The node's own is 1; more of them have ids of their own. */
import type { ClusterAddress } from "./addresses.js";
import type { ClusterSubscription, MessageHandler, Subscription } from "./subscription.js";

/** What `subscribe` takes. */
export interface SubscribeOptions {
  /** Only messages with this subtopic: its name or its number. Default: all. */
  readonly subtopic?: string | number | undefined;
  /**
   * Whether it gets a message also where another subscription of this client gets it. Default `false`: of subscriptions that
   * overlap, the one that was made first gets it, alone.
   */
  readonly each?: boolean | undefined;
  /** Whether it gets the retained values of its topics first. Default `false`. */
  readonly retained?: boolean | undefined;
  /** Messages that wait for the program at most. Default: `messaging.maxQueue`. */
  readonly maxQueue?: number | undefined;
  /** Bytes of them. Default: `messaging.maxQueueBytes`. */
  readonly maxQueueBytes?: number | undefined;
}

/** What `publish` takes. */
export interface PublishOptions {
  /** Its name or its number. */
  readonly subtopic?: string | number | undefined;
  /** Whether this node's own subscriptions get it, too. Default `true`. */
  readonly self?: boolean | undefined;
  /** Whether it is the topic's retained value from now on; empty data: there is none. Default `false`. */
  readonly retain?: boolean | undefined;
  /**
   * What becomes of it at a node whose mark is reached: it is dropped there and counted (`drop`, the default), or the call waits
   * until there is room (`wait`). No other node waits for that.
   */
  readonly onFull?: "drop" | "wait" | undefined;
  /** ms for `wait`; -1, the default: no limit. */
  readonly timeout?: number | undefined;
}

/** What `sendTo` takes. */
export interface SendToOptions {
  /** Its name or its number. */
  readonly subtopic?: string | number | undefined;
  /** ms until the recipient's node has answered; -1: no limit. Default 10,000. */
  readonly timeout?: number | undefined;
}

/** What `sendToNodes` takes. */
export interface SendToNodesOptions {
  /** Its name or its number. */
  readonly subtopic?: string | number | undefined;
}

/** Whom `sendTo` reaches: a message's `sender`, its number on this node, or a service, which stands for its node's own client. */
export type MessageRecipient = number | ClusterAddress | { readonly id: string; readonly name: string };

/** What a client hands on. */
export interface ClientEffects {
  subscribe(
    client: MessageClient,
    filter: string | number,
    options: SubscribeOptions | MessageHandler | undefined,
    handler: MessageHandler | undefined,
  ): ClusterSubscription;
  publish(
    client: MessageClient,
    topic: string | number,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
  ): Promise<number>;
  sendTo(
    client: MessageClient,
    to: MessageRecipient,
    data: string | Uint8Array,
    options: SendToOptions | undefined,
  ): Promise<void>;
  sendToNodes(
    client: MessageClient,
    data: string | Uint8Array,
    options: SendToNodesOptions | undefined,
  ): Promise<number>;
  clientOnClose(client: MessageClient): void;
}

/**
 * A client of this node with an id of its own (`createClient`): what it subscribes to and publishes is apart from the others'.
 *
 * @example
 * ```ts
 * import { ClusterNode } from "shoal/cluster";
 *
 * const node = new ClusterNode({ group: `client-${process.pid}` });
 * await node.start();
 * const client = node.createClient();
 * const letters = client.subscribe("self"); // What is sent to this client alone.
 * await node.sendTo(client.id, "a letter");
 * for await (const { data } of letters) {
 *   console.log(String(data)); // a letter
 *   break;
 * }
 * await node.close();
 * ```
 */
export class MessageClient {
  readonly #messaging: ClientEffects;
  /** Where others reach it: this node, and its id. */
  readonly address: ClusterAddress;
  /** What the program calls it; empty where it does not. */
  readonly name: string;
  /** @internal */
  lastDelivery = 0;
  /** @internal */
  readonly subscriptions = new Set<Subscription>();
  /** @internal Those of one-to-one messages, the oldest first. Replaced, and never changed. */
  direct: readonly Subscription[] = [];
  #closed = false;

  /** @internal */
  constructor(messaging: ClientEffects, address: ClusterAddress, name: string) {
    this.#messaging = messaging;
    this.address = address;
    this.name = name;
  }

  /** 32 bits, for its life; 1: the node's own. */
  get id(): number {
    return this.address.id;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** As `subscribe` of the bus, for this client. @throws as that; ClosedError `EBADF` */
  subscribe(filter: string | number, handler: MessageHandler): ClusterSubscription;
  subscribe(
    filter: string | number,
    options?: SubscribeOptions,
    handler?: MessageHandler,
  ): ClusterSubscription;
  subscribe(
    filter: string | number,
    options?: SubscribeOptions | MessageHandler,
    handler?: MessageHandler,
  ): ClusterSubscription {
    return this.#messaging.subscribe(this, filter, options, handler);
  }

  /** As `publish` of the bus, by this client. @throws as that; ClosedError `EBADF` */
  publish(topic: string | number, data: string | Uint8Array, options?: PublishOptions): Promise<number> {
    return this.#messaging.publish(this, topic, data, options);
  }

  /** As `sendTo` of the bus, by this client. @throws as that; ClosedError `EBADF` */
  sendTo(to: MessageRecipient, data: string | Uint8Array, options?: SendToOptions): Promise<void> {
    return this.#messaging.sendTo(this, to, data, options);
  }

  /** As `sendToNodes` of the bus, by this client. @throws as that; ClosedError `EBADF` */
  sendToNodes(data: string | Uint8Array, options?: SendToNodesOptions): Promise<number> {
    return this.#messaging.sendToNodes(this, data, options);
  }

  /** Ends it and its subscriptions: what is sent to it from now on fails. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const subscription of [...this.subscriptions]) subscription.close();
    this.#messaging.clientOnClose(this);
  }
}
