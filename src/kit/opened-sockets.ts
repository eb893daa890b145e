interface Closable {
  close(options: { readonly linger: number }): Promise<unknown>;
}

interface Connectable extends Closable {
  connect(endpoint: string): void;
}

/** Connects a new socket, and closes it if that throws. */
export function connected<S extends Connectable>(socket: S, endpoint: string): S {
  try {
    socket.connect(endpoint);
    return socket;
  } catch (error) {
    void socket.close({ linger: 0 });
    throw error;
  }
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
