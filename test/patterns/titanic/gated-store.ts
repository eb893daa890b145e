/** A store in memory whose writes reach the disk when the test says so, or fail. */

import { StoreError, type StoreErrorReason } from "../../../src/patterns/kit/store/error.js";
import type {
  TitanicBurial,
  TitanicClaimedRequest,
  TitanicNewRequest,
  TitanicRequestState,
  TitanicStore,
  TitanicStoredDeadLetter,
  TitanicStoreStats,
} from "../../../src/patterns/titanic/store.js";

interface Kept {
  readonly request: TitanicNewRequest;
  reply: readonly Buffer[] | undefined;
  failures: number;
  held: boolean;
  burial: TitanicBurial | undefined;
}

export class GatedStore implements TitanicStore {
  onDamage: TitanicStore["onDamage"];
  readonly kept = new Map<string, Kept>();
  /** Calls of each method. */
  readonly calls = new Map<string, number>();
  /** While it is set, a write waits for it before it settles; it took place at once. */
  flush: Promise<void> | undefined;
  /** Errors of the next writes: "outcome-unknown" took place, "failed" did not. */
  readonly failures: { readonly method: string; readonly reason: StoreErrorReason }[] = [];

  async #write<T>(method: string, change: () => T): Promise<T> {
    this.calls.set(method, (this.calls.get(method) ?? 0) + 1);
    const at = this.failures.findIndex((failure) => failure.method === method);
    const [failure] = at < 0 ? [] : this.failures.splice(at, 1);
    if (failure !== undefined && failure.reason !== "outcome-unknown")
      throw new StoreError(failure.reason, "no");
    const result = change();
    await this.flush;
    if (failure !== undefined) throw new StoreError(failure.reason, "lost");
    return result;
  }

  put(request: TitanicNewRequest): Promise<boolean> {
    return this.#write("put", () => {
      const key = request.uuid.toString("hex");
      if (this.kept.has(key)) return false;
      this.kept.set(key, { request, reply: undefined, failures: 0, held: false, burial: undefined });
      return true;
    });
  }

  async claim(service: Buffer, limit: number): Promise<TitanicClaimedRequest[]> {
    const waiting = [...this.kept.values()].filter(
      (k) => k.request.service.equals(service) && !k.held && k.reply === undefined && k.burial === undefined,
    );
    return waiting.slice(0, limit).map((k) => {
      k.held = true;
      return { ...k.request, attempts: k.failures + 1 };
    });
  }

  release(uuid: Buffer, _delay: number, failed: boolean): Promise<void> {
    return this.#write("release", () => {
      const kept = this.#get(uuid);
      if (kept === undefined) return;
      kept.held = false;
      if (failed) kept.failures += 1;
    });
  }

  bury(uuid: Buffer, burial: TitanicBurial): Promise<boolean> {
    return this.#write("bury", () => {
      const kept = this.#get(uuid);
      if (kept === undefined || kept.reply !== undefined) return false;
      kept.burial = burial;
      return true;
    });
  }

  async deadLetters(): Promise<TitanicStoredDeadLetter[]> {
    return [];
  }

  answer(uuid: Buffer, reply: readonly Buffer[]): Promise<boolean> {
    return this.#write("answer", () => {
      const kept = this.#get(uuid);
      if (kept === undefined || kept.reply !== undefined || kept.burial !== undefined) return false;
      kept.reply = reply;
      return true;
    });
  }

  async look(uuid: Buffer): Promise<TitanicRequestState> {
    const kept = this.#get(uuid);
    if (kept === undefined) return { state: "unknown" };
    if (kept.burial !== undefined) return { state: "dead", reason: kept.burial.reason };
    return kept.reply === undefined ? { state: "pending" } : { state: "answered", reply: kept.reply };
  }

  forget(uuid: Buffer): Promise<void> {
    return this.#write("forget", () => {
      this.kept.delete(uuid.toString("hex"));
    });
  }

  async expire(): Promise<number> {
    return 0;
  }

  async services(): Promise<Buffer[]> {
    return [...this.kept.values()].map(({ request }) => request.service);
  }

  stats(): TitanicStoreStats {
    return { pending: 0, answered: 0, dead: 0, commits: 0, operations: 0 };
  }

  async close(): Promise<void> {}

  #get(uuid: Buffer): Kept | undefined {
    return this.kept.get(uuid.toString("hex"));
  }
}
