/**
 * State machine of a discovery client (docs/discovery.md).
 *
 *   TRYING ──list──> CONNECTED ──lost, refused, draining──> TRYING        CONNECTED ──better one found──> MOVING ──list──> CONNECTED
 *     └──every address tried `cycleCount` times──> RESTING ──pause──> TRYING
 *
 * A round tries every address once, shuffled: known nodes, initial addresses, and a few nodes that only the
 * previous node knew. After its first list a client moves to a random node; after a rest only if the list has
 * new nodes.
 *
 * A server that accepts but does not answer within `attemptTimeout` may be busy, such as when thousands of
 * clients fail over. Moving on adds load: each such attempt doubles later times, and a finished handshake
 * gets the longest.
 */
import { backOff } from "../../core/back-off.js";
import type { DiscoveredNode } from "./description.js";
import type { NodeUpdate } from "./protocol.js";

/** ms, doubled up to the longest or `refreshInterval`. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 8_000;
/** Unless `attemptTimeout` is longer. */
export const LONGEST_ATTEMPT = 8_000;
/** Per round. */
const MAX_FORMER = 4;

export interface ClientSettings {
  readonly addresses: readonly string[];
  readonly retries: number;
  readonly connectionDelay: number;
  readonly cycleCount: number;
  readonly refreshInterval: number;
  readonly attemptTimeout: number;
}

export type NodeLossReason =
  /** It ended or fell silent. */
  | "disconnected"
  /** No answer within `attemptTimeout`. */
  | "timeout"
  /** Credentials were refused. */
  | "refused"
  /** The answer was not a list. */
  | "invalid"
  | "draining";

export interface ClientEffects {
  /** Connects and requests the list. */
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
  /** The remote system accepted the connection. */
  isTaken: boolean;
  /** Empty before the list. */
  node: string;
}

const NEVER = Number.POSITIVE_INFINITY;
/** Reaches the longest time from any `attemptTimeout`. */
const MAX_DOUBLINGS = 13;

export class DiscoveryClientRules {
  readonly #settings: ClientSettings;
  readonly #effects: ClientEffects;
  readonly #random: () => number;
  #nodes: ReadonlyMap<string, DiscoveredNode> = new Map();
  /** Endpoints that only the previous node knew. */
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
  /** Accepted attempts without a timely answer. */
  #slow = 0;
  #nextAt = NEVER;
  #refreshAt = NEVER;
  #learned = false;
  #mayMove = true;
  /** Of a move; its server may be busy. */
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
      if (update.from !== undefined) return; // A change needs a list first.
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
      // The earlier random choice stands.
      if (this.#fit().some(({ id }) => !before.has(id))) this.#moveByLot(now);
    } else if (current?.draining === true) this.#leaveDraining(now);
  }

  /** @param isServed the server finished the handshake */
  onProgress(now: number, attempt: number, isServed: boolean): void {
    const trying = this.#trying;
    if (trying?.number !== attempt) return;
    trying.isTaken = true;
    // Earlier delays are this process's or the network's.
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
        // The move failed.
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

  /** @param last just failed, so it is tried last */
  #beginRound(last: string | undefined): void {
    this.#cycle = 1;
    this.#triedSince = 0;
    this.#round = this.#shuffled(last);
    this.#retriesLeft = this.#settings.retries;
  }

  #shuffled(last: string | undefined): string[] {
    const known = [...this.#nodes.values()].filter(({ discovery }) => discovery.length > 0);
    // Best addresses first.
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
    // The next list decides about a move.
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

  /** Outside of the call that reported the end. */
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
    // Random: a node's clients must not refresh together.
    this.#refreshAt = now + this.#settings.refreshInterval * (0.5 + this.#random() / 2);
    if (before !== undefined) this.#effects.disconnect(before.number);
  }

  #apply({ revision, from, nodes, gone }: NodeUpdate): void {
    if (from !== undefined && from !== this.#revision) {
      // An update was missed.
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

  /** Clients must spread evenly, even if servers were busy. */
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
