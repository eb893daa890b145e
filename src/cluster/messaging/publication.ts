/**
 * A PUBLISH item as links send it: with an alias if the link has defined one for the topic (topic-aliases.ts), else
 * with the name. The head is encoded once for each form; each link copies the data.
 *
 * The object is reused: an object and a Buffer for each message were a quarter of a publisher's time.
 */
import { Writer } from "../compact.js";
import {
  ALIAS,
  CONTEXT,
  contextSize,
  DEFINE,
  dataBytes,
  fittingContext,
  publishFlags,
  publishHeadBytes,
  writePublishHead,
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
    const flags = publishFlags(client, subtopic, stamp);
    this.plan = plan;
    this.data = data;
    this.dataBytes = dataBytes(data);
    const bytes = publishHeadBytes(flags, plan.name, subtopic) + this.dataBytes;
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
    const { name, alias } = this.plan;
    const flag = form === TopicForm.NAME ? 0 : form === TopicForm.USE ? ALIAS : DEFINE;
    this.head.at = 0;
    writePublishHead(
      this.head,
      this.#flags | flag,
      this.#client,
      alias,
      name,
      this.#subtopic,
      this.#stamp,
      this.#context,
    );
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
