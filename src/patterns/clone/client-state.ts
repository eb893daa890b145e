/** An attempt of a Clone client to follow a server: its phases, and the pauses between attempts. */
import { backOff } from "../../core/driver-timer.js";
import type { ClientRulesOptions, CloneClientEvent } from "./client-options.js";
import type { RawChange } from "./watch.js";

export interface ClientEffects {
  /** In place of the server before. */
  open(attempt: number, server: string): void;
  ask(attempt: number): void;
  sendSet(frames: Buffer[]): void;
  /** Updates that wait for room. */
  unsent(): number;
  watching(): boolean;
  changed(change: RawChange): void;
  synced(): void;
  event(event: CloneClientEvent): void;
}

export type FailOverReason = "silent" | "disconnected" | "no-snapshot" | "refused" | "removed";

/** Why an attempt ended. After missed updates the same server sends its map again. */
export type AttemptEnd = FailOverReason | "missed";

/** ms to the next attempt, doubled each time up to a heartbeat or a second, with jitter. */
const RETRY_DELAY = 50;
const MAX_RETRY_DELAY = 1_000;
/** ms at most to the next one for a map that was sent in vain: with missed updates, or too large. */
const MAX_RELOAD_DELAY = 10_000;
/** Doublings of `attemptTimeout` at servers that serve: one value may be large for the link. */
const MAX_DOUBLINGS = 3;

type AttemptOptions = Pick<ClientRulesOptions, "attemptTimeout" | "heartbeatInterval" | "random">;

/** ms at a working server that left the list. */
const LEAVE_DELAY = 5_000;

export type AttemptPhase = "idle" | "connecting" | "connected" | "pausing";

/**
 * A client's attempts at its servers.
 *
 *   idle ──a server──> connecting ──> connected
 *                        ^   │            │
 *     the next server    │   no progress, or lost
 *                        └── pausing <────┘      no pause after silence
 *
 * A working server that leaves the list stays in use for 5 s, and while the list is empty.
 */
export class ClientAttempts {
  /** Listed servers, the preferred first. */
  #servers: readonly string[] = [];
  readonly #options: AttemptOptions;
  readonly #effects: Pick<ClientEffects, "open" | "event">;
  #reason: AttemptEnd = "silent";
  #number = 0;
  /** Perhaps not listed any more. */
  #server: string | undefined;
  #failures = 0;
  /** Attempts in a row at servers that serve, without a whole map. */
  #doublings = 0;
  /** The server in use does. */
  #serves = false;
  #leaveAt = Number.POSITIVE_INFINITY;
  failOvers = 0;
  phase: AttemptPhase = "idle";
  /** End of a pause, or of an attempt without progress. */
  until = Number.POSITIVE_INFINITY;

  constructor(options: AttemptOptions, effects: Pick<ClientEffects, "open" | "event">) {
    this.#options = options;
    this.#effects = effects;
  }

  /** Messages of earlier attempts are dropped. */
  get number(): number {
    return this.#number;
  }

  /** Empty without a server. */
  get server(): string {
    return this.#server ?? "";
  }

  get leaveAt(): number {
    return this.#servers.length > 0 ? this.#leaveAt : Number.POSITIVE_INFINITY;
  }

  /** @returns whether the first attempt has to begin */
  setServers(names: readonly string[], now: number): boolean {
    this.#servers = names;
    const used = this.#server;
    if (used === undefined || names.includes(used)) this.#leaveAt = Number.POSITIVE_INFINITY;
    else this.#leaveAt = Math.min(this.#leaveAt, now + LEAVE_DELAY);
    if (used !== undefined || this.#servers.length === 0) return false;
    this.#server = this.#servers[0];
    return true;
  }

  /** With a server. */
  open(now: number): void {
    this.#number += 1;
    this.phase = "connecting";
    this.#serves = false;
    this.progress(now);
    this.#effects.open(this.#number, this.#server as string);
  }

  progress(now: number): void {
    this.until = now + this.#options.attemptTimeout * (this.#serves ? 2 ** this.#doublings : 1);
  }

  /** The server in use is heard to serve. */
  serves(now: number): void {
    if (this.#serves) return;
    this.#serves = true;
    this.progress(now);
  }

  /** The map is whole, and nothing was missed since. */
  succeed(): void {
    this.#failures = 0;
    this.#doublings = 0;
  }

  /** Ends an attempt. The pause avoids a busy loop with dead or refusing servers, and with another numbering. */
  end(reason: AttemptEnd, now: number): void {
    this.phase = "pausing";
    this.#reason = reason;
    const { heartbeatInterval, random } = this.#options;
    const inVain = reason === "missed" || reason === "no-snapshot";
    const longest = inVain
      ? MAX_RELOAD_DELAY
      : Math.max(RETRY_DELAY, Math.min(MAX_RETRY_DELAY, heartbeatInterval));
    this.until = now + backOff(this.#failures++, RETRY_DELAY, longest, random);
  }

  /** {@link open} follows. */
  failOver(reason: AttemptEnd = this.#reason): void {
    if (reason === "missed") return;
    if (reason === "no-snapshot" && this.#serves)
      this.#doublings = Math.min(MAX_DOUBLINGS, this.#doublings + 1);
    const from = this.#server as string;
    this.#reason = reason;
    // After an unlisted server comes the first.
    const at = this.#servers.indexOf(from);
    const next = this.#servers[(at + 1) % this.#servers.length] ?? from;
    if (next === from) return;
    this.#server = next;
    this.#leaveAt = Number.POSITIVE_INFINITY;
    this.failOvers += 1;
    this.#effects.event({ type: "server:failed-over", from, to: next, reason });
  }
}
