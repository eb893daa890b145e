/**
 * How many bytes of answers wait for clients at the broker's socket, at most: for each of them and for all together.
 *
 * The engine knows what waits for a peer, but asking it for each answer would cost more than the answer. So what was sent
 * since it was asked last counts as waiting, which is never too little, and it is asked anew when that comes to a bound.
 */
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import type { BrokerLimits } from "./broker-options.js";

/** Clients that are looked at anew for one answer when all of them together are at the bound. */
const MAX_LOOKS = 64;

/** Bytes that wait for a plain client from which on its answers' pieces are not asked for, until it has read some. */
const MAX_AHEAD = 1_048_576;

class Waiting {
  readonly client: Buffer;
  /** Bytes that wait at most. */
  bytes = 0;
  readonly link: Link<Waiting> = new Link<Waiting>(this);

  constructor(client: Buffer) {
    this.client = client;
  }
}

export class BrokerClientBytes {
  readonly #limits: BrokerLimits;
  readonly #measure: ((client: Buffer) => number) | undefined;
  /** By the routing id's object, which an engine that can measure gives again and again for one connection. */
  readonly #byClient = new Map<Buffer, Waiting>();
  /** In the order in which they were measured. */
  readonly #all = new LinkedList<Waiting>();
  #last: Waiting | undefined = undefined;
  #total = 0;

  /** @param measure bytes that wait for a client at the socket; `undefined`: the engine cannot know, nothing is bounded here */
  constructor(limits: BrokerLimits, measure: ((client: Buffer) => number) | undefined) {
    this.#limits = limits;
    this.#measure = measure;
  }

  /** Bytes that wait now. */
  get total(): number {
    for (const waiting of [...this.#all]) this.#look(waiting);
    return this.#total;
  }

  /** Counts an answer for a client. @returns `false`: it is not to be sent, too much waits. One alone always may. */
  take(client: Buffer, bytes: number): boolean {
    if (this.#measure === undefined) return true;
    const { maxClientBytes, maxReplyBytes } = this.#limits;
    const last = this.#last;
    const waiting = last?.client === client ? last : this.#of(client);
    if (waiting.bytes + bytes > maxClientBytes) {
      this.#look(waiting);
      if (waiting.bytes > 0 && waiting.bytes + bytes > maxClientBytes) return false;
    }
    if (this.#total + bytes > maxReplyBytes && !this.#makeRoom(bytes)) return false;
    waiting.bytes += bytes;
    this.#total += bytes;
    if (waiting.link.list === undefined) this.#add(waiting);
    return true;
  }

  /** Whether so little waits for a client that more of an answer can be asked for. */
  readsOn(client: Buffer): boolean {
    const waiting = this.#byClient.get(client);
    if (waiting === undefined || waiting.bytes <= MAX_AHEAD) return true;
    this.#look(waiting);
    return waiting.bytes <= MAX_AHEAD;
  }

  /** A client's connection has ended, and what waited for it. */
  left(client: Buffer): void {
    const waiting = this.#byClient.get(client);
    if (waiting !== undefined) this.#remove(waiting);
  }

  #of(client: Buffer): Waiting {
    const waiting = this.#byClient.get(client) ?? new Waiting(client);
    this.#last = waiting;
    return waiting;
  }

  #add(waiting: Waiting): void {
    this.#byClient.set(waiting.client, waiting);
    this.#all.push(waiting.link);
  }

  #remove(waiting: Waiting): void {
    this.#total -= waiting.bytes;
    waiting.bytes = 0;
    waiting.link.unlink();
    this.#byClient.delete(waiting.client);
    if (this.#last === waiting) this.#last = undefined;
  }

  #look(waiting: Waiting): void {
    if (waiting.link.list === undefined) return;
    const bytes = Math.min(waiting.bytes, this.#measure?.(waiting.client) ?? 0);
    this.#total += bytes - waiting.bytes;
    waiting.bytes = bytes;
    if (bytes === 0) this.#remove(waiting);
    else this.#all.push(waiting.link);
  }

  #makeRoom(bytes: number): boolean {
    const { maxReplyBytes } = this.#limits;
    for (let looks = Math.min(MAX_LOOKS, this.#all.length); looks > 0; looks--) {
      this.#look(this.#all.first as Waiting);
      if (this.#total + bytes <= maxReplyBytes) return true;
    }
    return this.#total === 0;
  }
}
