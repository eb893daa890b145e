/**
 * Bound endpoints of a native socket. libzmq closes a listener some time after `unbind` or `close` returns,
 * so releases are awaited (the monitor's `close` event), also by a bind of an address in use.
 */
import type { ShoalError } from "../../core/errors.js";
import { type NativeSocket, toShoalError } from "./native.js";

const RELEASE_TIMEOUT = 10_000;
/** For EAGAIN: libzmq first reports a failed bind to its monitor, which may overwrite errno. */
const BIND_ATTEMPTS = 10;

export class Endpoints {
  readonly #native: NativeSocket;
  readonly #releases: Map<string, Promise<void>>;
  readonly #bound = new Set<string>();
  readonly #releasing = new Map<string, () => void>();

  constructor(native: NativeSocket, releases: Map<string, Promise<void>>) {
    this.#native = native;
    this.#releases = releases;
  }

  get bound(): number {
    return this.#bound.size;
  }

  async bind(endpoint: string): Promise<string> {
    for (;;) {
      try {
        return this.bindSync(endpoint);
      } catch (error) {
        if ((error as ShoalError).code !== "EADDRINUSE" || this.#releases.size === 0) throw error;
        await Promise.race(this.#releases.values());
      }
    }
  }

  /**
   * A listener keeps the linger of its bind, for connections that end: with a linger, one that ends while the
   * socket closes may wait forever, with all queued messages and no peer.
   */
  bindSync(endpoint: string): string {
    const { linger } = this.#native;
    this.#native.linger = 0;
    try {
      return this.#bind(endpoint);
    } finally {
      this.#native.linger = linger;
    }
  }

  #bind(endpoint: string): string {
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
    const freed = resolved.startsWith("inproc:") ? undefined : this.#startRelease(resolved);
    try {
      this.#native.disconnect(resolved); // Also unbinds.
    } catch (error) {
      this.released(resolved);
      throw toShoalError(error, "unbind", resolved);
    }
    this.#bound.delete(resolved);
    await freed;
  }

  released(resolved: string): void {
    this.#releasing.get(resolved)?.();
  }

  /** Frees inproc names at once. */
  releaseNames(): void {
    for (const resolved of this.#bound) {
      if (!resolved.startsWith("inproc:")) continue;
      this.#native.disconnect(resolved);
      this.#bound.delete(resolved);
    }
  }

  releaseAll(): () => void {
    for (const resolved of this.#bound) void this.#startRelease(resolved);
    this.#bound.clear();
    return () => {
      for (const done of this.#releasing.values()) done();
    };
  }

  #startRelease(resolved: string): Promise<void> {
    const freed = new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#releasing.delete(resolved);
        if (this.#releases.get(resolved) === freed) this.#releases.delete(resolved);
        resolve();
      };
      const timer = setTimeout(done, RELEASE_TIMEOUT);
      this.#releasing.set(resolved, done);
    });
    this.#releases.set(resolved, freed);
    return freed;
  }
}
