/** Endpoints of a proxy that come and go while it runs, one change after the other. */
import { InvalidArgumentError } from "../core/errors.js";
import { refuseOwn } from "./local-addresses.js";
import type { Opened } from "./opened.js";

/** One of a proxy's sockets. */
export type ProxySocketName = "frontend" | "backend" | "capture" | "control";

export class LiveEndpoints {
  readonly #sockets: ReadonlyMap<ProxySocketName, Opened>;
  readonly #assertLive: () => void;
  /** The change that is under way. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param assertLive throws where endpoints cannot change; asked before each change */
  constructor(sockets: ReadonlyMap<ProxySocketName, Opened>, assertLive: () => void) {
    this.#sockets = sockets;
    this.#assertLive = assertLive;
  }

  bind(name: ProxySocketName, endpoint: string): Promise<string> {
    return this.#change(name, async (opened) => {
      const resolved = await opened.listen(endpoint);
      try {
        await this.#refuseOwn();
        this.#assertLive();
      } catch (error) {
        await opened.unlisten(resolved).catch(() => undefined); // The proxy stops, and its sockets with it.
        throw error;
      }
      return resolved;
    });
  }

  unbind(name: ProxySocketName, endpoint: string): Promise<void> {
    return this.#change(name, (opened) => opened.unlisten(endpoint));
  }

  connect(name: ProxySocketName, endpoint: string): Promise<void> {
    return this.#change(name, async (opened) => {
      if (opened.connected.includes(endpoint))
        throw new InvalidArgumentError(`${name} connects to ${endpoint} already`, { endpoint });
      await this.#refuseOwn({ name, endpoint });
      this.#assertLive();
      opened.connectTo(endpoint);
    });
  }

  disconnect(name: ProxySocketName, endpoint: string): Promise<void> {
    return this.#change(name, async (opened) => opened.disconnectFrom(endpoint));
  }

  #change<T>(name: ProxySocketName, make: (opened: Opened) => Promise<T>): Promise<T> {
    const made = this.#last.then(() => {
      this.#assertLive();
      const opened = this.#sockets.get(name);
      if (opened === undefined) throw new InvalidArgumentError(`The proxy has no ${String(name)}`);
      return make(opened);
    });
    this.#last = made.catch(() => undefined);
    return made;
  }

  /** @param wanted one more to connect to */
  async #refuseOwn(wanted?: { readonly name: string; readonly endpoint: string }): Promise<void> {
    const all = [...this.#sockets].map(([name, { bound, connected }]) => ({
      name,
      bound,
      connect: connected,
    }));
    if (wanted !== undefined)
      all.push({ name: wanted.name as ProxySocketName, bound: [], connect: [wanted.endpoint] });
    await refuseOwn(all);
  }
}
