/**
 * Publishes and subscribes for requesters of a control socket, which poll what is kept for them.
 *
 *   sub {filters, retained}      → {session, ready}           opens a client whose messages are kept
 *   sub {session, after, wait}   → {messages, next, missed}   messages after one; earlier ones are dropped
 *   sub {session, end}           → {}                         a session without requests ends by itself
 *
 * A slow reader misses messages, which are counted.
 */
import { randomInt } from "node:crypto";
import type { ClusterMessage, ClusterNode, MessageClient } from "../cluster/index.js";
import { withTimeout } from "../core/waiter.js";
import { InvalidArgumentError, InvalidStateError } from "../index.js";
import { bytesFromJson, bytesToJson } from "./format.js";

/** Each may keep a request pending; the control socket allows 64. */
const MAX_SESSIONS = 16;
/** Of a session. */
const MAX_KEPT = 16_384;
const MAX_KEPT_BYTES = 8_388_608;
/** One message is returned whatever its size. */
const MAX_REPLY_BYTES = 1_048_576;
const MAX_ROUTES = 4_096;
/** ms without a request. */
const SESSION_TIMEOUT = 30_000;
/** ms for other nodes to learn a subscription. */
const READY_TIME = 2_000;

/** A string if UTF-8. */
export type MessageData = string | { readonly base64: string };

export interface MessageLine {
  readonly topic: string;
  readonly data: MessageData;
}

export interface MessagesReply {
  readonly messages: readonly MessageLine[];
  readonly next: number;
  readonly missed: number;
  readonly ended?: true;
}

export interface NodeRoute {
  readonly filter: string;
  readonly nodes: readonly string[];
}

export type MessagingNode = Pick<ClusterNode, "publish" | "createClient" | "routes" | "member" | "self">;

class Session {
  readonly #client: MessageClient;
  readonly #onEnd: () => void;
  readonly #log = new KeptLog<MessageLine>(MAX_KEPT, MAX_KEPT_BYTES);
  #timer: NodeJS.Timeout | undefined;

  constructor(client: MessageClient, onEnd: () => void) {
    this.#client = client;
    this.#onEnd = onEnd;
    this.#extend(0);
  }

  /** @param retained whether retained values come first @returns whether the other nodes know the subscription */
  async subscribe(filters: readonly string[], retained: boolean): Promise<boolean> {
    const keep = ({ topic, data }: ClusterMessage): void =>
      this.#log.add({ topic, data: bytesToJson(data) }, data.length + topic.length);
    const ready = filters.map((filter) => this.#client.subscribe(filter, { retained }, keep).ready);
    try {
      return await withTimeout(Promise.all(ready), READY_TIME);
    } catch {
      return false; // The node left or closed, which the command prints.
    }
  }

  async next(after: number, wait: number): Promise<MessagesReply> {
    this.#log.forget(after);
    this.#extend(wait);
    const { entries, ...more } = await this.#log.after(after, wait, MAX_REPLY_BYTES);
    if (more.ended !== true) this.#extend(0);
    return { messages: entries, ...more };
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#client.close();
    this.#onEnd();
    this.#log.end();
  }

  #extend(wait: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.end(), SESSION_TIMEOUT + wait);
    this.#timer.unref();
  }
}

export class NodeMessages {
  readonly #node: MessagingNode;
  readonly #sessions = new Map<number, Session>();

  constructor(node: MessagingNode) {
    this.#node = node;
  }

  /** @returns number of receiving nodes, by message @throws the first failure */
  async publish(
    messages: readonly MessageLine[],
    retain = false,
  ): Promise<{ readonly nodes: readonly number[] }> {
    const publications = messages.map(({ topic, data }) => {
      const bytes = bytesFromJson(data);
      if (bytes === undefined)
        throw new InvalidArgumentError('the data of a message must be a text or {"base64":"…"}');
      return { topic, bytes };
    });
    const nodes: number[] = [];
    for (const { topic, bytes } of publications)
      nodes.push(await this.#node.publish(topic, bytes, { onFull: "wait", timeout: 1_000, retain }));
    return { nodes };
  }

  /** @throws InvalidArgumentError, InvalidStateError `ERR_TOO_MANY_PENDING` */
  async subscribe(
    filters: readonly string[],
    retained = false,
  ): Promise<{ readonly session: number; readonly ready: boolean }> {
    if (filters.length === 0) throw new InvalidArgumentError("expected a filter, or a session");
    if (this.#sessions.size >= MAX_SESSIONS)
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `${MAX_SESSIONS} subscribers are connected already`,
      );
    // No one reads another session by mistake.
    const id = randomInt(1, 2 ** 47);
    const session = new Session(this.#node.createClient(), () => void this.#sessions.delete(id));
    this.#sessions.set(id, session);
    try {
      return { session: id, ready: await session.subscribe(filters, retained) };
    } catch (error) {
      session.end();
      throw error;
    }
  }

  async next(session: number, after: number, wait: number): Promise<MessagesReply> {
    const known = this.#sessions.get(session);
    if (known === undefined)
      throw new InvalidStateError("EFSM", "the subscription has ended: subscribe again");
    return known.next(after, wait);
  }

  endSession(session: number): void {
    this.#sessions.get(session)?.end();
  }

  /** @param topic only matching filters */
  routes(topic: string | undefined): { readonly routes: readonly NodeRoute[] } {
    const node = this.#node;
    const nameOf = (id: string): string =>
      id === node.self.id ? node.self.name : (node.member(id)?.name ?? id);
    return {
      routes: node
        .routes({ topic, limit: MAX_ROUTES })
        .map(({ filter, nodes }) => ({ filter, nodes: nodes.map(nameOf).sort() })),
    };
  }

  end(): void {
    for (const session of [...this.#sessions.values()]) session.end();
  }
}

export interface KeptEntries<T> {
  readonly entries: readonly T[];
  /** Pass it as `seq` next time. */
  readonly next: number;
  /** Dropped entries before these. */
  readonly missed: number;
  /** No more entries follow. */
  readonly ended?: true;
}

/** A bounded log that a reader polls over a control socket. Entries that a slow reader misses are counted. */
export class KeptLog<T> {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #kept: { readonly seq: number; readonly entry: T; readonly bytes: number }[] = [];
  readonly #waiting = new Set<() => void>();
  #bytes = 0;
  #last = 0;
  #ended = false;

  /** One entry is kept whatever its size. */
  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
  }

  /** Number of the last entry, from 1; 0: none. */
  get last(): number {
    return this.#last;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  add(entry: T, bytes: number): void {
    this.#last += 1;
    this.#kept.push({ seq: this.#last, entry, bytes });
    this.#bytes += bytes;
    while (this.#kept.length > 1 && (this.#kept.length > this.#maxEntries || this.#bytes > this.#maxBytes))
      this.#drop();
    this.#wake();
  }

  forget(seq: number): void {
    while ((this.#kept[0]?.seq ?? Number.POSITIVE_INFINITY) <= seq) this.#drop();
  }

  /** Waits up to `wait` ms for entries after a number. @param maxBytes of them; one is returned whatever its size */
  async after(given: number, wait: number, maxBytes = Number.POSITIVE_INFINITY): Promise<KeptEntries<T>> {
    // A number from before a restart of the node is ahead of this one's.
    const seq = given > this.#last ? 0 : given;
    if (this.#last <= seq && !this.#ended)
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, wait);
        this.#waiting.add(done);
      });
    const later = this.#kept.filter((each) => each.seq > seq);
    const entries: T[] = [];
    let next = seq;
    let left = maxBytes;
    for (const { seq: own, entry, bytes } of later) {
      left -= bytes;
      if (entries.length > 0 && left < 0) break;
      entries.push(entry);
      next = own;
    }
    const missed = Math.max(0, (later[0]?.seq ?? 0) - seq - 1);
    return { entries, next, missed, ...(this.#ended ? { ended: true } : {}) };
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  #drop(): void {
    this.#bytes -= this.#kept.shift()?.bytes ?? 0;
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
