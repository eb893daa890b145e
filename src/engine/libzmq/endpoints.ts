/**
 * Bound endpoints of a native socket. libzmq closes a listener some time after `unbind` returns, so `unbind` waits
 * for the monitor's `close` event.
 */
import { calling, type NativeSocket, toShoalError } from "./native.js";

const RELEASE_TIMEOUT = 10_000;
/** For EAGAIN: libzmq first reports a failed bind to its monitor, which may overwrite errno. */
const BIND_ATTEMPTS = 10;

export class Endpoints {
  readonly #native: NativeSocket;
  readonly #bound = new Set<string>();
  readonly #releasing = new Map<string, () => void>();

  constructor(native: NativeSocket) {
    this.#native = native;
  }

  get bound(): number {
    return this.#bound.size;
  }

  /**
   * A listener keeps the linger of its bind, for connections that end: with a linger, one that ends while the
   * socket closes may wait forever, with all queued messages and no peer.
   */
  bind(endpoint: string): string {
    const { linger } = this.#native;
    this.#native.linger = 0;
    try {
      return this.#bindNative(endpoint);
    } finally {
      this.#native.linger = linger;
    }
  }

  #bindNative(endpoint: string): string {
    for (let attempt = 1; ; attempt++) {
      try {
        this.#native.bindSync(endpoint);
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || attempt === BIND_ATTEMPTS)
          throw toShoalError(error, "bind", endpoint);
      }
    }
    const resolved = this.#native.lastEndpoint ?? endpoint;
    this.#bound.add(resolved);
    return resolved;
  }

  async unbind(resolved: string): Promise<void> {
    calling(() => this.#native.disconnect(resolved), "unbind", resolved); // Also unbinds.
    this.#bound.delete(resolved);
    if (resolved.startsWith("inproc:")) return;
    await new Promise<void>((resolve) => {
      this.#releasing.set(resolved, resolve);
      setTimeout(resolve, RELEASE_TIMEOUT).unref();
    });
  }

  released(resolved: string): void {
    this.#releasing.get(resolved)?.();
    this.#releasing.delete(resolved);
  }

  /** The socket is gone, with its listeners. */
  end(): void {
    for (const resolve of this.#releasing.values()) resolve();
  }
}
