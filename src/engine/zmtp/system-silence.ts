/**
 * Whether the system of a peer that answers no PING still acknowledges what was sent to it. Rules only; what the kernel knows
 * is read in transport/tcp-table.ts, and a page cannot read it.
 */

/** What is not acknowledged has been sent again by then, in ms, on any link but the slowest (RFC 6298 begins at 1 s). */
const RETRANSMITTED_WITHIN = 1_000;
/** How long what was sent again goes unacknowledged, at least, before its receiver counts as gone, in ms. */
const RETRANSMIT_SILENCE = 200;
/**
 * The same of a probe: Linux answers one in 500 ms (tcp_invalid_ratelimit). The first probes are closer together, and the
 * next after one without an answer follows within 1 s.
 */
const PROBE_SILENCE = 1_200;
/** Linux tries again after so many ms when a probe did not even leave this machine. */
const LOCAL_RETRY = 500;
/** What two readings of a kernel timer may differ by, in ms: its ticks, and the time between reading and noting. */
const TIMER_SLACK = 50;

/** What the kernel knows of the bytes that were sent. */
export interface SendState {
  /** Bytes that the peer's system has not acknowledged. */
  readonly unacknowledged: number;
  /** The peer's window is closed, and its system is asked now and then whether it is still there. */
  readonly probing: boolean;
  /** How often its system was asked, or sent the same again, since it last acknowledged anything. */
  readonly unanswered: number;
  /** ms until that happens again. */
  readonly due: number;
}

/**
 * Whether the peer's system acknowledges.
 *
 * @param before an earlier state; nothing was seen to be acknowledged since
 * @param elapsed ms between the two
 */
export function acknowledges(
  before: SendState | undefined,
  now: SendState,
  elapsed: number,
): "yes" | "no" | "unsure" {
  if (now.unacknowledged === 0) return "yes";
  if (now.probing && now.unanswered === 0) return "yes";
  // A packet that could not even leave is probed for, too, and then sent again: another timer starts counting.
  if (before?.probing !== now.probing) return "unsure";
  if (now.unacknowledged < before.unacknowledged || now.unanswered < before.unanswered) return "yes";
  if (now.unanswered === 0) return elapsed >= RETRANSMITTED_WITHIN ? "yes" : "unsure";
  // Another probe, and the count is not higher: the one before was answered.
  const isLater = now.due > before.due - elapsed + TIMER_SLACK && now.due > LOCAL_RETRY;
  return now.probing && now.unanswered === before.unanswered && isLater ? "yes" : "no";
}

/** Of one wait for a peer. Times are in ms on any scale that only goes forward. */
export class SystemSilence {
  /** The first sample since which nothing was acknowledged. */
  #before: SendState | undefined = undefined;
  #beforeAt = 0;

  /** The wait is over. */
  end(): void {
    this.#before = undefined;
  }

  /**
   * @param since when the wait began
   * @returns from when on the peer's system counts as silent; `undefined`: it acknowledges, or that cannot be known yet
   */
  sureAt(now: number, state: SendState, since: number, timeout: number): number | undefined {
    const answer = acknowledges(this.#before, state, now - this.#beforeAt);
    if (answer === "yes") {
      this.#before = undefined;
      return undefined;
    }
    if (this.#before?.probing !== state.probing) {
      this.#before = state;
      this.#beforeAt = now;
    }
    if (answer === "unsure") return undefined;
    const silence = Math.max(timeout / 2, state.probing ? PROBE_SILENCE : RETRANSMIT_SILENCE);
    return Math.max(since + timeout, this.#beforeAt + silence);
  }
}
