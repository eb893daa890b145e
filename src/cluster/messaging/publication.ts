/**
 * A publication on links: its topic, the aliases of topics, and the encoded item.
 *
 *   TopicMessages   of a node: which topics have numbers, the same on all of its links (topic-messages.ts)
 *   Sending         of a sender's link: which of them its session has defined
 *   IncomingLink    of a receiver's link: what they stand for, in this session (parts.ts)
 *
 * A session delivers its items in order, each once, through cuts, so a use of a number comes after its definition.
 * Without aliases a message of 64 bytes costs its publisher 25 % more processor time, a subscriber 60 %; with more
 * topics than numbers they make no difference.
 */
import type { Keyed } from "../../core/collections/key-table.js";
import { Writer } from "../compact.js";
import { contextSize, dataBytes, encodeName, fittingContext, ItemFlag } from "./items.js";
import type { Subscription } from "./subscription.js";

/** A published or received topic: its bytes, its alias on links, and its cached recipients (topic-plans.ts). */
export class TopicPlan implements Keyed {
  readonly topic: string;
  /** As in an item. */
  readonly name: Buffer;
  /** Bytes of the topic alone. */
  readonly key: Buffer;
  /** Its first level, for counters. */
  readonly prefix: string;
  /** Ids of members with interest. */
  targets: string[] = [];
  /** Of this node, the oldest first. */
  subscriptions: Subscription[] = [];
  routesVersion = -1;
  /** Its number on links; -1: none. */
  alias = -1;
  /** Whether it was published to before. */
  isRepeated = false;
  subscriptionsVersion = -1;

  constructor(topic: string) {
    this.topic = topic;
    this.name = encodeName(topic);
    this.key = this.name.subarray(this.name.length - Buffer.byteLength(topic));
    this.prefix = prefixOf(topic);
  }
}

export function prefixOf(topic: string): string {
  const end = topic.indexOf("/");
  return end < 0 ? topic : topic.slice(0, end);
}

export const TopicForm = { NAME: 0, DEFINE: 1, USE: 2 } as const;
export type TopicForm = (typeof TopicForm)[keyof typeof TopicForm];

/**
 * A PUBLISH item as links send it: with an alias if the link has defined one for the topic, else with the name. The head is
 * encoded once for each form; each link copies the data.
 *
 * The object is reused: an object and a Buffer for each message were a quarter of a publisher's time.
 */
export class Publication {
  plan: TopicPlan;
  data: string | Uint8Array = "";
  dataBytes = 0;
  /** Of the whole item, with the topic's name and the context. */
  bytes = 0;
  /** The last encoded form before the data. */
  readonly head = new Writer(2_048);
  /** Nodes whose mark is reached. */
  readonly fulls: string[] = [];
  #form: TopicForm | undefined = undefined;
  #context: Buffer | undefined = undefined;
  #client = 1;
  #subtopic: Buffer | undefined = undefined;
  #stamp = 0;
  #flags = 0;
  #item: Buffer | undefined = undefined;

  constructor(plan: TopicPlan) {
    this.plan = plan;
  }

  /**
   * @param stamp of a retained value; else 0
   * @param context of a trace; omitted if the item is too large with it
   */
  set(
    plan: TopicPlan,
    client: number,
    subtopic: Buffer | undefined,
    stamp: number,
    data: string | Uint8Array,
    context?: Buffer,
  ): void {
    this.plan = plan;
    this.data = data;
    this.dataBytes = dataBytes(data);
    let flags = 0;
    let bytes = 1 + plan.name.length + this.dataBytes;
    if (client !== 1) {
      flags |= ItemFlag.CLIENT;
      bytes += 4;
    }
    if (subtopic !== undefined) {
      flags |= ItemFlag.SUBTOPIC;
      bytes += subtopic.length;
    }
    if (stamp !== 0) {
      flags |= ItemFlag.RETAIN;
      bytes += 8;
    }
    this.#context = fittingContext(context, bytes);
    this.bytes = bytes + contextSize(this.#context);
    this.#flags = this.#context === undefined ? flags : flags | ItemFlag.CONTEXT;
    this.#client = client;
    this.#subtopic = subtopic;
    this.#stamp = stamp;
    this.#form = undefined;
    this.#item = undefined;
  }

  /** Encodes `head`, unless it has that form already. */
  encodeHead(form: TopicForm): void {
    if (this.#form === form) return;
    this.#form = form;
    const { head, plan } = this;
    head.at = 0;
    head.byte(
      this.#flags | (form === TopicForm.NAME ? 0 : form === TopicForm.USE ? ItemFlag.ALIAS : ItemFlag.DEFINE),
    );
    if (this.#client !== 1) head.uint32(this.#client);
    if (form !== TopicForm.NAME) head.uint(plan.alias);
    if (form !== TopicForm.USE) head.raw(plan.name);
    if (this.#subtopic !== undefined) head.raw(this.#subtopic);
    if (this.#stamp !== 0) {
      head.uint32(Math.floor(this.#stamp / 0x1_0000_0000));
      head.uint32(this.#stamp % 0x1_0000_0000);
    }
    if (this.#context !== undefined) head.sized(this.#context);
  }

  /** The whole item, with the topic's name, in unchanging memory. */
  item(): Buffer {
    if (this.#item === undefined) {
      this.encodeHead(TopicForm.NAME);
      this.#item = this.head.finish(this.data);
      // The head was taken.
      this.#form = undefined;
    }
    return this.#item;
  }

  /** Frees the program's data. */
  clear(): void {
    this.data = "";
    this.#item = undefined;
    this.#context = undefined;
  }
}
