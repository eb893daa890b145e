/** Updates in flight through a server, and their queue to the store. */
import { owned } from "../../core/bytes.js";
import { conditionOf, timeToLive } from "./properties.js";
import { type CloneFault, KEY, keyFault, PROPERTIES, UUID, updateFault, VALUE } from "./protocol.js";

export type OperationKind =
  | "set"
  | "delete"
  /** A repeated update: published unchanged, with the UUID. */
  | "announce"
  /** A failed condition: published unchanged, with the UUID and the revision. */
  | "conflict";

export interface Operation {
  readonly kind: OperationKind;
  readonly key: Buffer;
  readonly uuid: Buffer;
  /** As the client wrote them. */
  readonly properties: Buffer;
  readonly value: Buffer;
  /** ms of the rules' clock; 0: never. */
  readonly expires: number;
  /** Sent by a client to this server. */
  readonly counted: boolean;
  /** The required revision, 0: none; `undefined`: any, or decided. */
  readonly condition: number | undefined;
  /** 0 before it is ordered. */
  sequence: number;
}

export function sizeOf(operation: Operation): number {
  return operation.key.length + operation.value.length + operation.properties.length;
}

/** Releases the received chunk. */
export function copyOf(operation: Operation): Operation {
  const [key, uuid] = [owned(operation.key), owned(operation.uuid)];
  const [properties, value] = [owned(operation.properties), owned(operation.value)];
  return { ...operation, key, uuid, properties, value };
}

export function operationOf(frames: readonly Buffer[], now: number): Operation | CloneFault {
  const fault = updateFault(frames) ?? keyFault(frames[KEY] as Buffer);
  if (fault !== undefined) return fault;
  const properties = frames[PROPERTIES] as Buffer;
  const ttl = timeToLive(properties);
  const condition = conditionOf(properties);
  if (ttl === undefined || condition === null) return "properties";
  // A conflict could not be reported.
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

const MAX_COMMIT = 4_096;

/**
 * Updates in flight: one commit at a time, and durable ones that may not be acknowledged yet.
 *
 *   push ──> waiting ──take──> a place in the order ──> commit ──> taken ──> unconfirmed ──release──>
 *               ^                                         │ failed
 *               └──────────── deletes, once ──────────────┴──> refused, with all that waits
 */
export class CommitQueue {
  #waiting: Operation[] = [];
  #bytes = 0;
  #committing: Operation[] | undefined;
  #committingBytes = 0;
  readonly unconfirmed: Operation[] = [];
  #unconfirmedBytes = 0;
  /** Sequence of the last ordered update. */
  ordered = 0;

  get size(): number {
    return this.#waiting.length + (this.#committing?.length ?? 0) + this.unconfirmed.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get bytes(): number {
    return this.#bytes + this.#committingBytes + this.#unconfirmedBytes;
  }

  get committing(): boolean {
    return this.#committing !== undefined;
  }

  operations(): Operation[] {
    return [...this.unconfirmed, ...(this.#committing ?? []), ...this.#waiting];
  }

  push(operation: Operation): void {
    this.#waiting.push(operation);
    this.#bytes += sizeOf(operation);
  }

  /** Orders the next batch. The other server's updates have sequences. */
  take(): Operation[] {
    const all = this.#waiting;
    const batch = all.length <= MAX_COMMIT ? all : all.slice(0, MAX_COMMIT);
    this.#waiting = batch === all ? [] : all.slice(MAX_COMMIT);
    for (const operation of batch) {
      this.#bytes -= sizeOf(operation);
      if (operation.sequence === 0) operation.sequence = ++this.ordered;
    }
    return batch;
  }

  commit(batch: Operation[]): void {
    this.#committing = batch;
    for (const operation of batch) this.#committingBytes += sizeOf(operation);
  }

  committed(): Operation[] {
    const batch = this.#committing ?? [];
    this.#committing = undefined;
    this.#committingBytes = 0;
    return batch;
  }

  hold(operation: Operation): void {
    this.unconfirmed.push(operation);
    this.#unconfirmedBytes += sizeOf(operation);
  }

  /** @param last sequence. Default: all. @returns the unconfirmed updates up to it */
  release(last: number = Number.POSITIVE_INFINITY): Operation[] {
    let count = 0;
    while (count < this.unconfirmed.length && (this.unconfirmed[count] as Operation).sequence <= last)
      count += 1;
    const released = count === 0 ? [] : this.unconfirmed.splice(0, count);
    for (const operation of released) this.#unconfirmedBytes -= sizeOf(operation);
    return released;
  }

  /** Continues after the last update in flight, or `sequence`. */
  continueAfter(sequence: number): void {
    this.ordered = this.#waiting.at(-1)?.sequence ?? this.#committing?.at(-1)?.sequence ?? sequence;
  }

  drop(): Operation[] {
    const dropped = this.#waiting;
    this.#waiting = [];
    this.#bytes = 0;
    return dropped;
  }

  /**
   * Takes back a failed commit and all updates behind it. Deletes are tried again at once, since they free space,
   * unless the commit had nothing else.
   *
   * @returns the refused updates, which clients repeat
   */
  refuse(): Operation[] {
    const batch = this.committed();
    this.ordered = (batch[0]?.sequence ?? this.ordered + 1) - 1;
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
