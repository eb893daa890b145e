/**
 * State machine of a Binary Star: decides which of two servers is active, without sockets, timers or a clock.
 *
 *               hears 1      hears 2      hears 3      hears 4      a client's request
 *   1 PRIMARY   –            → 3          → 4          –            a vote
 *   2 BACKUP    –            –            → 4          –            refused; a vote once it was in a pair
 *   3 ACTIVE    –            –            fenced       –            served
 *   4 PASSIVE   → 3          → 3          –            fenced       a vote
 *
 * A vote counts until the peer's next state. With a vote, and a peer silent for its whole timeout (2 heartbeats), a
 * server becomes ACTIVE, after a short listening time: a pause of the process may have left states unread. For the same
 * reason the peer's 1 or 2 changes nothing in a server's first heartbeat, or in the first after a pause.
 *
 * Against two masters:
 *
 * 1. An ACTIVE server that hears an ACTIVE peer is *fenced*: it serves no one until the operator's `resolve`, and keeps
 *    publishing, which fences the peer. Two PASSIVE servers are fenced, too. The Guide's program aborts here.
 * 2. An ACTIVE server that published no state for the timeout less half a heartbeat is in *doubt*: its peer may serve.
 *    It answers no one until it knows. While the travel time of states varies by less than half a heartbeat, the doubt
 *    begins before the peer takes over. The Guide's program has no doubt.
 * 3. So only a network cut between the servers, with clients reaching both, makes two masters; the first states
 *    exchanged end it.
 *
 *   ACTIVE ──held up──> doubt: reads what came ──no 3──> sends 3 ──a heartbeat without a 3──> ACTIVE, as before
 *                               │                           └── hears 3: the peer took over ──> PASSIVE
 *                               ├── 3 came last ──> PASSIVE
 *                               ├── 3, then another: it served for a while ──> PRIMARY or BACKUP
 *                               └── nothing, and the replica may lack what the peer served ──> PRIMARY or BACKUP
 *
 * A take-over is published at once, and a state takes less than half a heartbeat each way: a heartbeat after its own 3
 * the doubting server has heard of it. For as long, a server that has just taken over is not fenced by a 3.
 *
 * A peer that restarted during the pause is heard after the reconnect. Until then, for its timeout at most, or until
 * the peer is known to be absent, a doubting server does not send its 3.
 */
import { InvalidStateError } from "../../core/errors.js";
import type { BINARY_STAR } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";

// --- States on the wire ----------------------------------------------------------------------------------------------

/**
 * The two servers of a Binary Star publish their states to each other, over PUB and SUB in both directions. A state is a
 * frame with one byte:
 *
 *   31  PRIMARY   the primary has not heard from its backup yet
 *   32  BACKUP    the backup has not heard from its primary yet
 *   33  ACTIVE    the server serves
 *   34  PASSIVE   the server stands by
 *
 * The Guide's bstar has the same states; no RFC defines them. A replica's position is a second frame.
 */
export const BinaryStarState = { PRIMARY: 1, BACKUP: 2, ACTIVE: 3, PASSIVE: 4 } as const;

export type BinaryStarState = (typeof BinaryStarState)[keyof typeof BinaryStarState];

const ZERO = 0x30;

export function encodeState(state: BinaryStarState): Buffer {
  return Buffer.of(ZERO + state);
}

/** @returns `undefined` unless the first of `count` frames is one digit from 1 to 4 */
export function parseState(frames: readonly Uint8Array[], count = 1): BinaryStarState | undefined {
  const [frame] = frames;
  if (frames.length !== count || frame?.length !== 1) return undefined;
  const digit = (frame[0] as number) - ZERO;
  return digit >= BinaryStarState.PRIMARY && digit <= BinaryStarState.PASSIVE
    ? (digit as BinaryStarState)
    : undefined;
}

// --- Rules -----------------------------------------------------------------------------------------------------------

/** Heartbeats between a doubt and the peer's take-over; also the age of possibly unread states. */
const MARGIN = 0.5;

/** Heartbeats of listening before a vote makes a server active. */
const LISTEN = 0.1;
/** ms at least: timers may be late. */
const MIN_LISTEN = 10;

export type BinaryStarRole = "primary" | "backup";
export type BinaryStarFenceReason = "dual-active" | "dual-passive" | "foreign";
/** `hold`: until its vote is decided. */
export type BinaryStarAdmission = "serve" | "hold" | "refuse";
/** Why a state changed. */
export type BinaryStarReason =
  | "peer"
  /** The peer is silent and a client sent a request. */
  | "fail-over"
  | "hand-over"
  | "resolved"
  /** This process paused: a doubt begins, or ends without a take-over. */
  | "stalled";

/** This replica compared with the peer's; `foreign`: diverged. */
export type BinaryStarOrder = "newer" | "same" | "older" | "foreign";

/**
 * State that a fail-over must not lose, such as a map. Its position is published with each state, and compared before
 * a server becomes ACTIVE. Without a replica the roles decide.
 *
 *   waiting  hears waiting   newer, or the same and the primary  → ACTIVE
 *            hears ACTIVE    not newer → PASSIVE; newer: the peer steps down
 *   ACTIVE   hears waiting   older → waiting: the peer serves
 *   PASSIVE  hears waiting   not older → ACTIVE; older for half a heartbeat → waiting: the peer serves
 *
 * A newer server that only hears its peer's PASSIVE does nothing: a peer that does not hear it could take over.
 */
export interface BinaryStarReplica {
  /** For the peer's `compare`. */
  position(): Uint8Array;
  /**
   * Called for each state of the peer.
   * @returns `undefined` for an unreadable position, as an error does: the peer counts as silent
   */
  compare(peer: BinaryStarState, theirs: Uint8Array, own: BinaryStarState): BinaryStarOrder | undefined;
  /**
   * Whether a client's request may make this server ACTIVE while its peer is silent. For an ACTIVE one: whether it may
   * go on after a pause since which nothing was heard of the peer, which may have served and be gone.
   */
  mayTakeOver(own: BinaryStarState): boolean;
  /** `passive`: this replica yields to the peer's, even if newer. */
  resolved(choice: "active" | "passive"): void;
}

export interface BinaryStarEffects {
  publish(state: BinaryStarState): void;
  /** The state, the fence or the doubt has changed. Called before queued requests are served. */
  changed(reason: BinaryStarReason | BinaryStarFenceReason): void;
  votesDropped(): void;
  /** Neither will serve. Called once per occurrence. */
  sameRole(role: BinaryStarRole): void;
}

export interface BinaryStarRulesOptions {
  readonly role: BinaryStarRole;
  /** ms between published states. */
  readonly heartbeatInterval: number;
  /** Heartbeats of silence before the peer counts as gone. */
  readonly liveness: number;
  readonly replica?: BinaryStarReplica | undefined;
}

/** `listening`: reads what came, and publishes nothing. `asking`: has published its 3. Each until `at`. */
type Doubt =
  | { readonly step: "certain" }
  /** `since`: end of the last pause. `caughtUp`: all that came in it was read. `rival`: a 3 was received. */
  | {
      readonly step: "listening";
      readonly since: number;
      readonly at: number;
      readonly caughtUp: boolean;
      readonly rival: boolean;
    }
  | { readonly step: "asking"; readonly at: number };

const CERTAIN: Doubt = { step: "certain" };

export type BinaryStarRulesStats = Omit<StatisticsOf<typeof BINARY_STAR>, "state" | "invalid">;

export class BinaryStarRules {
  readonly #effects: BinaryStarEffects;
  readonly #role: BinaryStarRole;
  readonly #replica: BinaryStarReplica | undefined;
  readonly #interval: number;
  readonly #peerTimeout: number;
  readonly #doubtAfter: number;
  #state: BinaryStarState;
  #fence: BinaryStarFenceReason | undefined = undefined;
  #peer: BinaryStarState | undefined = undefined;
  #peerExpiry: number;
  /** Until then a waiting peer's state may be outdated. */
  #oldWordsUntil: number;
  #publishAt: number;
  #publishedAt: number;
  readonly #listen: number;
  /** When a vote takes effect if the peer stays silent. */
  #failOverAt: number | undefined = undefined;
  #doubt: Doubt = CERTAIN;
  #tickedAt = Number.NEGATIVE_INFINITY;
  /** Of the peer's connection: it is up; a state arrived, or the peer is absent. */
  #connected = true;
  #hearsPeer = false;
  /** A PASSIVE server's waiting peer has been newer since; after a hand-over, updates may be on their way. */
  #behindSince: number | undefined = undefined;
  /** Until then a doubting peer may not have heard of this take-over. */
  #graceUntil = Number.NEGATIVE_INFINITY;
  /** Not a backup that was never paired: the primary may be slow to start. */
  #mayServeAlone: boolean;
  #sameRole = false;
  readonly #counts = { statesSent: 0, statesReceived: 0, failOvers: 0, stalls: 0, fences: 0 };

  constructor(options: BinaryStarRulesOptions, effects: BinaryStarEffects, now: number) {
    this.#effects = effects;
    this.#role = options.role;
    this.#replica = options.replica;
    this.#interval = options.heartbeatInterval;
    this.#peerTimeout = options.heartbeatInterval * options.liveness;
    this.#mayServeAlone = options.role === "primary";
    this.#doubtAfter = options.heartbeatInterval * (options.liveness - MARGIN);
    this.#listen = Math.max(MIN_LISTEN, options.heartbeatInterval * LISTEN);
    this.#state = this.#initial;
    this.#peerExpiry = now + this.#peerTimeout;
    this.#oldWordsUntil = now + options.heartbeatInterval;
    this.#publishAt = now;
    this.#publishedAt = now;
  }

  get state(): BinaryStarState {
    return this.#state;
  }

  get fence(): BinaryStarFenceReason | undefined {
    return this.#fence;
  }

  /** Time may have passed: call {@link request} first. */
  get serving(): boolean {
    return this.#state === BinaryStarState.ACTIVE && this.#fence === undefined && !this.doubting;
  }

  get doubting(): boolean {
    return this.#doubt.step !== "certain";
  }

  stillServing(now: number): boolean {
    this.#notice(now);
    return this.serving;
  }

  /** `undefined`: silent for the whole timeout. */
  peer(now: number): BinaryStarState | undefined {
    return now < this.#peerExpiry ? this.#peer : undefined;
  }

  /**
   * @param position of the peer's replica, if any
   * @returns `false` for an unreadable position: the message is ignored
   */
  receive(peer: BinaryStarState, now: number, position?: Uint8Array): boolean {
    this.#notice(now);
    const order = position === undefined ? undefined : this.#orderOf(peer, position);
    if (order === undefined && this.#replica !== undefined) return false;
    this.#counts.statesReceived += 1;
    // Else the state may be from an earlier life of the peer.
    if (this.#connected) this.#hearsPeer = true;
    this.#peer = peer;
    this.#peerExpiry = now + this.#peerTimeout;
    // The last of several unread states counts, in `tick`.
    if (this.#fence === undefined) this.#hear(peer, order, now);
    if (!this.serving) this.#dropVotes();
    return true;
  }

  /** Without a call it counts as up. @param isAbsent nothing listens at the peer's endpoint */
  connection(stands: boolean, isAbsent = false): void {
    this.#connected = stands;
    // The peer may have started since a refusal that is read after a pause.
    const isOld = this.#doubt.step === "listening" && !this.#doubt.caughtUp;
    this.#hearsPeer = !stands && isAbsent && !isOld;
  }

  publishNow(now: number): void {
    this.#notice(now);
    if (this.#doubt.step !== "listening") this.#publish(now);
  }

  request(now: number): BinaryStarAdmission {
    this.#notice(now);
    if (this.#fence !== undefined) return "refuse";
    if (this.#state === BinaryStarState.ACTIVE) return this.doubting ? "hold" : "serve";
    if (!this.#mayTakeOver) return "refuse";
    this.#failOverAt ??= Math.max(this.#peerExpiry, now + this.#listen);
    return "hold";
  }

  /** @param readUntil everything received before it has been read */
  tick(now: number, readUntil = now): void {
    this.#notice(now);
    this.#tickedAt = now;
    if (this.#failOverAt !== undefined && readUntil >= this.#failOverAt) {
      if (!this.#mayTakeOver) this.#dropVotes();
      // A doubting peer's state must be read.
      else if (now - readUntil <= this.#interval * MARGIN) this.#failOver(now);
    }
    const doubt = this.#doubt;
    if (doubt.step === "listening") {
      if (readUntil >= doubt.at) this.#endListening(doubt, now);
      return;
    }
    if (doubt.step === "asking" && readUntil >= doubt.at) {
      this.#doubt = CERTAIN;
      this.#effects.changed("stalled");
    }
    if (now >= this.#publishAt) this.#publish(now);
  }

  nextWakeUp(): number {
    const { step } = this.#doubt;
    const decideAt = this.#doubt.step === "certain" ? this.#failOverAt : this.#doubt.at;
    let next = decideAt ?? Number.POSITIVE_INFINITY;
    if (next <= this.#tickedAt) next = this.#tickedAt + this.#listen; // What came in time was not read yet.
    return step === "listening" ? next : Math.min(this.#publishAt, next);
  }

  /**
   * The ACTIVE server acts as newly started, so that the PASSIVE one takes over by the Guide's rules.
   * @throws InvalidStateError `EFSM` when it is not active, or no PASSIVE peer was heard lately
   */
  handOver(now: number): void {
    this.#notice(now);
    if (!this.serving) throw refusal("hand over", "it does not serve");
    if (this.peer(now) !== BinaryStarState.PASSIVE) throw refusal("hand over", "no passive peer is there");
    this.#become(this.#initial, "hand-over", now);
    this.#peerExpiry = now + this.#peerTimeout; // Votes must not bring the service back first.
    this.#publish(now);
  }

  /** @throws InvalidStateError `EFSM` when there is nothing to resolve, or the peer's state contradicts the choice */
  resolve(choice: "active" | "passive", now: number): void {
    this.#notice(now);
    const waits = this.#state === BinaryStarState.PRIMARY || this.#state === BinaryStarState.BACKUP;
    const peer = this.peer(now);
    // Only the operator can decide for an incomplete server without its peer.
    const stranded = choice === "active" && this.#state === BinaryStarState.PASSIVE && peer === undefined;
    if (this.#fence === undefined && !waits && !(stranded && this.#replica !== undefined))
      throw refusal("resolve", "it is neither fenced nor waiting");
    if (choice === "active" && peer !== undefined && peer !== BinaryStarState.PASSIVE)
      throw refusal("resolve as active", "its peer is not passive; resolve the peer first, or stop it");
    if (choice === "passive" && peer === BinaryStarState.PASSIVE)
      throw refusal("resolve as passive", "its peer is passive, too; resolve one of them as active");
    this.#fence = undefined;
    this.#replica?.resolved(choice);
    this.#become(choice === "active" ? BinaryStarState.ACTIVE : BinaryStarState.PASSIVE, "resolved", now);
    this.#peerExpiry = now + this.#peerTimeout;
    this.#publish(now);
  }

  stats(): BinaryStarRulesStats {
    return { ...this.#counts };
  }

  get #initial(): BinaryStarState {
    return this.#role === "primary" ? BinaryStarState.PRIMARY : BinaryStarState.BACKUP;
  }

  get #mayTakeOver(): boolean {
    if (this.#replica !== undefined) return this.#replica.mayTakeOver(this.#state);
    return this.#state !== BinaryStarState.BACKUP || this.#mayServeAlone;
  }

  #orderOf(peer: BinaryStarState, position: Uint8Array): BinaryStarOrder | undefined {
    try {
      return this.#replica?.compare(peer, position, this.#state);
    } catch {
      return undefined; // The peer wrote what the program could not read.
    }
  }

  /** @param order `undefined` if roles decide */
  #hear(peer: BinaryStarState, order: BinaryStarOrder | undefined, now: number): void {
    const same = peer === this.#initial && this.#state === this.#initial;
    if (same && !this.#sameRole) this.#effects.sameRole(this.#role);
    this.#sameRole = same;
    const waits =
      (peer === BinaryStarState.PRIMARY || peer === BinaryStarState.BACKUP) && now >= this.#oldWordsUntil;
    if (order === "foreign" && peer !== this.#state) {
      // Only the other server must not follow.
      if (this.#state !== BinaryStarState.ACTIVE) this.#stop("foreign");
      return;
    }
    switch (this.#state) {
      case BinaryStarState.PRIMARY:
      case BinaryStarState.BACKUP:
        this.#hearWaiting(peer, order, waits && !same, now);
        break;
      case BinaryStarState.ACTIVE:
        if (peer !== BinaryStarState.ACTIVE) {
          if (!waits || order !== "older") break;
          this.#giveWay(now);
          this.#effects.votesDropped();
        } else if (this.#doubt.step === "listening") this.#doubt = { ...this.#doubt, rival: true };
        else if (this.#doubt.step === "asking") this.#leave(BinaryStarState.PASSIVE, "peer", now);
        else if (now >= this.#graceUntil) this.#stop("dual-active");
        break;
      case BinaryStarState.PASSIVE:
        if (peer === BinaryStarState.PASSIVE) this.#stop("dual-passive");
        else if (waits && order !== "older") this.#become(BinaryStarState.ACTIVE, "peer", now);
        else if (waits) {
          this.#behindSince ??= now;
          if (now - this.#behindSince >= this.#interval * MARGIN) this.#giveWay(now);
        } else this.#behindSince = undefined;
        break;
    }
  }

  /** @param waits whether the peer waits and has the other role */
  #hearWaiting(peer: BinaryStarState, order: BinaryStarOrder | undefined, waits: boolean, now: number): void {
    const primary = this.#state === BinaryStarState.PRIMARY;
    if (peer === BinaryStarState.ACTIVE) {
      if (order !== "newer") this.#become(BinaryStarState.PASSIVE, "peer", now);
    } else if (waits) {
      if (order === "newer" || (primary && (order ?? "same") === "same"))
        this.#become(BinaryStarState.ACTIVE, "peer", now);
    }
  }

  /** Checks for a pause in which the peer may have taken over. */
  #notice(now: number): void {
    if (now - this.#publishedAt < this.#doubtAfter) return;
    // With unread states the peer's silence means nothing.
    this.#counts.stalls += 1;
    this.#publishedAt = now;
    this.#publishAt = now;
    this.#peerExpiry = now + this.#peerTimeout;
    this.#oldWordsUntil = now + this.#interval;
    this.#dropVotes();
    if (this.#state !== BinaryStarState.ACTIVE || this.#fence !== undefined) return;
    // A 3 at once would fence a peer that took over.
    const { step } = this.#doubt;
    const rival = this.#doubt.step === "listening" && this.#doubt.rival;
    this.#doubt = { step: "listening", since: now, at: now + this.#listen, caughtUp: false, rival };
    this.#peer = undefined;
    if (!this.#connected) this.#hearsPeer = false;
    if (step === "certain") this.#effects.changed("stalled");
  }

  #endListening(doubt: Doubt & { step: "listening" }, now: number): void {
    const deafUntil = doubt.since + this.#peerTimeout;
    if (!this.#hearsPeer && now < deafUntil) {
      this.#publishedAt = now; // This is no pause.
      this.#doubt = { ...doubt, caughtUp: true, at: Math.min(now + this.#listen, deafUntil) };
      return;
    }
    if (this.#peer === undefined && !this.#mayTakeOver) this.#leave(this.#initial, "stalled", now);
    else if (!doubt.rival) this.#doubt = { step: "asking", at: now + this.#interval };
    // A peer that was active meanwhile and no longer is: both start over.
    else if (this.#peer === BinaryStarState.ACTIVE) this.#leave(BinaryStarState.PASSIVE, "peer", now);
    else this.#leave(this.#initial, "peer", now);
    this.#publish(now);
  }

  /** The peer serves once it hears of this: until then its states say nothing to a server that catches up. */
  #giveWay(now: number): void {
    this.#oldWordsUntil = now + this.#interval;
    this.#become(this.#initial, "peer", now);
  }

  #leave(state: BinaryStarState, cause: BinaryStarReason, now: number): void {
    this.#become(state, cause, now);
    this.#effects.votesDropped();
  }

  #failOver(now: number): void {
    this.#counts.failOvers += 1;
    this.#graceUntil = now + this.#interval;
    this.#become(BinaryStarState.ACTIVE, "fail-over", now);
  }

  #become(state: BinaryStarState, cause: BinaryStarReason, now: number): void {
    this.#state = state;
    this.#doubt = CERTAIN;
    this.#behindSince = undefined;
    if (state === BinaryStarState.ACTIVE || state === BinaryStarState.PASSIVE) this.#mayServeAlone = true;
    if (state === BinaryStarState.ACTIVE) this.#failOverAt = undefined;
    this.#publishAt = now; // With the next tick, which is at once.
    this.#effects.changed(cause);
  }

  #stop(reason: BinaryStarFenceReason): void {
    this.#fence = reason;
    this.#counts.fences += 1;
    this.#effects.changed(reason);
  }

  #dropVotes(): void {
    if (this.#failOverAt === undefined) return;
    this.#failOverAt = undefined;
    this.#effects.votesDropped();
  }

  #publish(now: number): void {
    this.#counts.statesSent += 1;
    this.#publishedAt = now;
    this.#publishAt = now + this.#interval;
    this.#effects.publish(this.#state);
  }
}

function refusal(what: string, why: string): InvalidStateError {
  return new InvalidStateError("EFSM", `This server cannot ${what}: ${why}`);
}
