/** How a proxy of a command ends. */
import type { DrainResult, SocketProxy } from "../proxy/index.js";
import type { Service } from "./drain.js";

/** A proxy that drains before it stops. */
export class Drained implements Service {
  /** What was left; `undefined` where a controller ended the proxy. */
  result: DrainResult | undefined;
  readonly #proxy: SocketProxy;
  readonly #timeout: number;
  #closing: Promise<void> | undefined;

  constructor(proxy: SocketProxy, timeout: number) {
    this.#proxy = proxy;
    this.#timeout = timeout;
  }

  /** @param options linger 0: at once */
  close({ linger }: { readonly linger: number }): Promise<void> {
    if (linger === 0) return this.#proxy.stop({ linger: 0 });
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  async #drain(): Promise<void> {
    const { state } = this.#proxy;
    if (state === "running" || state === "paused" || state === "draining")
      this.result = await this.#proxy.drain({ timeout: this.#timeout });
    await this.#proxy.stop();
  }
}
