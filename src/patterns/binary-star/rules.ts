/**
 * Which of two servers serves: the states of a Binary Star, without sockets, timers or a clock.
 *
 *               hears 1      hears 2      hears 3      hears 4      a client's request
 *   1 PRIMARY   –            → 3          → 4          –            a vote
 *   2 BACKUP    –            –            → 4          –            refused; a vote once it was in a pair
 *   3 ACTIVE    –            –            fenced       –            served
 *   4 PASSIVE   → 3          → 3          –            fenced       a vote
 *
 * A vote counts until the peer's next sign of life. With a vote and a peer that
 * has been silent for its whole patience (2 heartbeats), a server becomes ACTIVE.
 * Patience runs from the start, so a late starter hears an ACTIVE peer first. A
 * moment of listening lies between each vote and the fail-over: the process may
 * just have been stopped, with states of its peer still unread. Nothing takes effect
 * before everything that came in time is read, however late the process is. For the
 * same reason a server does not become ACTIVE on its peer's word (1, 2) in its first
 * heartbeat, and the first after it was held up: the word may be old, and the
 * peer, who heard nothing meanwhile, ACTIVE by now.
 *
 * The rule against two masters, in three sentences:
 *
 * 1. A server that is ACTIVE and hears that its peer is ACTIVE is *fenced*: it serves
 *    nobody, keeps publishing the same state, so that the peer is fenced as well, and
 *    waits for the operator's `resolve`. The same holds for two PASSIVE ones.
 * 2. An ACTIVE server that was held up (stopped, or its event loop blocked) so that it
 *    published no state for the patience less half a heartbeat no longer knows whether
 *    it is the master: it is in *doubt*, and answers nobody until it knows. The half
 *    heartbeat is for the time that states take: as long as that varies by less,
 *    nobody takes over too early.
 * 3. So only a cut between the two servers, while clients reach both, makes two
 *    masters; the first states that pass between them end it.
 *
 * The first is where the Guide's program aborts; the Guide has no counterpart of the second.
 *
 *   ACTIVE ──held up──> doubt: reads what came ──no 3──> sends 3 ──a heartbeat without a 3──> ACTIVE, as before
 *                               │                           └── hears 3: the peer took over ──> PASSIVE
 *                               ├── 3 came last ──> PASSIVE
 *                               └── 3, then another: it served for a while ──> PRIMARY or BACKUP
 *
 * A doubt ends as if nothing had happened when the peer did not take over, so that
 * the answers of before it still hold. The peer publishes a take-over at once, and a
 * state takes less than half a heartbeat there and half a one back, so that a
 * heartbeat after its own 3 the doubting server has heard of it. For the same time
 * a server that has just taken over does not fence itself for a 3: a peer in doubt
 * sent it before it heard of the take-over, and yields.
 *
 * All that holds while states arrive. A peer that was killed during the stop, and
 * started again, is heard when the connection to it is there again: until then, or
 * until it is known that nobody is there, and for its patience at most, a doubting
 * server does not send its 3.
 */
import { InvalidStateError } from "../../core/errors.js";
import { BinaryStarState } from "./protocol.js";

/** Heartbeats that a server doubts itself earlier than its peer does; also the age of what may be unread at a take-over. */
const MARGIN = 0.5;

/** Of a heartbeat: how long a server listens, at least, before a vote makes it active. */
const LISTEN = 0.1;
/** ms of that at least: what a timer may be late. */
const MIN_LISTEN = 10;

/** Which of the two a server is. */
export type BinaryStarRole = "primary" | "backup";
/** What stops a pair: both serve, both stand by, or what they have is not the same thing. */
export type BinaryStarFenceReason = "dual-active" | "dual-passive" | "foreign";
/**
 * What becomes of a client's request: it is served; it waits for the outcome of
 * its own vote; or nobody answers it here.
 */
export type BinaryStarAdmission = "serve" | "hold" | "refuse";
/** Why a server's state changed. */
export type BinaryStarReason =
  /** The peer published its own state. */
  | "peer"
  /** The peer is silent and a client asks. */
  | "fail-over"
  /** The operator gave the service over to the peer. */
  | "hand-over"
  /** The operator chose, with `resolve`. */
  | "resolved"
  /** This process was held up, almost for the peer's patience: a doubt begins, or ends as if nothing had happened. */
  | "stalled";

/** What this server has, compared with the peer's: `foreign` is another thing, of which neither is the newer. */
export type BinaryStarOrder = "newer" | "same" | "older" | "foreign";

/**
 * What a server has that a fail-over must not lose, such as a map: the option `replica` of both servers of a pair. Each
 * publishes the position of its replica with its state, and the rules compare the two before a server becomes ACTIVE:
 *
 *   waiting  hears waiting   newer, or the same and the primary  → ACTIVE
 *            hears ACTIVE    not newer → PASSIVE; newer: the peer steps down
 *            hears PASSIVE   newer → ACTIVE
 *   ACTIVE   hears waiting   older → waiting: the peer serves
 *   PASSIVE  hears waiting   not older → ACTIVE
 *
 * Without a replica the roles decide.
 */
export interface BinaryStarReplica {
  /** How new it is, as bytes that the peer's `compare` reads. Published with each state. */
  position(): Uint8Array;
  /**
   * Called for each state of the peer.
   *
   * @param theirs the position of the peer's replica
   * @param own this server's state
   * @returns `undefined` when it cannot be read: the peer is of another version, and counts as silent
   */
  compare(peer: BinaryStarState, theirs: Uint8Array, own: BinaryStarState): BinaryStarOrder | undefined;
  /** Whether this server may become ACTIVE for a client's request while its peer is silent. @param own its state */
  mayTakeOver(own: BinaryStarState): boolean;
  /** The operator chose. `passive`: this server's replica yields to the peer's, however new it is. */
  resolved(choice: "active" | "passive"): void;
}

/** What the rules bring about. */
export interface BinaryStarEffects {
  publish(state: BinaryStarState): void;
  /** The state changed. Called before held requests are served. */
  changed(state: BinaryStarState, from: BinaryStarState, cause: BinaryStarReason): void;
  fenced(reason: BinaryStarFenceReason): void;
  /** It was held up, and does not know whether it serves still. `changed`, `fenced` or `resumed` follows. */
  doubted(): void;
  /** The doubt is over: it has served all the time. Called before held requests are served. */
  resumed(): void;
  /** The peer lives, or this server is fenced: held requests are not answered here. */
  votesDropped(): void;
  /** Both servers have the same role, so neither will ever serve. Called once each time it begins. */
  sameRole(role: BinaryStarRole): void;
}

/** How the rules run. */
export interface BinaryStarRulesOptions {
  readonly role: BinaryStarRole;
  /** ms between two states that are published. */
  readonly heartbeatInterval: number;
  /** Heartbeats of silence after which the peer counts as gone. */
  readonly liveness: number;
  /** What a fail-over must not lose; without it the roles decide. */
  readonly replica?: BinaryStarReplica | undefined;
}

/**
 * What a server that is ACTIVE knows of its service.
 *
 *   certain    it serves
 *   listening  it was held up: it reads what came meanwhile, and publishes nothing until a time
 *   asking     it has published its 3, and has `at` to hear one
 */
type Doubt =
  | { readonly step: "certain" }
  /** `since`: when it was held up last. `rival`: a 3 came. */
  | { readonly step: "listening"; readonly since: number; readonly at: number; readonly rival: boolean }
  | { readonly step: "asking"; readonly at: number };

const CERTAIN: Doubt = { step: "certain" };

/** Counts since the start. */
export interface BinaryStarRulesStats {
  readonly statesSent: number;
  readonly statesReceived: number;
  readonly failOvers: number;
  readonly stalls: number;
  readonly fences: number;
}

export class BinaryStarRules {
  readonly #effects: BinaryStarEffects;
  readonly #role: BinaryStarRole;
  readonly #replica: BinaryStarReplica | undefined;
  readonly #interval: number;
  readonly #patience: number;
  /** ms without having published a state, after which this server doubts itself. */
  readonly #doubtAfter: number;
  #state: BinaryStarState;
  #fence: BinaryStarFenceReason | undefined = undefined;
  #peer: BinaryStarState | undefined = undefined;
  /** Until then the peer may be serving. */
  #peerExpiry: number;
  /** Until then a peer that waits may have stopped to, unheard. */
  #oldWordsUntil: number;
  #publishAt: number;
  #publishedAt: number;
  readonly #listen: number;
  /** When the vote of a client takes effect, if the peer stays silent; `undefined` without a vote. */
  #failOverAt: number | undefined = undefined;
  #doubt: Doubt = CERTAIN;
  #tickedAt = Number.NEGATIVE_INFINITY;
  /** Whether a connection stands by which the peer's states come; and whether one came by it, or it is known that nobody is there. */
  #connected = true;
  #hearsPeer = false;
  /** Until then a PASSIVE peer may take over, to which this server has given the service. */
  #yieldUntil = Number.NEGATIVE_INFINITY;
  /** Until then a 3 may be that of a peer in doubt, which has not heard of this server's take-over. */
  #graceUntil = Number.NEGATIVE_INFINITY;
  /** A backup that never was in a pair does not serve: its primary may only be slow to start. */
  #mayServeAlone: boolean;
  #sameRole = false;
  readonly #counts = { statesSent: 0, statesReceived: 0, failOvers: 0, stalls: 0, fences: 0 };

  constructor(options: BinaryStarRulesOptions, effects: BinaryStarEffects, now: number) {
    this.#effects = effects;
    this.#role = options.role;
    this.#replica = options.replica;
    this.#interval = options.heartbeatInterval;
    this.#patience = options.heartbeatInterval * options.liveness;
    this.#mayServeAlone = options.role === "primary";
    this.#doubtAfter = options.heartbeatInterval * (options.liveness - MARGIN);
    this.#listen = Math.max(MIN_LISTEN, options.heartbeatInterval * LISTEN);
    this.#state = this.#initial;
    this.#peerExpiry = now + this.#patience;
    this.#oldWordsUntil = now + options.heartbeatInterval;
    this.#publishAt = now;
    this.#publishedAt = now;
  }

  get state(): BinaryStarState {
    return this.#state;
  }

  /** Why it is fenced, if it is. */
  get fence(): BinaryStarFenceReason | undefined {
    return this.#fence;
  }

  /** Whether requests are answered here; ask {@link request} before each, since time may have passed. */
  get serving(): boolean {
    return this.#state === BinaryStarState.ACTIVE && this.#fence === undefined && !this.doubting;
  }

  /** Whether it was held up while it served, and does not know yet whether it still does. */
  get doubting(): boolean {
    return this.#doubt.step !== "certain";
  }

  /** The same, with the time looked at: a reply is due only if its server was not held up meanwhile. */
  stillServing(now: number): boolean {
    this.#notice(now);
    return this.serving;
  }

  /** What the peer published last; `undefined` once its silence is as long as the patience. */
  peer(now: number): BinaryStarState | undefined {
    return now < this.#peerExpiry ? this.#peer : undefined;
  }

  /**
   * A state of the peer came.
   *
   * @param position of the peer's replica, where there is one
   * @returns `false` when that cannot be read: the message counts for nothing
   */
  receive(peer: BinaryStarState, now: number, position?: Uint8Array): boolean {
    this.#notice(now);
    const order = position === undefined ? undefined : this.#replica?.compare(peer, position, this.#state);
    if (order === undefined && this.#replica !== undefined) return false;
    this.#counts.statesReceived += 1;
    // What was unread when the connection ended is of a life of the peer that may be over.
    if (this.#connected) this.#hearsPeer = true;
    this.#peer = peer;
    this.#peerExpiry = now + this.#patience;
    // What was unread is heard in its order: the last one counts, when this server publishes its own (tick).
    if (this.#fence === undefined) this.#hear(peer, order, now);
    if (!this.serving) this.#dropVotes();
    return true;
  }

  /**
   * The connection by which the peer's states come stands or does not; without a call it stands.
   *
   * @param isAbsent nobody listens where the peer was: there is nothing to hear
   */
  connection(stands: boolean, isAbsent = false): void {
    this.#connected = stands;
    this.#hearsPeer = !stands && isAbsent;
  }

  /** Publishes the state at once: the replica's position has changed. */
  publishNow(now: number): void {
    this.#notice(now);
    if (this.#doubt.step !== "listening") this.#publish(now);
  }

  /** A client asks something: what is to be done with it. */
  request(now: number): BinaryStarAdmission {
    this.#notice(now);
    if (this.#fence !== undefined) return "refuse";
    if (this.#state === BinaryStarState.ACTIVE) return this.doubting ? "hold" : "serve";
    if (!this.#mayTakeOver) return "refuse";
    this.#failOverAt ??= Math.max(this.#peerExpiry, now + this.#listen);
    return "hold";
  }

  /**
   * @param readUntil everything that came before this time has been read: nothing is decided before what came in time is. A
   *   process whose event loop is late calls this again after a turn of it
   */
  tick(now: number, readUntil = now): void {
    this.#notice(now);
    this.#tickedAt = now;
    if (this.#failOverAt !== undefined && readUntil >= this.#failOverAt) {
      if (!this.#mayTakeOver) this.#dropVotes();
      // The word of a peer in doubt must be read in time.
      else if (now - readUntil <= this.#interval * MARGIN) this.#failOver(now);
    }
    const doubt = this.#doubt;
    if (doubt.step === "listening") {
      if (readUntil >= doubt.at) this.#endListening(doubt, now);
      return;
    }
    if (doubt.step === "asking" && readUntil >= doubt.at) this.#resume();
    if (now >= this.#publishAt) this.#publish(now);
  }

  /** When {@link tick} has something to do next. */
  nextWakeUp(): number {
    const { step } = this.#doubt;
    const decideAt = this.#doubt.step === "certain" ? this.#failOverAt : this.#doubt.at;
    let next = decideAt ?? Number.POSITIVE_INFINITY;
    if (next <= this.#tickedAt) next = this.#tickedAt + this.#listen; // What came in time was not read yet.
    return step === "listening" ? next : Math.min(this.#publishAt, next);
  }

  /**
   * The operator's fail-back: the ACTIVE server takes itself for one that has just
   * started, which the Guide's rules make the PASSIVE one's sign to take over.
   *
   * @throws InvalidStateError `EFSM` when it does not serve, or no PASSIVE peer was heard of lately
   */
  handOver(now: number): void {
    this.#notice(now);
    if (!this.serving) throw refusal("hand over", "it does not serve");
    if (this.peer(now) !== BinaryStarState.PASSIVE) throw refusal("hand over", "no passive peer is there");
    this.#become(this.#initial, "hand-over", now);
    this.#peerExpiry = now + this.#patience; // Votes must not bring the service back before the peer could take it.
    this.#yieldUntil = this.#peerExpiry;
    this.#publish(now);
  }

  /**
   * The operator's choice, for a fenced server or one that waits for its peer. The loser is resolved first.
   *
   * @throws InvalidStateError `EFSM` when there is nothing to resolve, or the peer's state contradicts the choice
   */
  resolve(choice: "active" | "passive", now: number): void {
    this.#notice(now);
    const waits = this.#state === BinaryStarState.PRIMARY || this.#state === BinaryStarState.BACKUP;
    const peer = this.peer(now);
    // One that stands by, has not everything and whose peer does not come back: nobody else can decide.
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
    this.#peerExpiry = now + this.#patience;
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

  /** @param order what this server has, compared with the peer's; `undefined` where the roles decide */
  #hear(peer: BinaryStarState, order: BinaryStarOrder | undefined, now: number): void {
    const same = peer === this.#initial && this.#state === this.#initial;
    if (same && !this.#sameRole) this.#effects.sameRole(this.#role);
    this.#sameRole = same;
    const waits =
      (peer === BinaryStarState.PRIMARY || peer === BinaryStarState.BACKUP) && now >= this.#oldWordsUntil;
    if (order === "foreign" && peer !== this.#state) {
      // Who serves goes on; it is the other that must not follow.
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
          if (waits && order === "older") this.#leave(this.#initial, "peer", now);
        } else if (this.#doubt.step === "listening") this.#doubt = { ...this.#doubt, rival: true };
        else if (this.#doubt.step === "asking") this.#leave(BinaryStarState.PASSIVE, "peer", now);
        else if (now >= this.#graceUntil) this.#stop("dual-active");
        break;
      case BinaryStarState.PASSIVE:
        if (waits && order !== "older") this.#become(BinaryStarState.ACTIVE, "peer", now);
        else if (peer === BinaryStarState.PASSIVE) this.#stop("dual-passive");
        break;
    }
  }

  /** What one hears that waits. @param waits whether the peer waits, too, and is the other one */
  #hearWaiting(peer: BinaryStarState, order: BinaryStarOrder | undefined, waits: boolean, now: number): void {
    const primary = this.#state === BinaryStarState.PRIMARY;
    if (peer === BinaryStarState.ACTIVE) {
      if (order !== "newer") this.#become(BinaryStarState.PASSIVE, "peer", now);
    } else if (waits) {
      if (order === "newer" || (primary && (order ?? "same") === "same"))
        this.#become(BinaryStarState.ACTIVE, "peer", now);
    } else if (peer === BinaryStarState.PASSIVE && order === "newer") {
      // In its first heartbeat, or after it gave the service over, the word may be an old one.
      if (now >= this.#oldWordsUntil && now >= this.#yieldUntil)
        this.#become(BinaryStarState.ACTIVE, "peer", now);
    }
  }

  /** Before anything else: was this process held up until the peer may have taken over? */
  #notice(now: number): void {
    if (now - this.#publishedAt < this.#doubtAfter) return;
    // What the peer sent meanwhile is still unread, so its silence means nothing either.
    this.#counts.stalls += 1;
    this.#publishedAt = now;
    this.#publishAt = now;
    this.#peerExpiry = now + this.#patience;
    this.#oldWordsUntil = now + this.#interval;
    this.#dropVotes();
    if (this.#state !== BinaryStarState.ACTIVE || this.#fence !== undefined) return;
    // A 3 that leaves before the peer's own is read would fence the peer that took over.
    const { step } = this.#doubt;
    const rival = this.#doubt.step === "listening" && this.#doubt.rival;
    this.#doubt = { step: "listening", since: now, at: now + this.#listen, rival };
    this.#peer = undefined;
    // That nobody was there is no longer known.
    if (!this.#connected) this.#hearsPeer = false;
    if (step === "certain") this.#effects.doubted();
  }

  /** What came while this server was held up is read. */
  #endListening(doubt: Doubt & { step: "listening" }, now: number): void {
    const deafUntil = doubt.since + this.#patience;
    if (!this.#hearsPeer && now < deafUntil) {
      this.#publishedAt = now; // This is no stop.
      this.#doubt = { ...doubt, at: Math.min(now + this.#listen, deafUntil) };
      return;
    }
    if (!doubt.rival) this.#doubt = { step: "asking", at: now + this.#interval };
    // The peer served, or may have: what this server knew is no longer so. If it serves no more, both begin again.
    else if (this.#peer === BinaryStarState.ACTIVE) this.#leave(BinaryStarState.PASSIVE, "peer", now);
    else this.#leave(this.#initial, "peer", now);
    this.#publish(now);
  }

  /** Nobody took over. */
  #resume(): void {
    this.#doubt = CERTAIN;
    this.#effects.resumed();
  }

  /** The doubt ends: this server does not serve any more. */
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
    const from = this.#state;
    this.#state = state;
    this.#doubt = CERTAIN;
    if (state === BinaryStarState.ACTIVE || state === BinaryStarState.PASSIVE) this.#mayServeAlone = true;
    if (state === BinaryStarState.ACTIVE) this.#failOverAt = undefined; // Who holds the requests serves them now.
    this.#publishAt = now; // The peer hears of it with the next tick, which is at once.
    this.#effects.changed(state, from, cause);
  }

  #stop(reason: BinaryStarFenceReason): void {
    this.#fence = reason;
    this.#counts.fences += 1;
    this.#effects.fenced(reason);
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
