/**
 * The clients that a broker knows: those of shoal's, which say that they live while
 * they wait for answers. One that is silent for `liveness` intervals is gone, or has
 * nothing to ask.
 */
import { LinkedList } from "../common/linked-list.js";
import type { BrokerLimits } from "./broker-options.js";
import { Client } from "./broker-tables.js";
import { textOf } from "./protocol.js";

export class BrokerClients {
  readonly #limits: BrokerLimits;
  readonly #onGone: (client: Client) => void;
  readonly #byKey = new Map<string, Client>();
  /** By the routing id's object, which an engine gives again and again as long as the peer is connected. */
  readonly #byId = new Map<Buffer, Client>();
  /** In the order in which they are to be looked at. */
  readonly #beats = new LinkedList<Client>();

  /** @param onGone nothing was heard of it for too long */
  constructor(limits: BrokerLimits, onGone: (client: Client) => void) {
    this.#limits = limits;
    this.#onGone = onGone;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** The client that has just been heard. */
  heard(from: Buffer, now: number): Client {
    const client = this.#byId.get(from) ?? this.#byKey.get(textOf(from)) ?? this.#add(from, now);
    client.lastSeen = now;
    return client;
  }

  nextWakeUp(): number | undefined {
    return this.#beats.first?.beatAt;
  }

  tick(now: number): void {
    const { heartbeatInterval, liveness } = this.#limits;
    for (let client = this.#beats.first; client !== undefined; client = this.#beats.first) {
      if (client.beatAt > now) break;
      if (now - client.lastSeen < heartbeatInterval * liveness) {
        client.beatAt = now + heartbeatInterval;
        this.#beats.push(client.beatLink);
        continue;
      }
      client.beatLink.unlink();
      this.#byKey.delete(client.key);
      this.#byId.delete(client.routingId);
      this.#onGone(client);
    }
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
