/** Updates on their way through a server: what they are, where they come from, and the queue to the store. */
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
  /**
   * An update that was applied before came again: its client has missed the
   * acknowledgement. The key is published again as it is, with the UUID, so that the
   * client sees it in order and nothing is applied twice.
   */
  | "announce"
  /**
   * An update whose condition did not hold. Nothing changes: the key is published as it is, with the UUID and its
   * revision, so that the client learns in the order of all updates that it lost.
   */
  | "conflict";

export interface Operation {
  readonly kind: OperationKind;
  readonly key: Buffer;
  /** 16 bytes, or none. */
  readonly uuid: Buffer;
  /** As the client wrote them. */
  readonly properties: Buffer;
  readonly value: Buffer;
  /** When the key ends, in the rules' time; 0: never. */
  readonly expires: number;
  /** Whether a client sent it to this server. */
  readonly counted: boolean;
  /** The revision that the key must have, 0: it must not be there; `undefined`: any, or decided already. */
  readonly condition: number | undefined;
  /** 0 until it has its place in the order. */
  sequence: number;
}

/** Bytes that an operation adds to a table, about. */
export function sizeOf(operation: Operation): number {
  return operation.key.length + operation.value.length + operation.properties.length;
}

/** What an operation costs while it waits. */
export function costOfOperation({ key, value, properties }: Operation): number {
  return costOf([key, value, properties]);
}

/** In memory of its own: what was received with others is a part of a larger memory, which must not be held for long. */
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

/** A client's update, or what is wrong with it. */
export function operationOf(frames: readonly Buffer[], now: number): Operation | CloneFault {
  const fault = updateFault(frames) ?? keyFault(frames[KEY] as Buffer);
  if (fault !== undefined) return fault;
  const properties = frames[PROPERTIES] as Buffer;
  const ttl = timeToLive(properties);
  const condition = conditionOf(properties);
  if (ttl === undefined || condition === null) return "properties";
  // A conflict could not be reported to its client.
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

/** Updates that the server makes itself. */
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

/** Updates of one commit at most. */
const MAX_COMMIT = 4_096;

/**
 * Updates in flight to the store: in the order in which they came, and in commits.
 *
 *   push ──> waiting ──take──> a place in the order ──> commit ──> taken
 *               ^                                         │
 *               └────── deletes, and what came later ─────┴──> refused
 */
export class CommitQueue {
  #waiting: Operation[] = [];
  #bytes = 0;
  /** With the store. */
  #committing: Operation[] | undefined;
  #committingBytes = 0;
  /** The last that has its place. */
  #ordered = 0;

  /** That wait, and that are with the store. */
  get size(): number {
    return this.#waiting.length + (this.#committing?.length ?? 0);
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** That all of them hold on to. */
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

  /** The next have their place; those of another server keep theirs. */
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

  /** The sequence that was given last. */
  get ordered(): number {
    return this.#ordered;
  }

  /** The order goes on: after what another server has put in order, or else after this. */
  continueAfter(sequence: number): void {
    this.#ordered = lastSequence(this.#waiting) ?? lastSequence(this.#committing ?? []) ?? sequence;
  }

  /** The order is another one. */
  restart(sequence: number): void {
    this.#ordered = sequence;
  }

  /** @returns what waited, and does not any more */
  drop(): Operation[] {
    const dropped = this.#waiting;
    this.#waiting = [];
    this.#bytes = 0;
    return dropped;
  }

  /**
   * The store refused the commit. A full disk takes no new value, but frees those that are deleted: they are tried
   * again, first.
   *
   * @returns what is refused
   */
  refuse(): Operation[] {
    const batch = this.committed();
    this.#ordered = (batch[0]?.sequence ?? this.#ordered + 1) - 1;
    const grows = batch.some(({ kind }) => kind === "set");
    const again = grows ? batch.filter(({ kind }) => kind === "delete") : [];
    const refused = batch.filter(({ kind }) => !(grows && kind === "delete"));
    const names = new Set(refused.map(({ uuid }) => uuid.toString("latin1")));
    // An update that came twice and was refused must not be answered.
    const answers = ({ kind, uuid }: Operation): boolean =>
      (kind === "announce" || kind === "conflict") && names.has(uuid.toString("latin1"));
    const waiting = [...again, ...this.drop().filter((operation) => !answers(operation))];
    for (const operation of waiting) {
      operation.sequence = 0;
      this.push(operation);
    }
    return refused;
  }
}

function lastSequence(operations: readonly Operation[]): number | undefined {
  return operations[operations.length - 1]?.sequence;
}
