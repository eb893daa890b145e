/**
 * Numbers for one-to-one messages: a node's own clients, and aliases of the clients of other nodes. Pure.
 *
 *   0                      nobody
 *   1                      the node's own client, on each node: not reachable from another one until it was discovered
 *   2 … 2^31-1             clients of this node, at random
 *   2^31 … 2^32-1          aliases of clients of other nodes, at random, valid on this node only
 *
 * An alias is made when a message of that client arrives, or when the program asks for it. It lives as long as it is used: past
 * the bound, one goes that was not used for about the longest time (second chance), and the program is informed. It is one of the node that has
 * a new one where that node has more than its share of all, and otherwise one of the node that has most: a node that makes up clients costs those
 * that have no more than their share none.
 */
import { MAX_ALIASES, MAX_ID_ATTEMPTS, MAX_MESSAGE_CLIENTS } from "./bounds.js";

/** The node's own client, on each node. */
export const SELF_ID = 1;

const FIRST_CLIENT = 2;
const FIRST_ALIAS = 0x8000_0000;
const MAX_ID = 0xffff_ffff;

/** Where a one-to-one message goes, or where a message came from. Frozen; valid on the node that gave it. */
export interface ClusterAddress {
  /** Id of the node: 32 hexadecimal digits. */
  readonly node: string;
  /** 32 bits: 1 for the node's own client, a client of this node, or an alias of a client elsewhere. */
  readonly id: number;
}

/** A client of another node, and the number that stands for it here. */
export class Alias {
  readonly address: ClusterAddress;
  /** Its number on its own node. */
  readonly client: number;
  /** Whether it was used since it was made, or since the last look. */
  used = false;
  /** Its node answered that there is no such client any more. */
  closed = false;
  /** It was dropped at the bound, and leads nowhere. */
  dropped = false;

  constructor(node: string, id: number, client: number) {
    this.address = Object.freeze({ node, id });
    this.client = client;
  }
}

export interface AddressesEffects {
  /** 0 ≤ x < 1. */
  random(): number;
  /** Whether a number is taken by something else, such as a topic. */
  isTaken(id: number): boolean;
  /** An alias was dropped at the bound. */
  dropped(address: ClusterAddress): void;
}

export class Addresses<Client> {
  readonly #effects: AddressesEffects;
  readonly #most: number;
  readonly #clients = new Map<number, Client>();
  /** By number. */
  readonly #aliases = new Map<number, Alias>();
  /** By node and by the client's number there; of a node in the order of the looks for one to drop. */
  readonly #byNode = new Map<string, Map<number, Alias>>();
  /** Those of a node that had most. */
  #found = new Map<number, Alias>();
  #dropped = 0;

  constructor(effects: AddressesEffects, most = MAX_ALIASES) {
    this.#effects = effects;
    this.#most = most;
  }

  get clients(): number {
    return this.#clients.size;
  }

  get aliases(): number {
    return this.#aliases.size;
  }

  /** Aliases that were dropped at the bound. */
  get dropped(): number {
    return this.#dropped;
  }

  // --- This node's clients -------------------------------------------------------------------------------------------

  /** Adds the node's own client. */
  addSelf(client: Client): void {
    this.#clients.set(SELF_ID, client);
  }

  /** @param make the client of a number @returns `undefined` when there are too many */
  add(make: (id: number) => Client): Client | undefined {
    if (this.#clients.size >= MAX_MESSAGE_CLIENTS) return undefined;
    const id = this.#draw(FIRST_CLIENT, FIRST_ALIAS - 1);
    const client = make(id);
    this.#clients.set(id, client);
    return client;
  }

  /** This node's clients. */
  all(): Iterable<Client> {
    return this.#clients.values();
  }

  remove(id: number): void {
    this.#clients.delete(id);
  }

  client(id: number): Client | undefined {
    return this.#clients.get(id);
  }

  // --- Those of others -----------------------------------------------------------------------------------------------

  /** The alias of a client of another node; it is made where there is none. */
  aliasOf(node: string, client: number): Alias {
    let aliases = this.#byNode.get(node);
    if (aliases === undefined) {
      aliases = new Map();
      this.#byNode.set(node, aliases);
    }
    let alias = aliases.get(client);
    if (alias !== undefined) {
      alias.used = true;
      return alias;
    }
    alias = new Alias(node, this.#draw(FIRST_ALIAS, MAX_ID), client);
    // Before the eviction, which may leave this node without aliases.
    aliases.set(client, alias);
    if (this.#aliases.size >= this.#most) this.#evict(aliases);
    this.#aliases.set(alias.address.id, alias);
    return alias;
  }

  /** The alias of a client of another node, where there is one. */
  find(node: string, client: number): Alias | undefined {
    const alias = this.#byNode.get(node)?.get(client);
    if (alias !== undefined) alias.used = true;
    return alias;
  }

  /** The alias of a number. */
  alias(id: number): Alias | undefined {
    const alias = this.#aliases.get(id);
    if (alias !== undefined) alias.used = true;
    return alias;
  }

  /** Whether a number is a client's or an alias. */
  has(id: number): boolean {
    return this.#clients.has(id) || this.#aliases.has(id);
  }

  /** @param own those of the node that has a new one, with that */
  #evict(own: Map<number, Alias>): void {
    const aliases = this.#isOverShare(own) ? own : this.#largest();
    for (const alias of aliases.values()) {
      const { client, address } = alias;
      // The new one.
      if (!this.#aliases.has(address.id)) continue;
      aliases.delete(client);
      if (alias.used) {
        // To the end: it is looked at again when all others were.
        alias.used = false;
        aliases.set(client, alias);
        continue;
      }
      this.#aliases.delete(address.id);
      if (aliases.size === 0) this.#byNode.delete(address.node);
      alias.dropped = true;
      this.#dropped += 1;
      this.#effects.dropped(address);
      return;
    }
  }

  #isOverShare(aliases: Map<number, Alias>): boolean {
    return aliases.size > 1 && aliases.size * this.#byNode.size > this.#most;
  }

  /** Those of the node that has most; of a full table, more than its share. It is looked for when the last one found has no more than that. */
  #largest(): Map<number, Alias> {
    if (this.#isOverShare(this.#found)) return this.#found;
    for (const aliases of this.#byNode.values()) if (aliases.size > this.#found.size) this.#found = aliases;
    return this.#found;
  }

  #draw(first: number, last: number): number {
    let id = first;
    for (let attempt = 0; attempt < MAX_ID_ATTEMPTS; attempt++) {
      id = first + Math.floor(this.#effects.random() * (last - first + 1));
      if (this.#isFree(id)) return id;
    }
    // A source of random numbers that repeats itself: the next one that is free.
    while (!this.#isFree(id)) id = id === last ? first : id + 1;
    return id;
  }

  #isFree(id: number): boolean {
    return !this.#clients.has(id) && !this.#aliases.has(id) && !this.#effects.isTaken(id);
  }
}

/** Whether a number is of the range of aliases. */
export function isAlias(id: number): boolean {
  return id >= FIRST_ALIAS && id <= MAX_ID;
}
