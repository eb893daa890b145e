/**
 * Which node a discovery client is connected to, and when it tries another. Pure: what connections do and the time go in; connect,
 * disconnect, requests and events come out.
 *
 *   TRYING ──list──> CONNECTED ──lost, refused, draining──> TRYING        CONNECTED ──better one found──> MOVING ──list──> CONNECTED
 *     └──every address tried `cycleCount` times──> RESTING ──pause──> TRYING
 *
 * A round is every address once, shuffled: those of the nodes that are known, then the initial ones, and a few of the nodes that the node
 * before knew of and the next one did not: that one may have met nobody yet, or be cut off from all others, when it goes as well. An
 * address gets 1 + `retries` attempts with `connectionDelay` between them. The first list moves the client to a node by lot, so that clients which
 * all know one node spread over all of them; later it stays where it is, until that node goes. After a rest it moves only where the list
 * has nodes that it could not choose from.
 *
 * An attempt has `attemptTimeout`. A server whose system takes the connection and which does not answer in time is stopped or busy. It is busy
 * when thousands of clients come at once, as after a node was killed, and to begin again elsewhere makes more of the same work: so each
 * attempt that ended in this way doubles the time of those that follow, and a server that finished the handshake has the longest time. One
 * that cannot be reached at all costs `attemptTimeout`, however often.
 */
import { backOff } from "../../core/back-off.js";
import type { DiscoveredNode } from "./description.js";
import type { NodeUpdate } from "./protocol.js";

/** ms of the first pause after rounds in vain; it doubles up to the longest one, or `refreshInterval` where that is less. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 8_000;
/** ms that an attempt gets at most, unless `attemptTimeout` is longer. */
export const LONGEST_ATTEMPT = 8_000;
/** Endpoints of a round that the current node's list does not have. */
const MAX_FORMER = 4;

export interface ClientSettings {
  /** Endpoints, in their order. */
  readonly addresses: readonly string[];
  readonly retries: number;
  readonly connectionDelay: number;
  readonly cycleCount: number;
  readonly refreshInterval: number;
  readonly attemptTimeout: number;
}

/** Why a connection was left. */
export type NodeLossReason =
  /** Its connection ended, or it gave no sign of life. */
  | "disconnected"
  /** It did not answer within `attemptTimeout`. */
  | "timeout"
  /** It refused the credentials. */
  | "refused"
  /** What it sent was not a list. */
  | "invalid"
  /** It takes nothing new. */
  | "draining";

export interface ClientEffects {
  /** Opens a connection and asks for the list. @param attempt names it in what follows */
  connect(endpoint: string, attempt: number): void;
  disconnect(attempt: number): void;
  /** Asks for the whole list over a connection. */
  refresh(attempt: number): void;
  connected(node: DiscoveredNode | undefined, endpoint: string): void;
  lost(node: DiscoveredNode | undefined, endpoint: string, reason: NodeLossReason): void;
  /** An attempt failed. */
  refused(endpoint: string, reason: NodeLossReason): void;
  changed(joined: readonly DiscoveredNode[], left: readonly DiscoveredNode[]): void;
  /** Every address was tried in vain. */
  failed(attempts: number): void;
}

interface Attempt {
  readonly number: number;
  readonly endpoint: string;
  /** Until when the list has to be there. */
  deadline: number;
  /** Whether the system there has taken the connection. */
  isTaken: boolean;
  /** Which node it is, by its own statement; empty before the list. */
  node: string;
}

const NEVER = Number.POSITIVE_INFINITY;
/** Doublings of an attempt's time: past them it is the longest one for every `attemptTimeout`. */
const MAX_DOUBLINGS = 13;

export class DiscoveryClientRules {
  readonly #settings: ClientSettings;
  readonly #effects: ClientEffects;
  readonly #random: () => number;
  #nodes: ReadonlyMap<string, DiscoveredNode> = new Map();
  /** Endpoints of nodes that the node before knew of and the next one did not. */
  #former: readonly string[] = [];
  #revision = -1;
  #attempts = 0;
  #current: Attempt | undefined;
  /** The one that is tried, while there is no current one, or to move to. */
  #trying: Attempt | undefined;
  /** What is left of the round. */
  #round: string[] = [];
  #retriesLeft = 0;
  #cycle = 0;
  #triedSince = 0;
  #rests = 0;
  /** Attempts since the last list that a system took and no server answered in time. */
  #slow = 0;
  /** When the next attempt is due. */
  #nextAt = NEVER;
  #refreshAt = NEVER;
  #learned = false;
  /** Whether the next list is the first one, after which it moves. */
  #mayMove = true;
  /** Where it moves, and when that is tried again, if the server there was busy. */
  #destination: string | undefined;
  #moveAt = NEVER;
  #movesInVain = 0;

  constructor(settings: ClientSettings, effects: ClientEffects, random: () => number) {
    this.#settings = settings;
    this.#effects = effects;
    this.#random = random;
  }

  /** Those of the last list. */
  get nodes(): readonly DiscoveredNode[] {
    return [...this.#nodes.values()];
  }

  /** Whether there was a list at all. */
  get learned(): boolean {
    return this.#learned;
  }

  get connected(): boolean {
    return this.#current !== undefined;
  }

  /** The node that it is connected to; `undefined` also for one that the list does not have. */
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

  /** A list or a change of it came over a connection. */
  onUpdate(now: number, attempt: number, update: NodeUpdate): void {
    const isNew = this.#trying?.number === attempt;
    if (!isNew && this.#current?.number !== attempt) return;
    if (isNew) {
      if (update.from !== undefined) return; // The list comes first.
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
      // One that it went to by lot is as good as another.
      if (this.#fit().some(({ id }) => !before.has(id))) this.#moveByLot(now);
    } else if (current?.draining === true) this.#leaveDraining(now);
  }

  /** The system at the other end took the connection; `isServed`: its server finished the handshake. */
  onProgress(now: number, attempt: number, isServed: boolean): void {
    const trying = this.#trying;
    if (trying?.number !== attempt) return;
    trying.isTaken = true;
    // From now on: where that took long, this process or the network is busy, not the server.
    trying.deadline = now + this.#patience(isServed);
  }

  /** A connection ended, was refused or gave nothing. */
  onEnd(now: number, attempt: number, reason: NodeLossReason): void {
    if (this.#trying?.number === attempt) {
      const { endpoint, isTaken } = this.#trying;
      if (isTaken && reason === "timeout") this.#slow += 1;
      this.#trying = undefined;
      this.#effects.disconnect(attempt);
      this.#effects.refused(endpoint, reason);
      if (this.#current !== undefined) {
        // One that would have been better; the current one goes on.
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
    // Another one may be on its way already.
    if (this.#trying === undefined) this.#next(now);
  }

  // --- Rounds --------------------------------------------------------------------------------------------------------

  /** @param last an endpoint that failed just now: the others come first */
  #beginRound(last: string | undefined): void {
    this.#cycle = 1;
    this.#triedSince = 0;
    this.#round = this.#shuffled(last);
    this.#retriesLeft = this.#settings.retries;
  }

  #shuffled(last: string | undefined): string[] {
    const known = [...this.#nodes.values()].filter(({ discovery }) => discovery.length > 0);
    // Of all nodes the best address first: the others are for those that this client cannot reach by it.
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

  /** The next address of the round, of the next cycle, or a pause. */
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
    // The nodes may be others then: the first list decides again.
    this.#mayMove = true;
    this.#beginRound(undefined);
    this.#nextAt = now + pause;
    this.#effects.failed(tried);
  }

  #pause(times: number): number {
    const longest = Math.min(LONGEST_PAUSE, this.#settings.refreshInterval);
    return backOff(times, Math.min(FIRST_PAUSE, longest), longest, this.#random);
  }

  /** ms that an attempt has, once a system took its connection. */
  #patience(isServed: boolean): number {
    const { attemptTimeout } = this.#settings;
    const longest = Math.max(attemptTimeout, LONGEST_ATTEMPT);
    return isServed ? longest : Math.min(attemptTimeout * 2 ** Math.min(this.#slow, MAX_DOUBLINGS), longest);
  }

  /** At once without a delay, but not within the call that reported the end. */
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

  // --- Being connected -----------------------------------------------------------------------------------------------

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
    // Not all clients of a node at one time.
    this.#refreshAt = now + this.#settings.refreshInterval * (0.5 + this.#random() / 2);
    if (before !== undefined) this.#effects.disconnect(before.number);
  }

  #apply({ revision, from, nodes, gone }: NodeUpdate): void {
    if (from !== undefined && from !== this.#revision) {
      // Some were missed.
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

  /** @param before the list of the node before */
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

  /** Clients that all stayed where they are, since the other servers were busy, would never be spread evenly. */
  #moveLater(now: number): void {
    this.#moveAt = now + this.#pause(this.#movesInVain);
    this.#movesInVain += 1;
  }

  /** Nodes that it may go to. */
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
