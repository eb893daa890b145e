/** A Titanic that owns its store. */
import type { PatternCloseOptions } from "../../../src/kit/driver.js";
import type { PatternEndpoints } from "../../../src/kit/endpoint-list.js";
import type { TitanicOptions } from "../../../src/patterns/titanic/dispatch-rules.js";
import { LmdbStore, type LmdbStoreOptions } from "../../../src/patterns/titanic/lmdb-store.js";
import { Titanic } from "../../../src/patterns/titanic/titanic.js";

/** ms. */
export const QUICK = {
  checkInterval: 20,
  maxCheckInterval: 50,
  retryDelay: 20,
  maxRetryDelay: 50,
  scanInterval: 100,
};

export interface TitanicService {
  readonly titanic: Titanic;
  close(options?: PatternCloseOptions): Promise<void>;
}

export function openTitanic(
  endpoint: PatternEndpoints,
  directory: string,
  options: TitanicOptions = {},
  storeOptions: LmdbStoreOptions = {},
): TitanicService {
  const store = LmdbStore.open(directory, storeOptions);
  let titanic: Titanic;
  try {
    titanic = new Titanic(endpoint, store, options);
  } catch (error) {
    void store.close();
    throw error;
  }
  const close = async (options?: PatternCloseOptions): Promise<void> => {
    await titanic.close(options);
    await store.close();
  };
  return { titanic, close };
}
