/** A message, as a program gets it. */
import { type ClusterAddress, SELF_ID } from "./addresses.js";

/** The topic of a one-to-one message, and the name of the id 1. */
export const SELF_TOPIC = "self";

/** A message of a topic, or one to this client alone. */
export interface ClusterMessage {
  /** Of a one-to-one message: "self". */
  readonly topic: string;
  /** A view of what arrived, which nobody changes: one that is kept for long is copied, or the chunk around it stays. */
  readonly data: Buffer;
  /** Who published it. `sendTo` takes it. */
  readonly sender: ClusterAddress;
  readonly subtopic: string | undefined;
  /** The number of the topic on this node; 1 for a one-to-one message. */
  readonly topicId: number;
  /** The number of the subtopic on this node; 0 without one. */
  readonly subtopicId: number;
  /** Whether it is a retained value, which was published before the subscription was made. */
  readonly retained: boolean;
}

/** Numbers of names. */
export interface NumberedNames {
  /** Of a topic, or of a subtopic; 0: it has none, and gets none. */
  numberOf(name: string, isSubtopic: boolean): number;
}

/** A number is looked up when the program asks for it: strangers would fill the table with one for each topic that arrives. */
export class ReceivedMessage implements ClusterMessage {
  readonly topic: string;
  readonly data: Buffer;
  readonly sender: ClusterAddress;
  readonly subtopic: string | undefined;
  readonly retained: boolean;
  readonly #names: NumberedNames;
  /** Of a trace: what came with it, where somebody observes messages. */
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

  /** Bytes that it counts for in a queue. */
  get bytes(): number {
    return this.data.length + this.topic.length + OVERHEAD;
  }
}

/** Bytes that a message in a queue counts for on top of its data and its topic. */
const OVERHEAD = 128;
