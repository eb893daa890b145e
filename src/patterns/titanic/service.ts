/** Titanic and its store in one: what `shoal majordomo broker --titanic DIR` runs beside its broker. */
import type { PatternCloseOptions } from "../majordomo/broker.js";
import { LmdbStore, type LmdbStoreOptions } from "./lmdb-store.js";
import { Titanic } from "./titanic.js";
import type { TitanicOptions } from "./titanic-options.js";

/** A Titanic that closes its store with itself. */
export interface TitanicService extends AsyncDisposable {
  readonly titanic: Titanic;
  /** The store's file that was damaged and set aside at opening, and why. */
  readonly damagedFile: LmdbStore["damagedFile"];
  /** Closes the Titanic, then the store. To be called before the broker closes. */
  close(options?: PatternCloseOptions): Promise<void>;
}

/**
 * Opens the store in a folder and serves it at a broker.
 *
 * @param endpoint of the broker, such as its `lastEndpoint`
 * @throws NotSupportedError, StoreError, InvalidArgumentError as {@link LmdbStore.open} and {@link Titanic}
 */
export function openTitanic(
  endpoint: string | readonly string[],
  directory: string,
  options: TitanicOptions & { readonly store?: LmdbStoreOptions } = {},
): TitanicService {
  const { store: storeOptions, ...titanicOptions } = options;
  const store = LmdbStore.open(directory, storeOptions);
  const titanic = new Titanic(endpoint, store, titanicOptions);
  const close = async (closeOptions?: PatternCloseOptions): Promise<void> => {
    await titanic.close(closeOptions);
    await store.close();
  };
  return { titanic, damagedFile: store.damagedFile, close, [Symbol.asyncDispose]: () => close() };
}
