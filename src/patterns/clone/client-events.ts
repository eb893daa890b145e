/** What a clone's client tells: its events, its accounts, and the changes that it saw. */
import type { ShoalError } from "../../core/errors.js";
import type { CloneFault } from "./protocol.js";

/**
 * How far the map can be trusted.
 *
 *   syncing  the map is being loaded; before the first time it is empty, later it is as it was
 *   live     every update is applied as it comes
 *   stale    nothing was heard of the server for too long, or the connection is lost: the map may be old
 *   closed
 */
export type CloneState = "syncing" | "live" | "stale" | "closed";

/** What happens to a clone's client. */
export type CloneClientEvent =
  /** `silentFor`: ms since the server was heard last. */
  | { readonly type: "state"; readonly state: CloneState; readonly silentFor: number }
  /** It turns to the next server. */
  | {
      readonly type: "fail-over";
      readonly from: string;
      readonly to: string;
      readonly reason: "silent" | "disconnected" | "no-snapshot" | "refused";
    }
  /** The map was loaded. `duration` in ms. */
  | {
      readonly type: "snapshot";
      readonly server: string;
      readonly entries: number;
      readonly sequence: number;
      readonly duration: number;
    }
  /**
   * Updates were missed, or the server's sequence went backwards: the map is loaded anew. `expected` is the sequence
   * that should have come, `got` the one that did.
   */
  | { readonly type: "gap"; readonly expected: number; readonly got: number }
  /**
   * A server does not let this client in, or is not the one whose key was given, or speaks another protocol. It is
   * tried again, and so are the others. `server`: its snapshot endpoint.
   */
  | {
      readonly type: "handshake:error";
      readonly server: string;
      readonly port: "snapshot" | "publisher" | "collector";
      readonly error: ShoalError;
    }
  /** A message that 12/CHP does not allow; it was dropped. */
  | {
      readonly type: "fault";
      readonly port: "snapshot" | "publisher";
      readonly fault: CloneFault | "too-large";
    }
  /** An update that is not later than what the map has; it was dropped. Told for the first of a row. */
  | { readonly type: "old"; readonly sequence: number; readonly last: number }
  /** A value that does not pass the codec or schema, or a key that is no text: it is there, but not handed out. */
  | { readonly type: "invalid"; readonly key: Buffer; readonly error: unknown }
  /** A `watch` that is read too slowly has lost its oldest change. */
  | { readonly type: "watch:overflow"; readonly lost: number };

/** Counts since the client was made, and what it holds now. */
export interface CloneClientStats {
  readonly state: CloneState;
  /** The server in use. */
  readonly server: string;
  readonly entries: number;
  /** Bytes of keys and values, and bytes that the map takes in memory, about. */
  readonly bytes: number;
  readonly memory: number;
  /** Of the last update that was applied. */
  readonly sequence: number;
  /** ms since the server was heard last. */
  readonly silentFor: number;
  /** Updates that came; some of them are in a snapshot that was loaded meanwhile. */
  readonly received: number;
  readonly applied: number;
  readonly old: number;
  readonly gaps: number;
  readonly snapshots: number;
  readonly failOvers: number;
  readonly faults: number;
  /** Handshakes with servers that failed. */
  readonly handshakeErrors: number;
  readonly invalid: number;
  /** sets = acknowledged + timedOut + aborted + inFlight. */
  readonly sets: number;
  readonly acknowledged: number;
  readonly timedOut: number;
  readonly aborted: number;
  readonly inFlight: number;
  /** Updates that were sent again, to the same server or another. */
  readonly resent: number;
  /** Changes that slow watches lost. */
  readonly watchLost: number;
}

/** A change of a key, as `watch` gives it. */
export interface CloneChange<V> {
  readonly type: "set" | "delete";
  readonly key: string;
  /** `undefined` when it was deleted. */
  readonly value: V | undefined;
  /** `undefined` when it was not there, or its value does not pass the codec. */
  readonly old: V | undefined;
  readonly sequence: number;
  /** Whether this client made it. */
  readonly own: boolean;
  /** It was found by comparing a new snapshot with the map as it was: what lay between is not known. */
  readonly resync: boolean;
}
