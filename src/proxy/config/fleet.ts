/** The running proxies of a configuration, which change one by one to a new one and roll back after a failure. */
import { ClosedError } from "../../core/errors.js";
import type { ProxySide } from "../pairs.js";
import type { SocketProxy } from "../socket-proxy.js";
import { canDrain } from "../states.js";
import type { ProxyDrainResult } from "../stats.js";
import { type Change, changed, difference } from "./difference.js";
import { type Configuration, type Proxies, type ProxyConfiguration, tlsOptions } from "./model.js";

export interface FleetMember {
  readonly name: string;
  readonly configuration: ProxyConfiguration;
  readonly proxy: SocketProxy;
}

export interface FleetEffects {
  create(name: string, configuration: ProxyConfiguration): SocketProxy;
  created(member: FleetMember): void;
  started(member: FleetMember): void;
  /** A change was made, rolled back, or made by a controller. @param endpoint of a bind, without wildcards */
  made(change: Change, endpoint: string | undefined): void;
  /** A proxy ended: by a change, with the fleet, or by its controller. @param result absent without a drain */
  ended(member: FleetMember, result: ProxyDrainResult | undefined): void;
  empty(): void;
}

export class ChangeError extends Error {
  readonly proxy: string;

  constructor(change: Change, cause: unknown) {
    super(`${change.proxy}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.proxy = change.proxy;
  }
}

export class Fleet {
  readonly #effects: FleetEffects;
  readonly #members = new Map<string, FleetMember>();
  #running: Proxies = {};
  #drain = 0;
  #closing: Promise<boolean> | undefined;
  /** Nothing starts after an immediate end. */
  #stopped = false;
  #starting: SocketProxy | undefined;
  #applying: Promise<unknown> = Promise.resolve();
  readonly #ending = new Set<FleetMember>();
  readonly #paused = new Set<string>();

  constructor(effects: FleetEffects) {
    this.#effects = effects;
  }

  sources(): Readonly<Record<string, SocketProxy>> {
    return Object.fromEntries([...this.#members.values()].map(({ name, proxy }) => [name, proxy]));
  }

  /**
   * Applies a configuration, one call at a time.
   *
   * @returns the changes; none when the fleet is closing
   * @throws ChangeError after a rollback, as far as it succeeded
   */
  apply(wanted: Configuration): Promise<readonly Change[]> {
    const applying = this.#apply(wanted);
    this.#applying = applying.catch(() => undefined); // The caller has the error.
    return applying;
  }

  async #apply({ drain, proxies }: Configuration): Promise<readonly Change[]> {
    const before = { drain: this.#drain, proxies: this.#running };
    this.#setDrain(drain);
    const made: Change[] = [];
    for (const change of difference(this.#running, proxies)) {
      if (this.#closing !== undefined) return made;
      try {
        await this.#make(change);
        made.push(change);
      } catch (error) {
        if (this.#closing !== undefined) return made;
        this.#setDrain(before.drain);
        const failed = await this.#turnBack(before.proxies);
        const also = failed.map(({ message }) => `; and ${message}, which ran before`).join("");
        const failure = new ChangeError(change, error);
        failure.message += also;
        throw failure;
      }
    }
    return made;
  }

  /**
   * @param options linger 0: ends at once; else drains each proxy first
   * @returns whether nothing was left
   */
  close({ linger }: { readonly linger: number }): Promise<boolean> {
    if (linger === 0) {
      this.#closing ??= Promise.resolve(false);
      return this.#stopAll();
    }
    this.#closing ??= this.#drainAll();
    return this.#closing;
  }

  async #stopAll(): Promise<boolean> {
    this.#stopped = true;
    const proxies = [...this.#members.values()].map(({ proxy }) => proxy);
    if (this.#starting !== undefined) proxies.push(this.#starting);
    await Promise.all(proxies.map((proxy) => proxy.close({ linger: 0 })));
    return false;
  }

  async #drainAll(): Promise<boolean> {
    await Promise.resolve(); // Lets the change in flight see that the fleet is closing.
    await this.#applying;
    const results = await Promise.all([...this.#members.values()].map((member) => this.#end(member)));
    return results.every((result) => result?.drained !== false);
  }

  /** @returns changes that could not be rolled back */
  async #turnBack(before: Proxies): Promise<readonly ChangeError[]> {
    const failed: ChangeError[] = [];
    for (const back of difference(this.#running, before)) {
      try {
        await this.#make(back);
      } catch (error) {
        if (!this.#stopped) failed.push(new ChangeError(back, error));
      }
    }
    return failed;
  }

  async #make(change: Change): Promise<void> {
    let endpoint: string | undefined;
    if (change.do === "start") await this.#start(change.proxy, change.configuration);
    else {
      const member = this.#members.get(change.proxy);
      if (member === undefined || this.#ending.has(member)) return;
      endpoint = await this.#change(member, change);
    }
    this.#running = changed(this.#running, change);
    this.#effects.made(change, endpoint);
  }

  async #change(
    member: FleetMember,
    change: Exclude<Change, { readonly do: "start" }>,
  ): Promise<string | undefined> {
    const { proxy } = member;
    switch (change.do) {
      case "stop":
        if (change.again !== undefined && proxy.state === "paused") this.#paused.add(member.name);
        await this.#end(member);
        return undefined;
      case "policy":
        await proxy.setPolicy(change.socket as ProxySide, change.policy ?? {});
        return undefined;
      case "tls":
        proxy.setCertificates(change.socket, tlsOptions(change.tls));
        return undefined;
      default:
        return (await proxy[change.do](change.socket, change.endpoint)) ?? undefined;
    }
  }

  /** @throws ClosedError `EBADF` when the fleet ends at once meanwhile; otherwise as `start` of a proxy */
  async #start(name: string, configuration: ProxyConfiguration): Promise<void> {
    this.#assertNotStopped();
    const proxy = this.#effects.create(name, configuration);
    proxy.drainTimeout = this.#drain;
    const member = { name, configuration, proxy };
    this.#effects.created(member);
    this.#starting = proxy;
    try {
      await proxy.start();
    } finally {
      this.#starting = undefined;
    }
    this.#assertNotStopped();
    this.#members.set(name, member);
    if (this.#paused.delete(name)) proxy.pause();
    proxy.events.on("proxy:stopped", () => this.#onStop(member));
    this.#effects.started(member);
  }

  /** @param ms of drains that start from now on */
  #setDrain(ms: number): void {
    this.#drain = ms;
    for (const { proxy } of this.#members.values()) proxy.drainTimeout = ms;
  }

  #assertNotStopped(): void {
    if (this.#stopped) throw new ClosedError("EBADF", "The proxies have been closed");
  }

  async #end(member: FleetMember): Promise<ProxyDrainResult | undefined> {
    const { proxy } = member;
    this.#ending.add(member);
    let result: ProxyDrainResult | undefined;
    if (canDrain(proxy.state)) result = await proxy.drain();
    await proxy.close();
    this.#forget(member);
    this.#effects.ended(member, result);
    return result;
  }

  #forget(member: FleetMember): void {
    this.#ending.delete(member);
    if (this.#members.get(member.name) === member) this.#members.delete(member.name);
  }

  #onStop(member: FleetMember): void {
    if (this.#ending.has(member)) return;
    this.#forget(member);
    const { [member.name]: _, ...others } = this.#running;
    this.#running = others;
    const { name, configuration } = member;
    this.#effects.made({ do: "stop", proxy: name, configuration }, undefined);
    this.#effects.ended(member, member.proxy.stats().drain);
    if (this.#members.size === 0) this.#effects.empty();
  }
}
