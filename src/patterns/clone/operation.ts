/** The updates in flight through a server, and their queue to the store. */
import { costOf } from "../../core/frame-cost.js";
import { conditionOf, encodeTimeToLive, timeToLive } from "./properties.js";
import {
  type CloneFault,
  EMPTY,
  KEY,
  keyFault,
  PROPERTIES,
  UUID,
  UUID_BYTES,
  updateFault,
  VALUE,
  writeSequence,
} from "./protocol.js";

export type OperationKind =
  | "set"
  | "delete"
  /** A repeated update: its client missed the acknowledgement. The key is published unchanged, with the UUID. */
  | "announce"
  /** An update with a failed condition. The key is published unchanged, with the UUID and its revision. */
  | "conflict";

export interface Operation {
  readonly kind: OperationKind;
  readonly key: Buffer;
  /** 16 bytes, or none. */
  readonly uuid: Buffer;
  /** As the client wrote them. */
  readonly properties: Buffer;
  readonly value: Buffer;
  /** When the key ends, in ms of the rules' clock; 0: never. */
  readonly expires: number;
  /** A client sent it to this server. */
  readonly counted: boolean;
  /** The required revision of the key, 0 for none; `undefined` for any, or once decided. */
  readonly condition: number | undefined;
  /** 0 before the update is ordered. */
  sequence: number;
}

/** Bytes that an operation adds to a table, about. */
export function sizeOf(operation: Operation): number {
  return operation.key.length + operation.value.length + operation.properties.length;
}

/** Bytes that a queued update counts (core/frame-cost.ts). */
export function costOfOperation({ key, value, properties }: Operation): number {
  return costOf([key, value, properties]);
}

/** Copies an update, to release its received chunk. */
export function copyOf(operation: Operation): Operation {
  const { kind, key, uuid, properties, value, expires, counted, condition, sequence } = operation;
  const copied = {
    kind,
    key: Buffer.from(key),
    uuid: Buffer.from(uuid),
    properties: properties.length === 0 ? EMPTY : Buffer.from(properties),
    value: value.length >= 65_536 || value.length === 0 ? value : Buffer.from(value),
  };
  return { ...copied, expires, counted, condition, sequence };
}

/** Parses a KVSET. */
export function operationOf(frames: readonly Buffer[], now: number): Operation | CloneFault {
  const fault = updateFault(frames) ?? keyFault(frames[KEY] as Buffer);
  if (fault !== undefined) return fault;
  const properties = frames[PROPERTIES] as Buffer;
  const ttl = timeToLive(properties);
  const condition = conditionOf(properties);
  if (ttl === undefined || condition === null) return "properties";
  // Without a UUID a conflict could not be reported.
  if (condition !== undefined && (frames[UUID] as Buffer).length === 0) return "uuid";
  const value = frames[VALUE] as Buffer;
  return {
    kind: value.length === 0 ? "delete" : "set",
    key: frames[KEY] as Buffer,
    uuid: frames[UUID] as Buffer,
    properties,
    value,
    expires: ttl === 0 || value.length === 0 ? 0 : now + ttl,
    counted: true,
    condition,
    sequence: 0,
  };
}

/** Makes the updates of the server itself. */
export class OwnUpdates {
  readonly #token: Buffer;
  #made = 0;

  /** @param token 8 random bytes, the first half of their UUIDs */
  constructor(token: Buffer) {
    this.#token = token;
  }

  /** @param ttl ms; 0: none */
  make(kind: OperationKind, key: Buffer, value: Buffer, ttl: number, now: number): Operation {
    const uuid = Buffer.allocUnsafe(UUID_BYTES);
    uuid.set(this.#token);
    writeSequence(uuid, 8, ++this.#made);
    const properties = ttl === 0 ? EMPTY : encodeTimeToLive(ttl);
    const expires = ttl === 0 ? 0 : now + ttl;
    return { kind, key, uuid, properties, value, expires, counted: false, condition: undefined, sequence: 0 };
  }
}

/** Updates in one commit. */
const MAX_COMMIT = 4_096;

/**
 * The updates in flight to the store, one commit at a time.
 *
 *   push ──> waiting ──take──> a place in the order ──> commit ──> taken
 *               ^                                         │ failed
 *               └──────────── deletes, once ──────────────┴──> refused, with all that waits
 */
export class CommitQueue {
  #waiting: Operation[] = [];
  #bytes = 0;
  #committing: Operation[] | undefined;
  #committingBytes = 0;
  /** The last sequence. */
  #ordered = 0;

  /** Waiting and committing updates. */
  get size(): number {
    return this.#waiting.length + (this.#committing?.length ?? 0);
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Bytes of them. */
  get bytes(): number {
    return this.#bytes + this.#committingBytes;
  }

  get committing(): boolean {
    return this.#committing !== undefined;
  }

  *keys(): Generator<Buffer> {
    for (const { key } of this.#waiting) yield key;
    for (const { key } of this.#committing ?? []) yield key;
  }

  push(operation: Operation): void {
    this.#waiting.push(operation);
    this.#bytes += costOfOperation(operation);
  }

  /** Orders the next batch. Updates of another server have their sequences already. */
  take(): Operation[] {
    const all = this.#waiting;
    const batch = all.length <= MAX_COMMIT ? all : all.slice(0, MAX_COMMIT);
    this.#waiting = batch === all ? [] : all.slice(MAX_COMMIT);
    for (const operation of batch) {
      this.#bytes -= costOfOperation(operation);
      if (operation.sequence === 0) operation.sequence = ++this.#ordered;
    }
    return batch;
  }

  commit(batch: Operation[]): void {
    this.#committing = batch;
    for (const operation of batch) this.#committingBytes += costOfOperation(operation);
  }

  /** @returns what was committed */
  committed(): Operation[] {
    const batch = this.#committing ?? [];
    this.#committing = undefined;
    this.#committingBytes = 0;
    return batch;
  }

  get ordered(): number {
    return this.#ordered;
  }

  /** Continues after the last update in flight of another server, or after `sequence`. */
  continueAfter(sequence: number): void {
    this.#ordered = lastSequence(this.#waiting) ?? lastSequence(this.#committing ?? []) ?? sequence;
  }

  /** Continues after `sequence`, of another map. */
  restart(sequence: number): void {
    this.#ordered = sequence;
  }

  /** Empties the queue. */
  drop(): Operation[] {
    const dropped = this.#waiting;
    this.#waiting = [];
    this.#bytes = 0;
    return dropped;
  }

  /**
   * Takes back a failed commit and all updates behind it, which clients repeat. Deletes are tried again at once, since they
   * free space on a full disk, unless the commit had nothing else.
   *
   * @returns the refused updates
   */
  refuse(): Operation[] {
    const batch = this.committed();
    this.#ordered = (batch[0]?.sequence ?? this.#ordered + 1) - 1;
    const grew = batch.some(({ kind }) => kind === "set");
    const refused: Operation[] = [];
    for (const operation of [...batch, ...this.drop()]) {
      if (!grew || operation.kind !== "delete") refused.push(operation);
      else {
        operation.sequence = 0;
        this.push(operation);
      }
    }
    return refused;
  }
}

function lastSequence(operations: readonly Operation[]): number | undefined {
  return operations[operations.length - 1]?.sequence;
}
