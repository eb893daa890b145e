/**
 * Names, numbers and addresses in messages: topics and subtopics, which a call names by either, and senders. Names travel
 * between nodes; numbers are those of this node.
 */
import { describe, invalidArgument } from "../../core/arguments.js";
import { randomStart } from "../../core/bytes.js";
import { InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import { Addresses, type ClusterAddress, isAlias, SELF_ID } from "./addresses.js";
import { MAX_TOPIC_IDS } from "./bounds.js";
import type { LocalClient } from "./client.js";
import { type NumberedNames, ReceivedMessage } from "./subscription.js";
import { checkSubtopic, checkTopic } from "./topics.js";

/**
 * Numbers of topics or subtopics on this node, as in SMQ: ids of 32 bits, chosen by the program or at random. 0 is none, 1
 * is `self`.
 */
export class TopicIds {
  readonly ids = new Map<string, number>();
  /** A name may have several ids: `ids` has the last chosen one. */
  readonly names = new Map<number, string>();
  readonly #random: () => number;
  readonly #taken: (id: number) => boolean;
  readonly #check: (name: string) => void;

  /** @param random whole numbers of 32 bits @param taken ids of clients @param check throws for an invalid name */
  constructor(
    random: () => number,
    taken: (id: number) => boolean = () => false,
    check: (name: string) => void = checkTopic,
  ) {
    this.#random = random;
    this.#taken = taken;
    this.#check = check;
  }

  /**
   * Gives a name an id: the one that the program chose, else the one that it has, else a random one.
   *
   * @throws InvalidArgumentError `EINVAL` for an invalid name or id, and for an id of another name or of a client
   * @throws InvalidStateError `EFSM` above `MAX_TOPIC_IDS`
   */
  create(name: string, id?: number): number {
    this.#check(name);
    if (id === undefined) return this.ids.get(name) ?? this.#add(name, this.#free());
    if (!isId(id)) throw invalidArgument("An id must be a whole number of 2 … 4,294,967,295", id);
    const owner = this.names.get(id);
    if (owner !== undefined && owner !== name)
      throw new InvalidArgumentError(`the id ${id} already stands for ${describe(owner)}`);
    if (this.#taken(id)) throw new InvalidArgumentError(`the id ${id} is that of a client`);
    return this.#add(name, id);
  }

  #add(name: string, id: number): number {
    if (!this.names.has(id) && this.names.size >= MAX_TOPIC_IDS)
      throw new InvalidStateError("EFSM", `A node has at most ${MAX_TOPIC_IDS} such ids`);
    this.names.set(id, name);
    this.ids.set(name, id);
    return id;
  }

  #free(): number {
    let id = this.#random() >>> 0;
    while (!isId(id) || this.names.has(id) || this.#taken(id)) id = (id + 1) >>> 0;
    return id;
  }
}

function isId(id: unknown): id is number {
  return Number.isInteger(id) && (id as number) > SELF_ID && (id as number) <= 0xffff_ffff;
}

export class MessageNames implements NumberedNames {
  readonly addresses: Addresses<LocalClient>;
  readonly topics: TopicIds;
  readonly subtopics = new TopicIds(randomStart, undefined, checkSubtopic);
  readonly #id: string;

  /** @param id of this node @param dropped called for an evicted alias */
  constructor(id: string, dropped: (address: ClusterAddress) => void) {
    this.#id = id;
    this.topics = new TopicIds(randomStart, (number) => this.addresses.has(number));
    this.addresses = new Addresses({
      random: Math.random,
      isTaken: (number) => this.topics.names.has(number),
      dropped,
    });
  }

  /** Of a received name, which remote nodes choose: others need room, too. 0: none. */
  numberOf(name: string, isSubtopic: boolean): number {
    const known = isSubtopic ? this.subtopics : this.topics;
    const number = known.ids.get(name);
    if (number !== undefined) return number;
    if (known.names.size >= MAX_TOPIC_IDS / 2 || name.length > 1_024) return 0;
    try {
      return known.create(name);
    } catch {
      return 0; // A member may send a subtopic that programs may not.
    }
  }

  message(
    topic: string,
    data: Buffer,
    sender: ClusterAddress,
    subtopic: string | undefined,
    retained = false,
  ): ReceivedMessage {
    return new ReceivedMessage(topic, data, sender, subtopic, retained, this);
  }

  senderOf(node: string, client: number): ClusterAddress {
    if (node !== this.#id) return this.addresses.aliasOf(node, client).address;
    return this.addresses.clients.get(client)?.address ?? Object.freeze({ node, id: client });
  }

  /** The topic of a number; `undefined`: it is a client's. @throws InvalidArgumentError `EINVAL` */
  topicUnlessClient(number: number): string | undefined {
    if (this.addresses.has(number)) return undefined;
    const name = this.topics.names.get(number);
    return name === undefined && isAlias(number) ? undefined : this.topicOf(number);
  }

  /** @throws InvalidArgumentError `EINVAL` */
  topicOf(number: number): string {
    const name = this.topics.names.get(number);
    if (name === undefined)
      throw new InvalidArgumentError(`no topic and no client has the id ${describe(number)}`);
    return name;
  }

  /** @throws InvalidArgumentError `EINVAL` */
  subtopicOf(subtopic: string | number | undefined): string | undefined {
    if (subtopic === undefined || subtopic === 0) return undefined;
    if (typeof subtopic === "number") {
      const name = this.subtopics.names.get(subtopic);
      if (name === undefined) throw new InvalidArgumentError(`no subtopic has the id ${subtopic}`);
      return name;
    }
    checkSubtopic(subtopic);
    return subtopic;
  }
}
