/**
 * The clients that a broker knows: those of shoal's, which say that they live while
 * they wait for answers.
 *
 *            heard                      silent for `liveness` intervals
 *   unknown -------> known ----------------------------------------------> gone, or it has nothing to ask
 *                     |  its connection ends        RETURN_TIME is over
 *                     +------------------> leaving ----------------------> gone
 *
 * A client whose connection broke comes back over another, and asks again for what it
 * has no answer to: it gets what is under way, if that was not dropped meanwhile.
 */
import { LinkedList } from "../../core/collections/linked-list.js";
import type { BrokerLimits } from "./broker-options.js";
import { Client } from "./broker-tables.js";
import { textOf } from "./protocol.js";

/** ms that a client whose connection has ended has to come back, before what it asked for is dropped. */
const RETURN_TIME = 1_000;

export class BrokerClients {
  readonly #limits: BrokerLimits;
  readonly #onLeft: (client: Client) => void;
  readonly #onGone: (client: Client) => void;
  readonly #byKey = new Map<string, Client>();
  /** By the routing id's object, which an engine gives again and again as long as the peer is connected. */
  readonly #byId = new Map<Buffer, Client>();
  /** In the order in which they are to be looked at. */
  readonly #beats = new LinkedList<Client>();
  /** Those whose connection has ended, in the order in which they are gone. */
  readonly #leaving = new LinkedList<Client>();

  /**
   * @param onLeft its connection has ended; it may come back
   * @param onGone it has not come back, or nothing was heard of it for too long
   */
  constructor(limits: BrokerLimits, onLeft: (client: Client) => void, onGone: (client: Client) => void) {
    this.#limits = limits;
    this.#onLeft = onLeft;
    this.#onGone = onGone;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** The client that has just been heard. */
  heard(from: Buffer, now: number): Client {
    const client = this.#byId.get(from) ?? this.#byKey.get(textOf(from)) ?? this.#add(from, now);
    client.lastSeen = now;
    if (client.beatLink.list === this.#leaving) this.#cameBack(client, from, now);
    return client;
  }

  nextWakeUp(): number | undefined {
    const beat = this.#beats.first?.beatAt;
    const gone = this.#leaving.first?.beatAt;
    if (beat === undefined || gone === undefined) return beat ?? gone;
    return Math.min(beat, gone);
  }

  tick(now: number): void {
    for (let client = this.#leaving.first; client !== undefined; client = this.#leaving.first) {
      if (client.beatAt > now) break;
      this.#remove(client);
    }
    const { heartbeatInterval, liveness } = this.#limits;
    for (let client = this.#beats.first; client !== undefined; client = this.#beats.first) {
      if (client.beatAt > now) break;
      if (now - client.lastSeen < heartbeatInterval * liveness) {
        client.beatAt = now + heartbeatInterval;
        this.#beats.push(client.beatLink);
        continue;
      }
      this.#remove(client);
    }
  }

  /** A connection has ended. @param id the very object that its messages came with. @returns whether it was a client's */
  left(id: Buffer, now: number): boolean {
    const client = this.#byId.get(id);
    if (client === undefined) return false;
    this.#byId.delete(id);
    client.beatAt = now + RETURN_TIME;
    this.#leaving.push(client.beatLink);
    this.#onLeft(client);
    return true;
  }

  /** Under the routing id that it had. */
  #cameBack(client: Client, from: Buffer, now: number): void {
    client.routingId = from;
    this.#byId.set(from, client);
    client.beatAt = now + this.#limits.heartbeatInterval;
    this.#beats.push(client.beatLink);
  }

  #remove(client: Client): void {
    client.beatLink.unlink();
    this.#byKey.delete(client.key);
    this.#byId.delete(client.routingId);
    this.#onGone(client);
  }

  #add(from: Buffer, now: number): Client {
    const client = new Client(from, textOf(from), now);
    this.#byKey.set(client.key, client);
    this.#byId.set(from, client);
    client.beatAt = now + this.#limits.heartbeatInterval;
    this.#beats.push(client.beatLink);
    return client;
  }
}
