/**
 * A PUBLISH item as links send it: with an alias if the link has defined one for the topic (topic-aliases.ts), else
 * with the name. The head is encoded once for each form; each link copies the data.
 *
 * The object is reused: an object and a Buffer for each message were a quarter of a publisher's time.
 */
import { Writer } from "../compact.js";
import {
  ALIAS,
  CLIENT,
  CONTEXT,
  contextSize,
  DEFINE,
  dataBytes,
  fittingContext,
  RETAIN,
  SUBTOPIC,
} from "./items.js";
import { TopicForm } from "./topic-aliases.js";
import type { TopicPlan } from "./topic-plan.js";

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
      flags |= CLIENT;
      bytes += 4;
    }
    if (subtopic !== undefined) {
      flags |= SUBTOPIC;
      bytes += subtopic.length;
    }
    if (stamp !== 0) {
      flags |= RETAIN;
      bytes += 8;
    }
    this.#context = fittingContext(context, bytes);
    this.bytes = bytes + contextSize(this.#context);
    this.#flags = this.#context === undefined ? flags : flags | CONTEXT;
    this.#client = client;
    this.#subtopic = subtopic;
    this.#stamp = stamp;
    this.#form = undefined;
    this.#item = undefined;
  }

  /** Maximum of the item in any form: an alias has up to 5. */
  get mostBytes(): number {
    return this.bytes + 5;
  }

  /** Encodes `head`, unless it has that form already. */
  encodeHead(form: TopicForm): void {
    if (this.#form === form) return;
    this.#form = form;
    const { head, plan } = this;
    head.at = 0;
    head.byte(this.#flags | (form === TopicForm.NAME ? 0 : form === TopicForm.USE ? ALIAS : DEFINE));
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
