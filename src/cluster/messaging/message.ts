/** A message for programs. */
import { type ClusterAddress, SELF_ID } from "./addresses.js";

/** Topic of one-to-one messages, and name of the id 1. */
export const SELF_TOPIC = "self";

/** A message of a topic, or to this client alone. */
export interface ClusterMessage {
  /** "self" for a one-to-one message. */
  readonly topic: string;
  /**
   * A view of received memory, which is never changed. Copy it to keep it for long: a view keeps the memory around it.
   */
  readonly data: Buffer;
  /** The publisher, for `sendTo`. */
  readonly sender: ClusterAddress;
  readonly subtopic: string | undefined;
  /** Number of the topic on this node; 1 for a one-to-one message. */
  readonly topicId: number;
  /** Number of the subtopic on this node; 0 without one. */
  readonly subtopicId: number;
  /** Whether it is a retained value, published before the subscription. */
  readonly retained: boolean;
}

export interface NumberedNames {
  /** 0: it has none, and gets none. */
  numberOf(name: string, isSubtopic: boolean): number;
}

/** Numbers are made on request: other nodes must not fill the table. */
export class ReceivedMessage implements ClusterMessage {
  readonly topic: string;
  data: Buffer;
  readonly sender: ClusterAddress;
  readonly subtopic: string | undefined;
  readonly retained: boolean;
  readonly #names: NumberedNames;
  /** Received trace context, if messages are observed. */
  #context: Buffer | undefined = undefined;

  constructor(
    topic: string,
    data: Buffer,
    sender: ClusterAddress,
    subtopic: string | undefined,
    retained: boolean,
    names: NumberedNames,
  ) {
    this.topic = topic;
    this.data = data;
    this.sender = sender;
    this.subtopic = subtopic;
    this.retained = retained;
    this.#names = names;
  }

  get context(): Buffer | undefined {
    return this.#context;
  }

  set context(context: Buffer | undefined) {
    this.#context = context;
  }

  get topicId(): number {
    return this.topic === SELF_TOPIC ? SELF_ID : this.#names.numberOf(this.topic, false);
  }

  get subtopicId(): number {
    return this.subtopic === undefined ? 0 : this.#names.numberOf(this.subtopic, true);
  }

  /** Counted bytes in a queue. */
  get bytes(): number {
    return this.data.length + this.topic.length + (this.subtopic?.length ?? 0) + 128;
  }
}
