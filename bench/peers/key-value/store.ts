/** Interface of a server's key-value store for the clone scenarios. */

export interface Store {
  /** Settles when the server has the value. The order is that of the calls. */
  put(key: string, value: Uint8Array): Promise<unknown>;
  /**
   * Reports every later change, in order.
   *
   * @param prefix of the keys
   * @returns when the server watches
   */
  watch(prefix: string, changed: (key: string, value: Buffer) => void): Promise<void>;
  close(): Promise<unknown>;
}

/** A run's separate place in a server. */
export interface Place {
  /** Endpoint for the other sides. */
  readonly endpoint: string;
  open(): Promise<Store>;
  /** Removes the place after everything is closed. */
  remove(): Promise<unknown>;
}
