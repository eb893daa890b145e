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

/** Claims of a name from which on they are also in a map by their ids: most names have one claim, which a map would cost far more than. */
const INDEXED = 16;

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
  /** Who claims it, and whether he chose it; how many did. */
  readonly nodes: Map<number, boolean>;
  choosers: number;
  /** Where it is among those of its name, and of its id. */
  readonly ofName: Claims;
  readonly ofId: Claims;
  atName: number;
  atId: number;
}

/**
 * The claims of one name, or on one id. Which of them counts is found when somebody asks, and kept: each message that is published by
 * number asks, and other nodes may have thousands of claims on its id. Where an id has claims and its owner is not known, the ids of the
 * names that claim it are not known either.
 */
interface Claims {
  readonly all: Claim[];
  /** Of a name with many ids: its claims by these. */
  byId: Map<number, Claim> | undefined;
  isKnown: boolean;
  /** Of an id: the claim of its owner, by rule 1. Of a name: the claim on its id, by rule 2. */
  best: Claim | undefined;
}

/** What a node claims. */
interface Used {
  readonly claims: Set<Claim>;
  bytes: number;
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
  readonly #byName = new Map<string, Claims>();
  readonly #byId = new Map<number, Claims>();
  readonly #used = new Map<number, Used>();
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
    const claims = this.#byName.get(name);
    if (claims === undefined) return NO_ID;
    if (!claims.isKnown) {
      let best: Claim | undefined;
      for (const claim of claims.all)
        if (ownerOf(claim.ofId) === claim && (best === undefined || isBetterId(claim, best))) best = claim;
      claims.best = best;
      claims.isKnown = true;
    }
    return claims.best === undefined ? NO_ID : claims.best.id;
  }

  /** The name that an id leads to. */
  nameOf(id: number): string | undefined {
    const claims = this.#byId.get(id);
    return claims === undefined ? undefined : ownerOf(claims)?.name;
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
    let claim = this.#find(name, id);
    const before = claim?.nodes.get(node);
    if (claim !== undefined && (before === true || before === chosen)) return "known";
    let isBetter = false;
    if (before === undefined) {
      const used: Used = this.#used.get(node) ?? { claims: new Set(), bytes: 0 };
      const bytes = claim?.bytes ?? Buffer.byteLength(name);
      if (used.claims.size >= MAX_TOPIC_IDS || used.bytes + bytes > MAX_TOPIC_ID_BYTES) return "full";
      if (claim === undefined) {
        claim = this.#make(name, id, bytes);
        isBetter = true;
      }
      used.claims.add(claim);
      used.bytes += bytes;
      this.#used.set(node, used);
    }
    const made = claim as Claim;
    made.nodes.set(node, chosen);
    if (chosen) {
      made.choosers++;
      isBetter ||= !made.chosen;
      made.chosen = true;
    }
    if (isBetter) rise(made);
    return "added";
  }

  #make(name: string, id: number, bytes: number): Claim {
    const ofName = claimsOf(this.#byName, name);
    const ofId = claimsOf(this.#byId, id);
    const claim: Claim = {
      name,
      id,
      chosen: false,
      bytes,
      nodes: new Map(),
      choosers: 0,
      ofName,
      ofId,
      atName: ofName.all.length,
      atId: ofId.all.length,
    };
    ofName.all.push(claim);
    ofId.all.push(claim);
    if (ofName.byId !== undefined) ofName.byId.set(id, claim);
    else if (ofName.all.length === INDEXED) ofName.byId = new Map(ofName.all.map((each) => [each.id, each]));
    return claim;
  }

  /** Takes a claim of a node away; `false` where there was none. */
  unregister(name: string, id: number, node: number = OWN): boolean {
    const claim = this.#find(name, id);
    return claim !== undefined && this.#withdraw(claim, node);
  }

  /** Takes as long whatever other nodes claim: all of them together may give one name hundreds of thousands of ids. */
  #find(name: string, id: number): Claim | undefined {
    const claims = this.#byName.get(name);
    if (claims === undefined) return undefined;
    return claims.byId === undefined ? claims.all.find((each) => each.id === id) : claims.byId.get(id);
  }

  /** Takes all claims of a node away; how many there were. */
  deleteNode(node: number): number {
    const claims = this.#used.get(node)?.claims;
    if (claims === undefined) return 0;
    const deleted = claims.size;
    for (const claim of claims) this.#withdraw(claim, node);
    return deleted;
  }

  /** This node's own claims: what the other nodes get. */
  own(): TopicClaim[] {
    const claims: TopicClaim[] = [];
    for (const { name, id, nodes } of this.#used.get(OWN)?.claims ?? [])
      claims.push({ name, id, chosen: nodes.get(OWN) === true });
    return claims;
  }

  #withdraw(claim: Claim, node: number): boolean {
    const chosen = claim.nodes.get(node);
    if (chosen === undefined) return false;
    claim.nodes.delete(node);
    const used = this.#used.get(node) as Used;
    used.claims.delete(claim);
    used.bytes -= claim.bytes;
    if (used.claims.size === 0) this.#used.delete(node);
    if (chosen) claim.choosers--;
    if (claim.nodes.size === 0) {
      this.#remove(claim);
      fall(claim);
    } else if (chosen && claim.choosers === 0) {
      claim.chosen = false;
      fall(claim);
    }
    return true;
  }

  /** Out of both lists; the last ones of these take its places. */
  #remove({ name, id, ofName, ofId, atName, atId }: Claim): void {
    const ofNameLast = ofName.all.pop() as Claim;
    if (atName < ofName.all.length) {
      ofName.all[atName] = ofNameLast;
      ofNameLast.atName = atName;
    }
    const ofIdLast = ofId.all.pop() as Claim;
    if (atId < ofId.all.length) {
      ofId.all[atId] = ofIdLast;
      ofIdLast.atId = atId;
    }
    if (ofName.all.length < INDEXED) ofName.byId = undefined;
    else ofName.byId?.delete(id);
    if (ofName.all.length === 0) this.#byName.delete(name);
    if (ofId.all.length === 0) this.#byId.delete(id);
  }
}

function isId(id: unknown): id is number {
  return Number.isInteger(id) && (id as number) > SELF_ID && (id as number) <= LAST_ID;
}

/** Rule 1. */
function ownerOf(claims: Claims): Claim | undefined {
  if (!claims.isKnown) {
    let best: Claim | undefined;
    for (const claim of claims.all) if (best === undefined || isBetterName(claim, best)) best = claim;
    claims.best = best;
    claims.isKnown = true;
  }
  return claims.best;
}

function isBetterName(one: Claim, other: Claim): boolean {
  return one.chosen !== other.chosen ? one.chosen : isBefore(one.name, other.name);
}

/** In the order of the bytes, without making them: that of code points, where UTF-16 has those past U+FFFF before U+E000. */
function isBefore(one: string, other: string): boolean {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) {
    const unit = one.charCodeAt(i);
    const its = other.charCodeAt(i);
    if (unit !== its) return rankOf(unit) < rankOf(its);
  }
  return one.length < other.length;
}

function rankOf(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** Rule 2. */
function isBetterId(one: Claim, other: Claim): boolean {
  return one.chosen !== other.chosen ? one.chosen : one.id < other.id;
}

/** A claim is new, or chosen now: it may be its id's owner. */
function rise(claim: Claim): void {
  const { ofName, ofId } = claim;
  if (!ofId.isKnown) {
    forget(ofName);
    return;
  }
  const before = ofId.best;
  if (before !== undefined && before !== claim && !isBetterName(claim, before)) return;
  ofId.best = claim;
  forget(ofName);
  if (before !== undefined) forget(before.ofName);
}

/** A claim is gone, or chosen no longer: another one may be its id's owner. */
function fall(claim: Claim): void {
  const { ofName, ofId } = claim;
  if (!ofId.isKnown || ofId.best !== claim) return;
  forget(ofId);
  forget(ofName);
  for (const each of ofId.all) forget(each.ofName);
}

function forget(claims: Claims): void {
  claims.isKnown = false;
  claims.best = undefined;
}

/** Those under a key; none yet where it is new, and that is known. */
function claimsOf<K>(map: Map<K, Claims>, key: K): Claims {
  const known = map.get(key);
  if (known !== undefined) return known;
  const claims: Claims = { all: [], byId: undefined, isKnown: true, best: undefined };
  map.set(key, claims);
  return claims;
}
