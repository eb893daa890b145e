/** What the clone scenarios use of a server's key-value store, whichever that is. */

export interface Store {
  /** Settles when the server has it. Order is that of the calls. */
  put(key: string, value: Uint8Array): Promise<unknown>;
  /**
   * Every change from now on, none left out, in order.
   *
   * @param prefix of the keys. @returns when the server watches
   */
  watch(prefix: string, changed: (key: string, value: Buffer) => void): Promise<void>;
  close(): Promise<unknown>;
}

/** A run's own place in a server: where it is made, found and removed. */
export interface Place {
  /** What the other sides get. */
  readonly endpoint: string;
  open(): Promise<Store>;
  /** After everything is closed. */
  remove(): Promise<unknown>;
}
