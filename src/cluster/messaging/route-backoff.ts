/**
 * Nodes that were asked for routes and did not answer in time: for how long they are not asked again, and which answers of them may
 * still come. A time-out is no sign of evil: of a hundred nodes that start at once each answers late. Pure.
 *
 *   asked ── no answer for 5 s ──> backed off: 2 s, doubled with each time, 30 s at most ──> asked again, unless 30 s were reached:
 *                                                                                            then when a digest or a push says so
 *   an answer, in time or late ──> not backed off any longer
 *
 * What a node states of itself nobody else can state while it is not handed on, so such an answer has as much longer each time as the
 * back-off. For another's routes a slow node holds its place for 5 s only.
 *
 * Items have no numbers, so an answer is matched to its question by its sender and by whose routes it is about. Each question that timed out allows one.
 */
import {
  MAX_LATE_ROUTE_ANSWERS,
  ROUTE_BACKOFF,
  ROUTE_BACKOFF_MAX,
  ROUTE_LATE,
  ROUTE_PULL_TIMEOUT,
} from "./bounds.js";

interface Slow {
  until: number;
  pause: number;
}

/** Questions to one node about the routes of one, that timed out. */
interface LateAnswers {
  readonly life: number;
  readonly until: number;
  readonly count: number;
}

export class RouteBackoff {
  /** Live members only. */
  readonly #slow = new Map<string, Slow>();
  /** By the node that was asked, and whose routes; the oldest first. */
  readonly #late = new Map<string, LateAnswers>();

  /**
   * A node did not answer a question about the routes of a life of one.
   *
   * @param isHurried it had less time than others have: it is not backed off
   * @returns whether it is to be asked again when the back-off is over
   */
  onTimeout(now: number, server: string, id: string, life: number, isHurried = false): boolean {
    const key = `${server} ${id}`;
    const late = this.#late.get(key);
    this.#late.delete(key);
    const count = late?.life === life && now < late.until ? late.count + 1 : 1;
    this.#late.set(key, { life, until: now + ROUTE_LATE, count });
    const [oldest] = this.#late.keys();
    if (this.#late.size > MAX_LATE_ROUTE_ANSWERS) this.#late.delete(oldest as string);
    if (isHurried) return true;
    const slow = this.#slow.get(server);
    if (slow === undefined) {
      this.#slow.set(server, { until: now + ROUTE_BACKOFF, pause: ROUTE_BACKOFF });
      return true;
    }
    // Several questions that went out together count once.
    if (now >= slow.until) {
      slow.pause = Math.min(2 * slow.pause, ROUTE_BACKOFF_MAX);
      slow.until = now + slow.pause;
    }
    return slow.pause < ROUTE_BACKOFF_MAX;
  }

  /** It answers, in time or late. How slow it was stays known for `ROUTE_LATE`. */
  onAnswer(now: number, server: string): void {
    const slow = this.#slow.get(server);
    if (slow !== undefined) slow.until = Math.min(slow.until, now);
  }

  isBackedOff(now: number, server: string): boolean {
    const slow = this.#slow.get(server);
    return slow !== undefined && now < slow.until;
  }

  /** ms that a node has for an answer. @param isItsOwn about its own routes */
  timeout(server: string, isItsOwn: boolean): number {
    return ROUTE_PULL_TIMEOUT + (isItsOwn ? (this.#slow.get(server)?.pause ?? 0) : 0);
  }

  /** Whether a question that timed out may still be answered. */
  isAwaited(now: number, server: string, id: string, life: number): boolean {
    const late = this.#late.get(`${server} ${id}`);
    return late?.life === life && now < late.until;
  }

  /** A late answer is complete. */
  endLate(server: string, id: string): void {
    const key = `${server} ${id}`;
    const late = this.#late.get(key);
    if (late === undefined) return;
    if (late.count > 1) this.#late.set(key, { ...late, count: late.count - 1 });
    else this.#late.delete(key);
  }

  /** A member is not there any more. */
  forget(server: string): void {
    this.#slow.delete(server);
  }

  expire(now: number): void {
    for (const [server, { until }] of this.#slow) if (now >= until + ROUTE_LATE) this.#slow.delete(server);
    for (const [key, { until }] of this.#late) if (now >= until) this.#late.delete(key);
  }
}
