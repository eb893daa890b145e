/**
 * Updates in hand: in the order in which they came, and in commits.
 *
 *   push ──> waiting ──take──> a place in the order ──> commit ──> taken
 *               ^                                         │
 *               └────── deletes, and what came later ─────┴──> refused
 */
import { type Operation, sizeOf } from "./operation.js";

/** Updates of one commit at most. */
const MAX_COMMIT = 4_096;

export class InHand {
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
    this.#bytes += sizeOf(operation);
  }

  /** The next have their place; those of another server keep theirs. */
  take(): Operation[] {
    const all = this.#waiting;
    const batch = all.length <= MAX_COMMIT ? all : all.slice(0, MAX_COMMIT);
    this.#waiting = batch === all ? [] : all.slice(MAX_COMMIT);
    for (const operation of batch) {
      this.#bytes -= sizeOf(operation);
      if (operation.sequence === 0) operation.sequence = ++this.#ordered;
    }
    return batch;
  }

  commit(batch: Operation[]): void {
    this.#committing = batch;
    for (const operation of batch) this.#committingBytes += sizeOf(operation);
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
    // Nobody may be told of an update that came twice and was refused.
    const announces = ({ kind, uuid }: Operation): boolean =>
      kind === "announce" && names.has(uuid.toString("latin1"));
    const waiting = [...again, ...this.drop().filter((operation) => !announces(operation))];
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
