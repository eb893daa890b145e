interface Closable {
  close(options: { readonly linger: number }): Promise<unknown>;
}

/** Sockets of a constructor: when one cannot be opened, those before it are closed. */
export class OpenedSockets {
  readonly #opened: Closable[] = [];

  /** @throws as `make`; everything opened so far is closed then */
  open<T extends Closable>(make: () => T): T {
    try {
      const opened = make();
      this.#opened.push(opened);
      return opened;
    } catch (error) {
      for (const each of this.#opened) void each.close({ linger: 0 });
      throw error;
    }
  }
}
