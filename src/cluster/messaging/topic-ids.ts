/**
 * Numbers of topics on this node, as in SMQ: ids of 32 bits, chosen by the program or at random. 0 is none, 1 is `self`.
 * Names travel between nodes.
 */
import { describe, invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import { SELF_ID } from "./addresses.js";
import { MAX_TOPIC_IDS } from "./bounds.js";
import { checkTopic } from "./topics.js";

export class TopicIds {
  readonly ids = new Map<string, number>();
  /** A name may have several ids: `ids` has the last chosen one. */
  readonly names = new Map<number, string>();
  readonly #random: () => number;
  readonly #taken: (id: number) => boolean;

  /** @param random whole numbers of 32 bits @param taken ids of clients */
  constructor(random: () => number, taken: (id: number) => boolean = () => false) {
    this.#random = random;
    this.#taken = taken;
  }

  /**
   * Gives a name an id: the one that the program chose, else the one that it has, else a random one.
   *
   * @throws InvalidArgumentError `EINVAL` for an invalid name or id, and for an id of another name or of a client
   * @throws InvalidStateError `EFSM` above `MAX_TOPIC_IDS`
   */
  create(name: string, id?: number): number {
    checkTopic(name);
    if (id === undefined) return this.ids.get(name) ?? this.#add(name, this.#free());
    if (!isId(id)) throw invalidArgument("An id of a topic must be a whole number of 2 … 4,294,967,295", id);
    const owner = this.names.get(id);
    if (owner !== undefined && owner !== name)
      throw new InvalidArgumentError(`the id ${id} is that of the topic ${describe(owner)}`);
    if (this.#taken(id)) throw new InvalidArgumentError(`the id ${id} is that of a client`);
    return this.#add(name, id);
  }

  #add(name: string, id: number): number {
    if (!this.names.has(id) && this.names.size >= MAX_TOPIC_IDS)
      throw new InvalidStateError("EFSM", `A node has at most ${MAX_TOPIC_IDS} ids of topics`);
    this.names.set(id, name);
    this.ids.set(name, id);
    return id;
  }

  /** A random id, or the next free one. */
  #free(): number {
    let id = this.#random() >>> 0;
    while (!isId(id) || this.names.has(id) || this.#taken(id)) id = (id + 1) >>> 0;
    return id;
  }
}

function isId(id: unknown): id is number {
  return Number.isInteger(id) && (id as number) > SELF_ID && (id as number) <= 0xffff_ffff;
}
