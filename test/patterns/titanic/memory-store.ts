/** A store in memory, also one that several processes share. What an operation meets on its way there and back is the test's. */
import type {
  TitanicClaimedRequest,
  TitanicDeath,
  TitanicNewRequest,
  TitanicRequestState,
  TitanicStore,
} from "../../../src/patterns/titanic/index.js";

export interface Row {
  readonly request: TitanicNewRequest;
  failures: number;
  /** Until when a claim holds it. */
  heldUntil: number;
  holder: MemoryStore | undefined;
  reply: readonly Buffer[] | undefined;
  death: TitanicDeath | undefined;
}

const isWaiting = ({ reply, death }: Row): boolean => reply === undefined && death === undefined;

/** Requests that have neither a reply nor ended as dead letters. */
export function waiting(rows: ReadonlyMap<string, Row>): Row[] {
  return [...rows.values()].filter(isWaiting);
}

export abstract class MemoryStore implements TitanicStore {
  onDamage: TitanicStore["onDamage"];
  readonly rows: Map<string, Row>;

  /** @param rows by UUID in hex */
  constructor(rows = new Map<string, Row>()) {
    this.rows = rows;
  }

  put(request: TitanicNewRequest): Promise<boolean> {
    return this.operate("put", () => {
      const uuid = request.uuid.toString("hex");
      if (this.rows.has(uuid)) return false;
      const row = { failures: 0, heldUntil: 0, holder: undefined, reply: undefined, death: undefined };
      this.rows.set(uuid, { request, ...row });
      return true;
    });
  }

  claim(service: Buffer, limit: number, lease: number): Promise<TitanicClaimedRequest[]> {
    return this.operate("claim", () => {
      const now = this.now();
      const free = waiting(this.rows).filter(
        ({ request, heldUntil }) => request.service.equals(service) && heldUntil <= now,
      );
      return free.slice(0, limit).map((row) => {
        Object.assign(row, { heldUntil: now + lease, holder: this });
        return { ...row.request, attempts: row.failures + 1 };
      });
    });
  }

  release(uuid: Buffer, delay: number, failed: boolean): Promise<void> {
    return this.operate("release", () => {
      const row = this.#held(uuid);
      if (row === undefined) return;
      Object.assign(row, { heldUntil: this.now() + delay, holder: undefined });
      if (failed) row.failures += 1;
    });
  }

  markDead(uuid: Buffer, death: TitanicDeath): Promise<boolean> {
    return this.operate("markDead", () => {
      const row = this.#held(uuid);
      if (row !== undefined) row.death = death;
      return row !== undefined;
    });
  }

  answer(uuid: Buffer, reply: readonly Buffer[]): Promise<boolean> {
    return this.operate("answer", () => {
      const row = this.#row(uuid);
      if (row === undefined || !isWaiting(row)) return false;
      row.reply = reply;
      return true;
    });
  }

  look(uuid: Buffer): Promise<TitanicRequestState> {
    return this.operate("look", () => {
      const row = this.#row(uuid);
      if (row === undefined) return { state: "unknown" };
      if (row.death !== undefined) return { state: "dead", reason: row.death.reason };
      return row.reply === undefined ? { state: "pending" } : { state: "answered", reply: row.reply };
    });
  }

  forget(uuid: Buffer): Promise<void> {
    return this.operate("forget", () => void this.rows.delete(uuid.toString("hex")));
  }

  services(limit: number, after = Buffer.alloc(0)): Promise<Buffer[]> {
    return this.operate("services", () => {
      const names = new Set(waiting(this.rows).map(({ request }) => String(request.service)));
      const rest = [...names].sort().filter((name) => name > String(after));
      return rest.slice(0, limit).map((name) => Buffer.from(name));
    });
  }

  deadLetters = async () => [];
  expire = async () => 0;
  stats = () => ({ pending: 0, answered: 0, dead: 0, commits: 0, operations: 0 });
  close = async () => undefined;

  /** ms of the clock that its claims end by. */
  protected abstract now(): number;

  /** It may arrive, be committed, and be answered: each late, or not at all. */
  protected abstract operate<T>(method: keyof TitanicStore, commit: () => T): Promise<T>;

  #row(uuid: Buffer): Row | undefined {
    return this.rows.get(uuid.toString("hex"));
  }

  /** Another process may have it when the lease was over. */
  #held(uuid: Buffer): Row | undefined {
    const row = this.#row(uuid);
    return row?.holder === this && isWaiting(row) ? row : undefined;
  }
}
