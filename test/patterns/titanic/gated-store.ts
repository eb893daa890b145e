/** A store in memory whose writes reach the disk when the test says so, or fail. */
import { StoreError, type StoreErrorReason } from "../../../src/store/store.js";
import { MemoryStore } from "./memory-store.js";

export class GatedStore extends MemoryStore {
  /** Calls of each method. */
  readonly calls = new Map<string, number>();
  /** While it is set, a write waits for it before it settles; it took place at once. */
  flush: Promise<void> | undefined;
  /** Errors of the next writes: "outcome-unknown" took place, "failed" did not. */
  readonly failures: { readonly method: string; readonly reason: StoreErrorReason }[] = [];

  protected override now(): number {
    return performance.now();
  }

  protected override async operate<T>(method: string, commit: () => T): Promise<T> {
    this.calls.set(method, (this.calls.get(method) ?? 0) + 1);
    if (["claim", "look", "services"].includes(method)) return commit();
    const at = this.failures.findIndex((failure) => failure.method === method);
    const [failure] = at < 0 ? [] : this.failures.splice(at, 1);
    if (failure !== undefined && failure.reason !== "outcome-unknown")
      throw new StoreError(failure.reason, "no");
    const result = commit();
    await this.flush;
    if (failure !== undefined) throw new StoreError(failure.reason, "lost");
    return result;
  }
}
