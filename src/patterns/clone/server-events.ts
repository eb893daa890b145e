/** What a clone's server tells: its events and its accounts. */
import type { ShoalError } from "../../core/errors.js";
import type { StarEvent } from "../binary-star/events.js";
import type { CloneFault } from "./protocol.js";

/** Why an update of a client was not taken. Its client sends it again, and gives up by its time-out. */
export type RefusalReason =
  /** More updates wait for the store, or for the other server, than may. */
  | "overloaded"
  /** The map has as many bytes as it may. */
  | "full"
  /** The store refused or failed. */
  | "store"
  /** It has no UUID, and this server stands by: whether the other had it cannot be known. */
  | "no-uuid"
  /** The other server did not apply it in all the time: it refused it. */
  | "stale";

/** Why a snapshot ended early. */
export type SnapshotLoss =
  /** The client is gone. */
  | "gone"
  /** So much changed under it that it would take too much memory. */
  | "overrun"
  /** Too many wait already. */
  | "too-many"
  /** This server does not serve any more. */
  | "not-serving";

/** What happens to a clone's server; with a pair, what happens to its Binary Star, too. */
export type CloneServerEvent =
  | StarEvent
  /** A message that 12/CHP does not allow; it was dropped. */
  | {
      readonly type: "fault";
      readonly port: "snapshot" | "collector" | "replication";
      readonly fault: CloneFault;
    }
  /** Updates that were not taken. */
  | { readonly type: "refused"; readonly reason: RefusalReason; readonly count: number }
  /** A client has its snapshot. `duration` in ms. */
  | {
      readonly type: "snapshot";
      readonly subtree: Buffer;
      readonly entries: number;
      readonly sequence: number;
      readonly duration: number;
    }
  /** A client will not have its snapshot. */
  | { readonly type: "snapshot:lost"; readonly subtree: Buffer; readonly reason: SnapshotLoss }
  /** The store refused or failed: what was in the commit was not taken. */
  | { readonly type: "store:error"; readonly error: ShoalError }
  /** Entries of the store that cannot be read were left out. */
  | { readonly type: "store:damage"; readonly entries: number }
  /** The other server has the whole map: from now on nothing is acknowledged that it has not. */
  | { readonly type: "replica:join"; readonly sequence: number }
  /** The other server is gone or too slow: this one acknowledges alone. */
  | { readonly type: "replica:leave"; readonly reason: "gone" | "silent" | "slow" | "left" }
  /**
   * The map is the other server's from now on, and has not what this one acknowledged alone: they served apart, cut from
   * each other or by the operator's word. `updates`: how many of them, at most. `entries`: the keys that they set, which
   * the store keeps at `aside`; `undefined`: it is kept nowhere, and lost.
   */
  | {
      readonly type: "diverged";
      /** The sequence up to which the two maps were one. */
      readonly after: number;
      readonly updates: number;
      readonly entries: number;
      readonly aside: string | undefined;
    }
  /**
   * A client asks, and this server does not serve: it has not met the other one, and its store does not say that it
   * served last. It waits for the other server, or the operator's `star.resolve("active")`. Told once.
   */
  | { readonly type: "unmet" }
  /** The other server is of a version of shoal that this one does not understand on their link; neither follows. */
  | { readonly type: "incompatible" }
  /** The other server does not let this one in, or is not the one whose key was given. It is tried again. */
  | { readonly type: "handshake:error"; readonly error: ShoalError }
  /** This server, which stands by, has the whole map of the one that serves. */
  | { readonly type: "replicated"; readonly entries: number; readonly sequence: number }
  /** Copies of updates that slow clients miss; each sees the gap, and asks for a snapshot. */
  | { readonly type: "drop"; readonly copies: number };

/** Counts since the server was made, and what it holds now. */
export interface CloneServerStats {
  /** Keys, and the bytes of keys and values. */
  readonly entries: number;
  readonly bytes: number;
  /** Bytes that the map takes in memory, about. */
  readonly memory: number;
  readonly sequence: number;
  /** Of a pair: rises each time one of the servers begins to serve. 0: none yet, or no pair. */
  readonly term: number;
  readonly serving: boolean;
  /** Keys that end by themselves. */
  readonly ephemeral: number;
  /** Updates that came from clients. */
  readonly received: number;
  /** Put in order, applied and published. */
  readonly applied: number;
  /** That had been applied before; they were acknowledged again. */
  readonly repeated: number;
  readonly refused: Readonly<Record<RefusalReason, number>>;
  readonly faults: Readonly<Record<CloneFault, number>>;
  /** Kept while standing by, until the server that serves has them applied. */
  readonly pending: number;
  /** That were kept, or came, while standing by, and came from the server that serves, too. */
  readonly paired: number;
  /** On their way to the store or to the other server. */
  readonly inHand: number;
  readonly published: number;
  readonly expired: number;
  readonly snapshots: {
    readonly active: number;
    readonly waiting: number;
    readonly done: number;
    readonly lost: number;
  };
  readonly commits: number;
  /** Whether the other server has all that is acknowledged. */
  readonly replicated: boolean;
}
