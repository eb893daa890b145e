/** What a client's rules bring about, and how they run. */
import type { CloneClientEvent } from "./client-events.js";

/** What the rules bring about. */
export interface ClientOutbox {
  /** Connects to a server, in place of what was connected before. */
  open(attempt: number, server: number): void;
  ask(attempt: number): void;
  sendSet(server: number, frames: Buffer[]): boolean;
  /** Whether anybody watches. */
  readonly watching: boolean;
  changed(
    key: Buffer,
    old: Buffer | undefined,
    value: Buffer | undefined,
    sequence: number,
    own: boolean,
    resync: boolean,
  ): void;
  /** The map is whole, for the first time or again. */
  synced(): void;
  event(event: CloneClientEvent): void;
}

export interface ClientRulesOptions {
  /** For events. */
  readonly servers: readonly string[];
  readonly subtree: Buffer;
  /** ms between two signs of life of the server. */
  readonly heartbeatInterval: number;
  /** Of them, missing. */
  readonly liveness: number;
  /** ms without progress after which the next server is asked. */
  readonly snapshotTimeout: number;
  readonly maxInFlight: number;
  readonly maxBytes: number;
  /** 8 random bytes: the first half of the UUIDs of this client's updates. */
  readonly token: Buffer;
}
