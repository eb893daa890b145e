/**
 * Who is connected to the discovery servers of which node: each node knows its own clients, and asks the others when the
 * program does. Pure: bytes go in and out, the caller has the timer.
 *
 * Asked and not replicated. 10,000 clients over 4 nodes are 1.1 MB of entries: an answer takes 20 packets of each node and
 * some 30 ms, when somebody wants it. To replicate them, each node would hold all of them, and every client that comes, goes or
 * fails over would be a packet to every other node, over a stream that is open for nothing else. What a node reports
 * of itself is never stale either, and the clients of a node that dies go with it.
 *
 *   ask      {"ask":SEQ}                                                    over DATA, plane CLIENTS
 *   answer   {"answer":SEQ,"part":N,"last":BOOLEAN,"clients":[{"id","name","address","since"}…]}
 */
import { InvalidStateError } from "../../core/errors.js";

/** Clients in one part of an answer. */
const PART = 128;
/** Asks at a time; a further one is refused. */
const MAX_ASKS = 16;
/** Clients of one node that are believed; further ones are dropped. */
const MAX_ROSTER = 65_536;
/** Clients in answers to one member: in a second, and at once after some seconds without an ask. One more answer is given as long as any are left. */
const ANSWER_RATE = 65_536;
const ANSWER_BURST = 262_144;
/** Bytes of an id, a name and an address of a client, as another node gives them. */
const MAX_TEXT = 256;

/** A client of a node's own discovery server. */
export interface OwnClient {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly since: number;
}

/** The discovery server of a node, as the node sees it. */
export interface OwnDiscovery {
  clients(): Iterable<OwnClient>;
  /** A member, or this node itself, may have changed. */
  changed(): void;
  /** The node leaves: its list of nodes is no longer true. */
  nodeOnClose(linger: number): Promise<void>;
}

/** A program that is connected to the discovery server of a node. */
export interface ClusterClient {
  /** What it calls itself: 32 hexadecimal digits of a {@link DiscoveryClient}, for one life of it. */
  readonly id: string;
  /** Its name; empty where it gave none. */
  readonly name: string;
  /** `name@host` of the node. */
  readonly node: string;
  /** Where it came from, without a port; empty where the engine does not know. */
  readonly address: string;
  /** Wall clock of the node in ms when it connected. */
  readonly since: number;
}

/** What `clients()` of a node gives. */
export interface ClusterClients {
  /** By node, and by their time. */
  readonly clients: readonly ClusterClient[];
  /** `name@host` of the nodes that have a discovery server and did not answer in time. */
  readonly missing: readonly string[];
}

/** A node to be asked. */
export interface RosterMember {
  readonly id: string;
  readonly name: string;
}

export interface RosterEffects {
  /** To a live member. @returns whether there is one */
  send(id: string, data: Uint8Array): boolean;
  /** ms, monotonic. */
  now(): number;
}

interface Ask {
  readonly seq: number;
  /** Names of those that have not answered in full, by id. */
  readonly waiting: Map<string, string>;
  /** Parts that came of each, and how many there are once that is known. */
  readonly parts: Map<string, { came: Set<number>; total: number; clients: ClusterClient[] }>;
  readonly done: () => void;
}

/** An ask under way. */
export interface RosterAsk {
  /** Settles when all have answered or are gone. */
  readonly complete: Promise<void>;
  /** Ends it. @returns what came until now */
  end(): ClusterClients;
}

export class ClientRoster {
  readonly #effects: RosterEffects;
  readonly #asks = new Map<number, Ask>();
  /** How many clients members may be answered, and since when. */
  readonly #credits = new Map<string, { left: number; at: number }>();
  #seq = 0;
  /** The clients of this node; `undefined`: it has no discovery server. */
  own: (() => Iterable<OwnClient>) | undefined;

  constructor(effects: RosterEffects) {
    this.#effects = effects;
  }

  /**
   * @param self this node's name @param members that have a discovery server
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING`
   */
  ask(self: string, members: readonly RosterMember[]): RosterAsk {
    if (this.#asks.size >= MAX_ASKS)
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `${MAX_ASKS} calls of clients() wait for their answers already`,
      );
    this.#seq = (this.#seq + 1) >>> 0;
    const seq = this.#seq;
    let done = (): void => undefined;
    const complete = new Promise<void>((resolve) => {
      done = resolve;
    });
    const waiting = new Map(members.map(({ id, name }) => [id, name]));
    const ask: Ask = { seq, waiting, parts: new Map(), done };
    this.#asks.set(seq, ask);
    const question = Buffer.from(JSON.stringify({ ask: seq }));
    for (const { id } of members) if (!this.#effects.send(id, question)) waiting.delete(id);
    if (waiting.size === 0) done();
    const own = [...(this.own?.() ?? [])].map((client) => Object.freeze({ ...client, node: self }));
    return {
      complete,
      end: () => {
        this.#asks.delete(seq);
        done();
        const others = [...ask.parts.values()].flatMap(({ clients }) => clients);
        return Object.freeze({
          clients: Object.freeze(once([...own, ...others])),
          missing: Object.freeze([...waiting.values()]),
        });
      },
    };
  }

  /** A member is gone: nobody waits for its answer, and its clients are no longer there. */
  onGone(id: string): void {
    this.#credits.delete(id);
    for (const ask of this.#asks.values()) {
      ask.parts.delete(id);
      this.#answered(ask, id);
    }
  }

  /** The node closes: nobody is waited for. */
  close(): void {
    for (const ask of this.#asks.values()) ask.done();
  }

  /** @param from a live member's id @returns whether the bytes were understood */
  onData(from: string, name: string, data: Uint8Array): boolean {
    let value: { readonly ask?: unknown; readonly answer?: unknown } | null;
    try {
      value = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("utf8"));
    } catch {
      return false; // Not JSON: the caller reports it as invalid.
    }
    if (typeof value !== "object" || value === null) return false;
    if (isSeq(value.ask)) {
      this.#answer(from, value.ask);
      return true;
    }
    return this.#onAnswer(from, name, value);
  }

  /** A member asks as often as it likes, in some bytes, and each answer is made for it: past its credit it gets none, and counts this node as missing. */
  #answer(to: string, seq: number): void {
    const now = this.#effects.now();
    const credit = this.#credits.get(to) ?? { left: ANSWER_BURST, at: now };
    this.#credits.set(to, credit);
    credit.left = Math.min(ANSWER_BURST, credit.left + ((now - credit.at) / 1_000) * ANSWER_RATE);
    credit.at = now;
    if (credit.left <= 0) return;
    const all = [...(this.own?.() ?? [])].slice(0, MAX_ROSTER);
    credit.left -= Math.max(all.length, PART);
    const parts = Math.max(1, Math.ceil(all.length / PART));
    for (let part = 0; part < parts; part++) {
      const clients = all.slice(part * PART, (part + 1) * PART);
      const last = part === parts - 1;
      if (!this.#effects.send(to, Buffer.from(JSON.stringify({ answer: seq, part, last, clients })))) return;
    }
  }

  #onAnswer(from: string, name: string, value: object): boolean {
    const { answer, part, last, clients } = value as Readonly<Record<string, unknown>>;
    if (!isSeq(answer) || !isSeq(part) || part > MAX_ROSTER / PART || !Array.isArray(clients)) return false;
    const ask = this.#asks.get(answer);
    if (ask === undefined || !ask.waiting.has(from)) return true; // Too late.
    const known = ask.parts.get(from) ?? { came: new Set<number>(), total: 0, clients: [] };
    ask.parts.set(from, known);
    if (known.came.has(part)) return true;
    known.came.add(part);
    if (last === true) known.total = part + 1;
    for (const each of clients.slice(0, PART)) {
      const client = clientOf(each, name);
      if (client !== undefined) known.clients.push(client);
    }
    if (known.total > 0 && known.came.size >= known.total) this.#answered(ask, from);
    return true;
  }

  #answered(ask: Ask, id: string): void {
    if (ask.waiting.delete(id) && ask.waiting.size === 0) ask.done();
  }
}

/** One that moves is connected twice for a moment: it is where it went last. */
function once(clients: readonly ClusterClient[]): ClusterClient[] {
  const last = new Map<string, ClusterClient>();
  for (const client of clients) {
    const { id, since } = client;
    if (id !== "" && since >= (last.get(id)?.since ?? 0)) last.set(id, client);
  }
  return clients.filter((client) => client.id === "" || last.get(client.id) === client);
}

function isSeq(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff_ffff;
}

function clientOf(value: unknown, node: string): ClusterClient | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { id, name, address, since } = value as Readonly<Record<string, unknown>>;
  const texts = [id, name, address];
  if (!texts.every((each) => typeof each === "string" && each.length <= MAX_TEXT)) return undefined;
  if (!Number.isSafeInteger(since)) return undefined;
  return Object.freeze({
    id: id as string,
    name: name as string,
    node,
    address: address as string,
    since: since as number,
  });
}
