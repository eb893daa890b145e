/**
 * Topics by number, as SMQ has them: names ↔ ids of 32 bits. 0 is no id, 1 is `self`, a node's own client.
 *
 * A claim says "this name has this id". A program makes one with an id of its choice, or the node makes one with a random
 * id for a name that has none. Claims are of nodes, are replicated as routes are, and go with their nodes. Two nodes may
 * claim at the same time, so claims collide; which of them counts depends on what is claimed, and never on the order in
 * which claims arrive:
 *
 *   1. An id is of the name whose claim is chosen rather than random; of two such, of the name that is first in the order of
 *      its bytes.
 *   2. A name's id is, of the ids that are its own by rule 1, a chosen one rather than a random one; of two such the smallest.
 *      The others still lead to the name.
 *
 * A name that lost all its ids has none, until somebody claims another: `create` then makes a random claim.
 */
import { Buffer } from "node:buffer";
import { describe } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import { SELF_ID } from "./addresses.js";
import { MAX_ID_ATTEMPTS, MAX_TOPIC_ID_BYTES, MAX_TOPIC_IDS } from "./bounds.js";
import { checkTopic, type TopicFault, topicFault } from "./topics.js";

/** No topic. */
const NO_ID = 0;

const LAST_ID = 0xffff_ffff;

/** Claims are of numbered nodes, as routes are; this one's own have this number. */
const OWN = -1;

export interface TopicClaim {
  readonly name: string;
  /** 2 … 4,294,967,295 */
  readonly id: number;
  /** A program chose it. */
  readonly chosen: boolean;
}

interface Claim extends TopicClaim {
  chosen: boolean;
  readonly bytes: number;
  /** Who claims it, and whether he chose it. */
  readonly nodes: Map<number, boolean>;
}

/** What came of a claim. */
export type ClaimResult =
  /** It is new, or chosen where it was random. */
  | "added"
  | "known"
  /** Refused: not a name. */
  | TopicFault
  /** Refused: not an id that may be claimed. */
  | "id"
  /** Refused: the node has as many as it may (`MAX_TOPIC_IDS`, `MAX_TOPIC_ID_BYTES`). */
  | "full";

export class TopicIds {
  readonly #byName = new Map<string, Claim[]>();
  readonly #byId = new Map<number, Claim[]>();
  readonly #used = new Map<number, { claims: number; bytes: number }>();
  readonly #random: () => number;
  readonly #taken: (id: number) => boolean;

  /**
   * @param random whole numbers of 32 bits
   * @param taken ids that are something else's, such as a client's: random claims pass over them
   */
  constructor(random: () => number, taken: (id: number) => boolean = () => false) {
    this.#random = random;
    this.#taken = taken;
  }

  /** The id of a name, or 0. */
  idOf(name: string): number {
    let best: Claim | undefined;
    for (const claim of this.#byName.get(name) ?? [])
      if (this.#owner(claim.id) === claim && (best === undefined || isBetterId(claim, best))) best = claim;
    return best === undefined ? NO_ID : best.id;
  }

  /** The name that an id leads to. */
  nameOf(id: number): string | undefined {
    return this.#owner(id)?.name;
  }

  /**
   * This node's own claim: with an id of the program's choice, or of the name's own id, which is made up at random where it
   * has none.
   *
   * @returns the name's id, which is another than `id` where a better claim has that
   * @throws InvalidArgumentError `EINVAL` for what is not a name or an id that may be chosen
   * @throws InvalidStateError `EFSM` past `MAX_TOPIC_IDS` and `MAX_TOPIC_ID_BYTES`, and where `random` gives no free id
   */
  create(name: string, id?: number): number {
    checkTopic(name);
    if (id !== undefined) {
      if (!isId(id))
        throw new InvalidArgumentError(
          `An id of a topic is a whole number of 2 … 4,294,967,295; got ${describe(id)}`,
        );
      this.#own(name, id, true);
    }
    const known = this.idOf(name);
    if (known !== NO_ID) return known;
    // 2^32 ids and at most some million claims: the second attempt is rare already.
    for (let attempt = 0; attempt < MAX_ID_ATTEMPTS; attempt++) {
      const made = this.#random() >>> 0;
      if (!isId(made) || this.#byId.has(made) || this.#taken(made)) continue;
      this.#own(name, made, false);
      return made;
    }
    throw new InvalidStateError(
      "EFSM",
      `No free id was found at random for the topic ${describe(name)} in ${MAX_ID_ATTEMPTS} attempts`,
    );
  }

  #own(name: string, id: number, chosen: boolean): void {
    if (this.register(name, id, chosen, OWN) === "full")
      throw new InvalidStateError("EFSM", `A node registers at most ${MAX_TOPIC_IDS} ids of topics`);
  }

  /** A claim of another node, or again one's own. Throws nothing, whatever it is given. */
  register(name: string, id: number, chosen: boolean, node: number): ClaimResult {
    const fault = topicFault(name);
    if (fault !== undefined) return fault;
    if (!isId(id)) return "id";
    let claim = this.#byName.get(name)?.find((each) => each.id === id);
    const before = claim?.nodes.get(node);
    if (claim !== undefined && (before === true || before === chosen)) return "known";
    if (before === undefined) {
      const used = this.#used.get(node) ?? { claims: 0, bytes: 0 };
      const bytes = claim?.bytes ?? Buffer.byteLength(name);
      if (used.claims >= MAX_TOPIC_IDS || used.bytes + bytes > MAX_TOPIC_ID_BYTES) return "full";
      used.claims++;
      used.bytes += bytes;
      this.#used.set(node, used);
      if (claim === undefined) {
        claim = { name, id, chosen: false, bytes, nodes: new Map() };
        append(this.#byName, name, claim);
        append(this.#byId, id, claim);
      }
    }
    (claim as Claim).nodes.set(node, chosen);
    if (chosen) (claim as Claim).chosen = true;
    return "added";
  }

  /** Takes a claim of a node away; `false` where there was none. */
  unregister(name: string, id: number, node: number = OWN): boolean {
    const claim = this.#byName.get(name)?.find((each) => each.id === id);
    return claim !== undefined && this.#withdraw(claim, node);
  }

  /** Takes all claims of a node away; how many there were. */
  deleteNode(node: number): number {
    let deleted = 0;
    if (!this.#used.has(node)) return deleted;
    for (const claims of [...this.#byId.values()])
      for (const claim of [...claims]) if (this.#withdraw(claim, node)) deleted++;
    return deleted;
  }

  /** This node's own claims: what the other nodes get. */
  own(): TopicClaim[] {
    const claims: TopicClaim[] = [];
    for (const all of this.#byId.values())
      for (const { name, id, nodes } of all) {
        const chosen = nodes.get(OWN);
        if (chosen !== undefined) claims.push({ name, id, chosen });
      }
    return claims;
  }

  #withdraw(claim: Claim, node: number): boolean {
    if (!claim.nodes.delete(node)) return false;
    const used = this.#used.get(node) as { claims: number; bytes: number };
    used.claims--;
    used.bytes -= claim.bytes;
    if (used.claims === 0) this.#used.delete(node);
    if (claim.nodes.size === 0) {
      remove(this.#byName, claim.name, claim);
      remove(this.#byId, claim.id, claim);
    } else {
      claim.chosen = [...claim.nodes.values()].includes(true);
    }
    return true;
  }

  /** Rule 1. */
  #owner(id: number): Claim | undefined {
    let best: Claim | undefined;
    for (const claim of this.#byId.get(id) ?? [])
      if (best === undefined || isBetterName(claim, best)) best = claim;
    return best;
  }
}

function isId(id: unknown): id is number {
  return Number.isInteger(id) && (id as number) > SELF_ID && (id as number) <= LAST_ID;
}

function isBetterName(one: Claim, other: Claim): boolean {
  if (one.chosen !== other.chosen) return one.chosen;
  return Buffer.compare(Buffer.from(one.name), Buffer.from(other.name)) < 0;
}

/** Rule 2. */
function isBetterId(one: Claim, other: Claim): boolean {
  return one.chosen !== other.chosen ? one.chosen : one.id < other.id;
}

function append<K>(map: Map<K, Claim[]>, key: K, claim: Claim): void {
  const claims = map.get(key);
  if (claims === undefined) map.set(key, [claim]);
  else claims.push(claim);
}

function remove<K>(map: Map<K, Claim[]>, key: K, claim: Claim): void {
  const left = (map.get(key) as Claim[]).filter((each) => each !== claim);
  if (left.length === 0) map.delete(key);
  else map.set(key, left);
}
