/** The effects of a client's rules, and the choice of a server. */
import { backOff } from "../../core/back-off.js";
import type { CloneClientEvent } from "./client-options.js";

/** Actions of the driver. */
export interface ClientEffects {
  /** Connects to the collector of a new server. */
  join(server: number, name: string): void;
  /** Closes all connections to a server. */
  leave(server: number): void;
  /** Connects to a server in place of the one before. */
  open(attempt: number, server: number, name: string): void;
  ask(attempt: number): void;
  sendSet(server: number, frames: Buffer[]): boolean;
  /** Whether a program watches. */
  readonly watching: boolean;
  changed(
    key: Buffer,
    old: Buffer | undefined,
    value: Buffer | undefined,
    sequence: number,
    own: boolean,
    resync: boolean,
  ): void;
  synced(): void;
  event(event: CloneClientEvent): void;
}

export type FailOverReason = "silent" | "disconnected" | "no-snapshot" | "refused" | "removed";

/** ms between a lost connection and the next server, doubled each time, with jitter. */
export interface RetryOptions {
  readonly retryDelay: number;
  readonly maxRetryDelay: number;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** ms that a client stays at a working server that left the list. */
const LEAVE_DELAY = 5_000;

interface Server {
  readonly id: number;
  readonly name: string;
}

/** `idle` without a server. */
export type AttemptPhase = "idle" | "connecting" | "connected" | "pausing";

/**
 * The attempts of a client at its servers.
 *
 *   idle ──a server──> connecting ──> connected
 *                        ^   │            │
 *     the next server    │   no progress, or lost
 *                        └── pausing <────┘      no pause after silence
 *
 * The list may change. A working server that leaves it stays in use for 5 s, or until it is listed again; then it is left
 * for the listed ones. Without any it stays.
 */
export class ClientAttempts {
  /** The listed servers, the preferred first. */
  #servers: readonly Server[] = [];
  readonly #patience: number;
  readonly #retry: RetryOptions;
  readonly #effects: Pick<ClientEffects, "open" | "join" | "leave" | "event">;
  #reason: FailOverReason = "silent";
  #number = 0;
  #ids = 0;
  /** In use; perhaps not listed any more. */
  #server: Server | undefined;
  /** Failures since the last whole map. */
  #failures = 0;
  /** When an unlisted server is left. */
  #leaveAt = Number.POSITIVE_INFINITY;
  failOvers = 0;
  phase: AttemptPhase = "idle";
  /** The end of a pause, or of an attempt without progress. */
  until = Number.POSITIVE_INFINITY;

  /** @param patience ms without progress after which an attempt fails */
  constructor(
    patience: number,
    retry: RetryOptions,
    effects: Pick<ClientEffects, "open" | "join" | "leave" | "event">,
  ) {
    this.#patience = patience;
    this.#retry = retry;
    this.#effects = effects;
  }

  /** The number of this attempt; messages of earlier ones are dropped. */
  get number(): number {
    return this.#number;
  }

  /** The server in use, or -1. */
  get server(): number {
    return this.#server?.id ?? -1;
  }

  /** Empty without a server. */
  get name(): string {
    return this.#server?.name ?? "";
  }

  /** When the unlisted server in use is left for a listed one. */
  get leaveAt(): number {
    return this.#servers.length > 0 ? this.#leaveAt : Number.POSITIVE_INFINITY;
  }

  /** Takes a new list. @returns whether the first attempt has to begin */
  setServers(names: readonly string[], now: number): boolean {
    const used = this.#server;
    const known = used === undefined ? this.#servers : [...this.#servers, used];
    const left = new Map(known.map((server) => [server.name, server]));
    const joined: Server[] = [];
    this.#servers = names.map((name) => {
      let server = left.get(name);
      left.delete(name);
      if (server === undefined) {
        server = { id: this.#ids++, name };
        joined.push(server);
      }
      return server;
    });
    for (const server of left.values()) if (server !== used) this.#effects.leave(server.id);
    if (!left.has(this.name)) this.#leaveAt = Number.POSITIVE_INFINITY;
    else this.#leaveAt = Math.min(this.#leaveAt, now + LEAVE_DELAY);
    for (const { id, name } of joined) this.#effects.join(id, name);
    if (used !== undefined || this.#servers.length === 0) return false;
    this.#server = this.#servers[0];
    return true;
  }

  open(now: number): void {
    this.#number += 1;
    this.phase = this.#server === undefined ? "idle" : "connecting";
    this.until = Number.POSITIVE_INFINITY;
    if (this.#server === undefined) return;
    this.progress(now);
    this.#effects.open(this.#number, this.#server.id, this.#server.name);
  }

  progress(now: number): void {
    this.until = now + this.#patience;
  }

  succeed(): void {
    this.#failures = 0;
  }

  /**
   * Ends an attempt. The pause before the next one avoids a busy loop with dead or refusing servers.
   *
   * @param delay ms at most. Default: doubled until an attempt succeeds
   */
  end(reason: FailOverReason, now: number, delay?: number): void {
    this.phase = "pausing";
    this.#reason = reason;
    const { retryDelay, maxRetryDelay, random } = this.#retry;
    if (delay === undefined) this.until = now + backOff(this.#failures++, retryDelay, maxRetryDelay, random);
    else this.until = now + backOff(0, delay, delay, random);
  }

  /** Selects the next server, or the same one again. {@link open} follows. */
  failOver(reason: FailOverReason = this.#reason): void {
    const from = this.#server as Server;
    this.#reason = reason;
    // An unlisted server is followed by the first of the list.
    const at = this.#servers.indexOf(from);
    const next = this.#servers[(at + 1) % this.#servers.length] ?? from;
    if (next === from) return;
    this.#server = next;
    this.#leaveAt = Number.POSITIVE_INFINITY;
    this.failOvers += 1;
    this.#effects.event({ type: "server:failed-over", from: from.name, to: next.name, reason });
    if (at < 0) this.#effects.leave(from.id);
  }
}
