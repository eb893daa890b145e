/**
 * State machine of a discovery client, which selects a node (docs/discovery.md). Pure.
 *
 *   TRYING ──list──> CONNECTED ──lost, refused, draining──> TRYING        CONNECTED ──better one found──> MOVING ──list──> CONNECTED
 *     └──every address tried `cycleCount` times──> RESTING ──pause──> TRYING
 *
 * A round tries every address once, shuffled: known nodes, the initial addresses, and a few nodes that only the
 * previous node knew, since the current one may be cut off or new. After its first list a client moves to a random
 * node, then stays; after a rest it moves only if the list has new nodes.
 *
 * A server that accepts a connection but does not answer within `attemptTimeout` is stopped or busy, for example when
 * thousands of clients fail over at once. Trying elsewhere would add to that load, so each such attempt doubles the
 * time of later ones, and a server that finished the handshake gets the longest time.
 */
import { backOff } from "../../core/back-off.js";
import type { DiscoveredNode } from "./description.js";
import type { NodeUpdate } from "./protocol.js";

/** After failed rounds; doubles up to the longest, or to `refreshInterval` if that is less. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 8_000;
/** Unless `attemptTimeout` is longer. */
export const LONGEST_ATTEMPT = 8_000;
/** Endpoints per round that the current node's list lacks. */
const MAX_FORMER = 4;

export interface ClientSettings {
  readonly addresses: readonly string[];
  readonly retries: number;
  readonly connectionDelay: number;
  readonly cycleCount: number;
  readonly refreshInterval: number;
  readonly attemptTimeout: number;
}

/** Why a connection was left. */
export type NodeLossReason =
  /** The connection ended or fell silent. */
  | "disconnected"
  /** No answer within `attemptTimeout`. */
  | "timeout"
  /** The node refused the credentials. */
  | "refused"
  /** The answer was not a list. */
  | "invalid"
  | "draining";

export interface ClientEffects {
  /** Connects and requests the list; `attempt` identifies the connection later. */
  connect(endpoint: string, attempt: number): void;
  disconnect(attempt: number): void;
  refresh(attempt: number): void;
  connected(node: DiscoveredNode | undefined, endpoint: string): void;
  lost(node: DiscoveredNode | undefined, endpoint: string, reason: NodeLossReason): void;
  refused(endpoint: string, reason: NodeLossReason): void;
  changed(joined: readonly DiscoveredNode[], left: readonly DiscoveredNode[]): void;
  failed(attempts: number): void;
}

interface Attempt {
  readonly number: number;
  readonly endpoint: string;
  deadline: number;
  /** Whether the remote system accepted the connection. */
  isTaken: boolean;
  /** Empty before the list. */
  node: string;
}

const NEVER = Number.POSITIVE_INFINITY;
/** Doublings that reach the longest time from any `attemptTimeout`. */
const MAX_DOUBLINGS = 13;

export class DiscoveryClientRules {
  readonly #settings: ClientSettings;
  readonly #effects: ClientEffects;
  readonly #random: () => number;
  #nodes: ReadonlyMap<string, DiscoveredNode> = new Map();
  /** Endpoints that the previous node knew, but not the current one. */
  #former: readonly string[] = [];
  #revision = -1;
  #attempts = 0;
  #current: Attempt | undefined;
  #trying: Attempt | undefined;
  #round: string[] = [];
  #retriesLeft = 0;
  #cycle = 0;
  #triedSince = 0;
  #rests = 0;
  /** Accepted attempts without a timely answer since the last list. */
  #slow = 0;
  #nextAt = NEVER;
  #refreshAt = NEVER;
  #learned = false;
  #mayMove = true;
  /** Destination of a move, and when to retry it if its server was busy. */
  #destination: string | undefined;
  #moveAt = NEVER;
  #movesInVain = 0;

  constructor(settings: ClientSettings, effects: ClientEffects, random: () => number) {
    this.#settings = settings;
    this.#effects = effects;
    this.#random = random;
  }

  get nodes(): readonly DiscoveredNode[] {
    return [...this.#nodes.values()];
  }

  get learned(): boolean {
    return this.#learned;
  }

  get connected(): boolean {
    return this.#current !== undefined;
  }

  get current(): DiscoveredNode | undefined {
    return this.#current && this.#nodes.get(this.#current.node);
  }

  start(now: number): void {
    this.#beginRound(undefined);
    this.#next(now);
  }

  nextWakeUp(): number {
    return Math.min(this.#nextAt, this.#trying?.deadline ?? NEVER, this.#refreshAt, this.#moveAt);
  }

  tick(now: number): void {
    if (this.#trying !== undefined && now >= this.#trying.deadline)
      this.onEnd(now, this.#trying.number, "timeout");
    if (now >= this.#nextAt) {
      this.#nextAt = NEVER;
      this.#next(now);
    }
    if (now >= this.#moveAt) {
      this.#moveAt = NEVER;
      const isThere = this.#fit().some(({ discovery: [first] }) => first === this.#destination);
      if (isThere && this.#trying === undefined) this.#try(now, this.#destination as string);
    }
    if (this.#current !== undefined && now >= this.#refreshAt) {
      this.#refreshAt = now + this.#settings.refreshInterval;
      this.#effects.refresh(this.#current.number);
    }
  }

  onUpdate(now: number, attempt: number, update: NodeUpdate): void {
    const isNew = this.#trying?.number === attempt;
    if (!isNew && this.#current?.number !== attempt) return;
    if (isNew) {
      if (update.from !== undefined) return; // A change needs a list.
      this.#arrive(now, this.#trying as Attempt);
    }
    if (this.#current !== undefined) this.#current.node = update.node;
    const before = this.#nodes;
    this.#apply(update);
    if (isNew) this.#remember(before);
    const { current } = this;
    if (isNew && this.#current !== undefined) this.#effects.connected(current, this.#current.endpoint);
    if (this.#trying !== undefined) return;
    if (this.#mayMove) {
      this.#mayMove = false;
      // The earlier random choice is as good as a new one.
      if (this.#fit().some(({ id }) => !before.has(id))) this.#moveByLot(now);
    } else if (current?.draining === true) this.#leaveDraining(now);
  }

  /** The remote system accepted the connection; `isServed`: its server finished the handshake. */
  onProgress(now: number, attempt: number, isServed: boolean): void {
    const trying = this.#trying;
    if (trying?.number !== attempt) return;
    trying.isTaken = true;
    // The time starts now: earlier delays are this process's or the network's.
    trying.deadline = now + this.#patience(isServed);
  }

  onEnd(now: number, attempt: number, reason: NodeLossReason): void {
    if (this.#trying?.number === attempt) {
      const { endpoint, isTaken } = this.#trying;
      if (isTaken && reason === "timeout") this.#slow += 1;
      this.#trying = undefined;
      this.#effects.disconnect(attempt);
      this.#effects.refused(endpoint, reason);
      if (this.#current !== undefined) {
        // The move failed; the current connection stays.
        if (isTaken && reason === "timeout" && endpoint === this.#destination) this.#moveLater(now);
        return;
      }
      if (this.#retriesLeft > 0) {
        this.#retriesLeft -= 1;
        this.#round.unshift(endpoint);
      } else this.#retriesLeft = this.#settings.retries;
      this.#soon(now, this.#round[0] === endpoint ? this.#settings.connectionDelay : 0);
      return;
    }
    if (this.#current?.number !== attempt) return;
    const { endpoint } = this.#current;
    const node = this.#nodes.get(this.#current.node);
    this.#current = undefined;
    this.#refreshAt = NEVER;
    this.#moveAt = NEVER;
    this.#effects.disconnect(attempt);
    this.#effects.lost(node, endpoint, reason);
    this.#beginRound(endpoint);
    if (this.#trying === undefined) this.#next(now);
  }

  // --- Rounds --------------------------------------------------------------------------------------------------------

  /** @param last endpoint that just failed, tried last */
  #beginRound(last: string | undefined): void {
    this.#cycle = 1;
    this.#triedSince = 0;
    this.#round = this.#shuffled(last);
    this.#retriesLeft = this.#settings.retries;
  }

  #shuffled(last: string | undefined): string[] {
    const known = [...this.#nodes.values()].filter(({ discovery }) => discovery.length > 0);
    // Every node's best address comes first; the others are fallbacks.
    const first = this.#shuffle(known.filter(({ draining }) => !draining));
    const list = [
      ...first.map(({ discovery }) => discovery[0] as string),
      ...first.flatMap(({ discovery }) => discovery.slice(1)),
      ...this.#shuffle([...this.#settings.addresses]),
      ...known.filter(({ draining }) => draining).flatMap(({ discovery }) => discovery),
      ...this.#former,
    ];
    const unique = [...new Set(list)];
    return last === undefined || !unique.includes(last)
      ? unique
      : [...unique.filter((each) => each !== last), last];
  }

  #shuffle<T>(list: T[]): T[] {
    for (let i = list.length - 1; i > 0; i--) {
      const j = Math.floor(this.#random() * (i + 1));
      [list[i], list[j]] = [list[j] as T, list[i] as T];
    }
    return list;
  }

  #next(now: number): void {
    if (this.#round.length === 0) {
      if (this.#cycle >= this.#settings.cycleCount) {
        this.#rest(now);
        return;
      }
      this.#cycle += 1;
      this.#round = this.#shuffled(undefined);
    }
    this.#triedSince += 1;
    this.#try(now, this.#round.shift() as string);
  }

  #rest(now: number): void {
    const pause = this.#pause(this.#rests);
    this.#rests += 1;
    const tried = this.#triedSince;
    // Nodes may have changed: the next list decides about a move again.
    this.#mayMove = true;
    this.#beginRound(undefined);
    this.#nextAt = now + pause;
    this.#effects.failed(tried);
  }

  #pause(times: number): number {
    const longest = Math.min(LONGEST_PAUSE, this.#settings.refreshInterval);
    return backOff(times, Math.min(FIRST_PAUSE, longest), longest, this.#random);
  }

  #patience(isServed: boolean): number {
    const { attemptTimeout } = this.#settings;
    const longest = Math.max(attemptTimeout, LONGEST_ATTEMPT);
    return isServed ? longest : Math.min(attemptTimeout * 2 ** Math.min(this.#slow, MAX_DOUBLINGS), longest);
  }

  /** Not within the call that reported the end. */
  #soon(now: number, delay: number): void {
    this.#nextAt = now + delay;
  }

  #try(now: number, endpoint: string): void {
    this.#attempts += 1;
    this.#trying = {
      number: this.#attempts,
      endpoint,
      deadline: now + this.#settings.attemptTimeout,
      isTaken: false,
      node: "",
    };
    this.#effects.connect(endpoint, this.#attempts);
  }

  // --- Connected -----------------------------------------------------------------------------------------------------

  #arrive(now: number, attempt: Attempt): void {
    const before = this.#current;
    this.#trying = undefined;
    this.#current = attempt;
    this.#nextAt = NEVER;
    this.#rests = 0;
    this.#slow = 0;
    this.#destination = undefined;
    this.#moveAt = NEVER;
    this.#movesInVain = 0;
    this.#revision = -1;
    // Random, so that a node's clients do not refresh together.
    this.#refreshAt = now + this.#settings.refreshInterval * (0.5 + this.#random() / 2);
    if (before !== undefined) this.#effects.disconnect(before.number);
  }

  #apply({ revision, from, nodes, gone }: NodeUpdate): void {
    if (from !== undefined && from !== this.#revision) {
      // Updates were missed.
      if (this.#current !== undefined) this.#effects.refresh(this.#current.number);
      return;
    }
    this.#revision = revision;
    const next = from === undefined ? new Map<string, DiscoveredNode>() : new Map(this.#nodes);
    for (const id of gone) next.delete(id);
    for (const node of nodes) next.set(node.id, node);
    const before = this.#nodes;
    const isFirst = !this.#learned;
    this.#nodes = next;
    this.#learned = true;
    const joined = [...next.values()].filter((node) => !isSame(before.get(node.id), node));
    const left = [...before.values()].filter(({ id }) => !next.has(id));
    if (isFirst || joined.length > 0 || left.length > 0) this.#effects.changed(joined, left);
  }

  /** @param before list of the previous node */
  #remember(before: ReadonlyMap<string, DiscoveredNode>): void {
    const left = [...before.values()].filter(({ id, draining }) => !draining && !this.#nodes.has(id));
    const endpoints = left
      .flatMap(({ discovery }) => discovery.slice(0, 1))
      .filter((endpoint) => !this.#settings.addresses.includes(endpoint));
    this.#former = [...new Set([...this.#shuffle(endpoints), ...this.#former])].slice(0, MAX_FORMER);
  }

  #moveByLot(now: number): void {
    const fit = this.#fit();
    const target = fit[Math.floor(this.#random() * fit.length)];
    const endpoint = target?.discovery[0];
    if (target === undefined || endpoint === undefined || this.current?.id === target.id) return;
    this.#destination = endpoint;
    this.#try(now, endpoint);
  }

  /** Clients that stay because other servers were busy would never spread evenly. */
  #moveLater(now: number): void {
    this.#moveAt = now + this.#pause(this.#movesInVain);
    this.#movesInVain += 1;
  }

  #fit(): DiscoveredNode[] {
    return [...this.#nodes.values()].filter(({ draining, discovery }) => !draining && discovery.length > 0);
  }

  #leaveDraining(now: number): void {
    const fit = this.#fit().filter(({ id }) => id !== this.current?.id);
    const endpoint = fit[Math.floor(this.#random() * fit.length)]?.discovery[0];
    if (endpoint !== undefined) this.#try(now, endpoint);
  }
}

function isSame(one: DiscoveredNode | undefined, other: DiscoveredNode): boolean {
  return one !== undefined && JSON.stringify(one) === JSON.stringify(other);
}
