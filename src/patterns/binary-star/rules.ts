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
 * just have been stopped, with states of its peer still unread. For the same
 * reason a server does not become ACTIVE on its peer's word (1, 2) in its first
 * heartbeat, and the first after it was held up: the word may be old, and the
 * peer, who heard nothing meanwhile, ACTIVE by now.
 *
 * The written rule against two masters, in three sentences:
 *
 * 1. Who is ACTIVE and hears that its peer is ACTIVE is *fenced*: it serves
 *    nobody, tells its peer the same state still, so that the peer is fenced as
 *    well, and waits for the operator's `resolve`. So it is for two PASSIVE ones.
 * 2. An ACTIVE server that was held up (stopped, or its event loop blocked) so
 *    that it told no state for the patience less half a heartbeat no longer knows
 *    whether it is the master: it is in *doubt*, and answers nobody until it knows.
 *    The half heartbeat is for the time that states take: as long as that varies
 *    by less, nobody takes over too early.
 * 3. So two masters take a cut between the two servers while clients reach
 *    both, and end with the first states that pass between them.
 *
 * The first is where the Guide's program aborts; the second it has not.
 *
 *   ACTIVE ──held up──> doubt: reads what came ──no 3──> tells 3 ──a heartbeat without a 3──> ACTIVE, as before
 *                               │                           └── hears 3: the peer took over ──> PASSIVE
 *                               ├── 3 came last ──> PASSIVE
 *                               └── 3, then another: it served for a while ──> PRIMARY or BACKUP
 *
 * A doubt ends as if nothing had happened when the peer did not take over, so that
 * the answers of before it still hold. The peer tells a take-over at once, and a
 * state takes less than half a heartbeat there and half a one back, so that a
 * heartbeat after its own 3 the doubting server has heard of it. For the same time
 * a server that has just taken over does not fence itself for a 3: a peer in doubt
 * sent it before it heard of the take-over, and yields.
 */
import { InvalidStateError } from "../../core/errors.js";
import type { StarHolding, StarOrder } from "./holding.js";
import { StarState } from "./protocol.js";

/** Heartbeats that a server doubts itself earlier than its peer does. */
const MARGIN = 0.5;

/** Of a heartbeat: how long a server listens, at least, before a vote makes it active. */
const LISTEN = 0.1;
/** ms of that at least: what a timer may be late. */
const MIN_LISTEN = 10;

/** Which of the two a server is. */
export type StarRole = "primary" | "backup";
/** What stops a pair: both serve, both stand by, or what they have is not the same thing. */
export type FenceReason = "dual-active" | "dual-passive" | "foreign";
/**
 * What becomes of a client's request: it is served; it waits for the outcome of
 * its own vote; or nobody answers it here.
 */
export type Admission = "serve" | "hold" | "refuse";
/** Why a server's state changed. */
export type StarCause =
  /** The peer told its own state. */
  | "peer"
  /** The peer is silent and a client asks. */
  | "fail-over"
  /** The operator gave the service over to the peer. */
  | "hand-over"
  /** The operator chose, with `resolve`. */
  | "resolved"
  /** This process was held up, almost for the peer's patience: a doubt begins, or ends as if nothing had happened. */
  | "stalled";

/** What the rules bring about. */
export interface StarOutbox {
  publish(state: StarState): void;
  /** The state changed. Told before requests that were held are served. */
  changed(state: StarState, from: StarState, cause: StarCause): void;
  fenced(reason: FenceReason): void;
  /** It was held up, and does not know whether it serves still. `changed`, `fenced` or `resumed` follows. */
  doubted(): void;
  /** The doubt is over: it has served all the time. Told before requests that were held are served. */
  resumed(): void;
  /** The peer lives, or this server is fenced: held requests are not answered here. */
  votesVoid(): void;
  /** Both servers have the same role, so neither will ever serve. Told once for each time it begins. */
  sameRole(role: StarRole): void;
}

/** How the rules run. */
export interface StarRulesOptions {
  readonly role: StarRole;
  /** ms between two states told to the peer. */
  readonly heartbeatInterval: number;
  /** Heartbeats of silence after which the peer counts as gone. */
  readonly liveness: number;
  /** What a fail-over must not lose; without it the roles decide. */
  readonly holding?: StarHolding;
}

/** Counts since the start. */
export interface StarRulesStats {
  readonly statesSent: number;
  readonly statesReceived: number;
  readonly failOvers: number;
  readonly stalls: number;
  readonly fences: number;
}

export class BinaryStarRules {
  readonly #outbox: StarOutbox;
  readonly #role: StarRole;
  readonly #holding: StarHolding | undefined;
  readonly #interval: number;
  readonly #patience: number;
  /** ms without having told a state, after which this server doubts itself. */
  readonly #doubtAfter: number;
  #state: StarState;
  #fence: FenceReason | undefined = undefined;
  #peer: StarState | undefined = undefined;
  /** Until then the peer may be serving. */
  #peerExpiry: number;
  /** Until then a peer that waits may have stopped to, unheard. */
  #doubtUntil: number;
  #publishAt: number;
  #publishedAt: number;
  readonly #listen: number;
  /** When the vote of a client takes effect, if the peer stays silent; `undefined` without a vote. */
  #failOverAt: number | undefined = undefined;
  /** Whether it is in doubt, and until when: unknown before it has told its state again. */
  #doubting = false;
  #doubtEndsAt = Number.POSITIVE_INFINITY;
  /** In this doubt the peer was heard to be ACTIVE. */
  #rivalInDoubt = false;
  /** Until then a PASSIVE peer may take over, to which this server has given the service. */
  #yieldUntil = Number.NEGATIVE_INFINITY;
  /** Until then a 3 may be that of a peer in doubt, which has not heard of this server's take-over. */
  #graceUntil = Number.NEGATIVE_INFINITY;
  /** A backup that never was in a pair does not serve: its primary may only be slow to start. */
  #mayServeAlone: boolean;
  #sameRole = false;
  readonly #counts = { statesSent: 0, statesReceived: 0, failOvers: 0, stalls: 0, fences: 0 };

  constructor(options: StarRulesOptions, outbox: StarOutbox, now: number) {
    this.#outbox = outbox;
    this.#role = options.role;
    this.#holding = options.holding;
    this.#interval = options.heartbeatInterval;
    this.#patience = options.heartbeatInterval * options.liveness;
    this.#mayServeAlone = options.role === "primary";
    this.#doubtAfter = options.heartbeatInterval * (options.liveness - MARGIN);
    this.#listen = Math.max(MIN_LISTEN, options.heartbeatInterval * LISTEN);
    this.#state = this.#initial;
    this.#peerExpiry = now + this.#patience;
    this.#doubtUntil = now + options.heartbeatInterval;
    this.#publishAt = now;
    this.#publishedAt = now;
  }

  get state(): StarState {
    return this.#state;
  }

  /** Why it is fenced, if it is. */
  get fence(): FenceReason | undefined {
    return this.#fence;
  }

  /** Whether requests are answered here; ask {@link request} before each, since time may have passed. */
  get serving(): boolean {
    return this.#state === StarState.ACTIVE && this.#fence === undefined && !this.#doubting;
  }

  /** Whether it was held up while it served, and does not know yet whether it still does. */
  get doubting(): boolean {
    return this.#doubting;
  }

  /** The same, with the time looked at: a reply is due only if its server was not held up meanwhile. */
  stillServing(now: number): boolean {
    this.#notice(now);
    return this.serving;
  }

  /** What the peer told last; `undefined` once its silence is as long as the patience. */
  peer(now: number): StarState | undefined {
    return now < this.#peerExpiry ? this.#peer : undefined;
  }

  /**
   * The peer told its state.
   *
   * @param told what it has, where servers tell of it
   * @returns `false` when that cannot be read: the message counts for nothing
   */
  receive(peer: StarState, now: number, told?: Uint8Array): boolean {
    this.#notice(now);
    const order = told === undefined ? undefined : this.#holding?.hear(peer, told, this.#state);
    if (order === undefined && this.#holding !== undefined) return false;
    this.#counts.statesReceived += 1;
    this.#peer = peer;
    this.#peerExpiry = now + this.#patience;
    // What was unread is heard in its order: the last word counts, when this server says its own (tick).
    if (this.#fence === undefined) this.#hear(peer, order, now);
    if (!this.serving) this.#void();
    return true;
  }

  /** Tells the peer at once: what this server has is another. */
  tellAgain(now: number): void {
    this.#notice(now);
    if (!this.#doubting || this.#toldInDoubt) this.#publish(now);
  }

  /** A client asks something: what is to be done with it. */
  request(now: number): Admission {
    this.#notice(now);
    if (this.#fence !== undefined) return "refuse";
    if (this.#state === StarState.ACTIVE) return this.#doubting ? "hold" : "serve";
    if (!this.#mayTakeOver) return "refuse";
    this.#failOverAt ??= Math.max(this.#peerExpiry, now + this.#listen);
    return "hold";
  }

  tick(now: number): void {
    this.#notice(now);
    if (this.#failOverAt !== undefined && now >= this.#failOverAt) {
      // Late itself, this process may not have heard everything yet.
      if (now - this.#failOverAt > this.#listen) this.#failOverAt = now + this.#listen;
      else if (this.#mayTakeOver) this.#failOver(now);
      else this.#void();
    }
    if (now >= this.#doubtEndsAt) {
      // The same: a state may be unread.
      if (now - this.#doubtEndsAt > this.#listen) this.#doubtEndsAt = now + this.#listen;
      else this.#resume();
    }
    if (now < this.#publishAt) return;
    if (this.#doubting && !this.#toldInDoubt && this.#rivalInDoubt) {
      // It served, or may have: what this server knew is no longer so. If it serves no more, both begin anew.
      if (this.#peer === StarState.ACTIVE) this.#leave(StarState.PASSIVE, "peer", now);
      else this.#leave(this.#initial, "peer", now);
    }
    this.#publish(now);
  }

  /** When {@link tick} has something to do next. */
  nextWakeUp(): number {
    return Math.min(this.#publishAt, this.#failOverAt ?? this.#publishAt, this.#doubtEndsAt);
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
    if (this.peer(now) !== StarState.PASSIVE) throw refusal("hand over", "no passive peer is there");
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
    const waits = this.#state === StarState.PRIMARY || this.#state === StarState.BACKUP;
    const peer = this.peer(now);
    // One that stands by, has not everything and whose peer does not come back: nobody else can decide.
    const stranded = choice === "active" && this.#state === StarState.PASSIVE && peer === undefined;
    if (this.#fence === undefined && !waits && !(stranded && this.#holding !== undefined))
      throw refusal("resolve", "it is neither fenced nor waiting");
    if (choice === "active" && peer !== undefined && peer !== StarState.PASSIVE)
      throw refusal("resolve as active", "its peer is not passive; resolve the peer first, or stop it");
    if (choice === "passive" && peer === StarState.PASSIVE)
      throw refusal("resolve as passive", "its peer is passive, too; resolve one of them as active");
    this.#fence = undefined;
    this.#holding?.resolved(choice);
    this.#become(choice === "active" ? StarState.ACTIVE : StarState.PASSIVE, "resolved", now);
    this.#peerExpiry = now + this.#patience;
    this.#publish(now);
  }

  stats(): StarRulesStats {
    return { ...this.#counts };
  }

  get #initial(): StarState {
    return this.#role === "primary" ? StarState.PRIMARY : StarState.BACKUP;
  }

  get #mayTakeOver(): boolean {
    if (this.#holding !== undefined) return this.#holding.mayTakeOver(this.#state);
    return this.#state !== StarState.BACKUP || this.#mayServeAlone;
  }

  /** @param order what this server has, compared with the peer's; `undefined` where the roles decide */
  #hear(peer: StarState, order: StarOrder | undefined, now: number): void {
    const same = peer === this.#initial && this.#state === this.#initial;
    if (same && !this.#sameRole) this.#outbox.sameRole(this.#role);
    this.#sameRole = same;
    const waits = (peer === StarState.PRIMARY || peer === StarState.BACKUP) && now >= this.#doubtUntil;
    if (order === "foreign" && peer !== this.#state) {
      // Who serves goes on; it is the other that must not follow.
      if (this.#state !== StarState.ACTIVE) this.#stop("foreign");
      return;
    }
    switch (this.#state) {
      case StarState.PRIMARY:
      case StarState.BACKUP:
        this.#hearWaiting(peer, order, waits && !same, now);
        break;
      case StarState.ACTIVE:
        if (peer !== StarState.ACTIVE) {
          if (waits && order === "older") this.#leave(this.#initial, "peer", now);
        } else if (this.#doubting) {
          this.#rivalInDoubt = true;
          if (this.#toldInDoubt) this.#leave(StarState.PASSIVE, "peer", now);
        } else if (now >= this.#graceUntil) this.#stop("dual-active");
        break;
      case StarState.PASSIVE:
        if (waits && order !== "older") this.#become(StarState.ACTIVE, "peer", now);
        else if (peer === StarState.PASSIVE) this.#stop("dual-passive");
        break;
    }
  }

  /** What one hears that waits. @param waits whether the peer waits, too, and is the other one */
  #hearWaiting(peer: StarState, order: StarOrder | undefined, waits: boolean, now: number): void {
    const primary = this.#state === StarState.PRIMARY;
    if (peer === StarState.ACTIVE) {
      if (order !== "newer") this.#become(StarState.PASSIVE, "peer", now);
    } else if (waits) {
      if (order === "newer" || (primary && (order ?? "same") === "same"))
        this.#become(StarState.ACTIVE, "peer", now);
    } else if (peer === StarState.PASSIVE && order === "newer") {
      // In its first heartbeat, or after it gave the service over, the word may be an old one.
      if (now >= this.#doubtUntil && now >= this.#yieldUntil) this.#become(StarState.ACTIVE, "peer", now);
    }
  }

  /** Before anything else: was this process held up until the peer may have taken over? */
  #notice(now: number): void {
    if (now - this.#publishedAt < this.#doubtAfter) return;
    // What the peer told meanwhile is still unread, so its silence means nothing either.
    this.#counts.stalls += 1;
    this.#publishedAt = now;
    this.#publishAt = now;
    this.#peerExpiry = now + this.#patience;
    this.#doubtUntil = now + this.#interval;
    this.#void();
    if (this.#state !== StarState.ACTIVE || this.#fence !== undefined) return;
    // A 3 that leaves before the peer's own is read would fence the peer that took over.
    this.#publishAt = now + this.#listen;
    this.#doubtEndsAt = Number.POSITIVE_INFINITY;
    this.#peer = undefined;
    if (this.#doubting) return;
    this.#rivalInDoubt = false;
    this.#doubting = true;
    this.#outbox.doubted();
  }

  /** Nobody took over. */
  #resume(): void {
    this.#endDoubt();
    this.#outbox.resumed();
  }

  /** The doubt ends: this server does not serve any more. */
  #leave(state: StarState, cause: StarCause, now: number): void {
    this.#become(state, cause, now);
    this.#outbox.votesVoid();
  }

  /** Whether it has told the peer that it is ACTIVE since it was held up. */
  get #toldInDoubt(): boolean {
    return this.#doubtEndsAt < Number.POSITIVE_INFINITY;
  }

  #endDoubt(): void {
    this.#doubting = false;
    this.#doubtEndsAt = Number.POSITIVE_INFINITY;
  }

  #failOver(now: number): void {
    this.#counts.failOvers += 1;
    this.#graceUntil = now + this.#interval;
    this.#become(StarState.ACTIVE, "fail-over", now);
  }

  #become(state: StarState, cause: StarCause, now: number): void {
    const from = this.#state;
    this.#state = state;
    this.#endDoubt();
    if (state === StarState.ACTIVE || state === StarState.PASSIVE) this.#mayServeAlone = true;
    if (state === StarState.ACTIVE) this.#failOverAt = undefined; // Who holds the requests serves them now.
    this.#publishAt = now; // The peer hears of it with the next tick, which is at once.
    this.#outbox.changed(state, from, cause);
  }

  #stop(reason: FenceReason): void {
    this.#fence = reason;
    this.#counts.fences += 1;
    this.#outbox.fenced(reason);
  }

  #void(): void {
    if (this.#failOverAt === undefined) return;
    this.#failOverAt = undefined;
    this.#outbox.votesVoid();
  }

  #publish(now: number): void {
    this.#counts.statesSent += 1;
    this.#publishedAt = now;
    this.#publishAt = now + this.#interval;
    if (this.#doubting && !this.#toldInDoubt) this.#doubtEndsAt = now + this.#interval;
    this.#outbox.publish(this.#state);
  }
}

function refusal(what: string, why: string): InvalidStateError {
  return new InvalidStateError("EFSM", `This server cannot ${what}: ${why}`);
}
