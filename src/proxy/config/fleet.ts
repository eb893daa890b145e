/**
 * The running proxies of a configuration, which change one by one to a new one and roll back after a failure.
 *
 *   difference                            change
 *   endpoints of a socket                 bind, unbind, connect or disconnect, while the proxy runs
 *   policy of a side                      policy, while the proxy runs
 *   certificates of a socket              tls, while the proxy runs; later handshakes use the new ones
 *   anything else of a proxy              restart; its peers reconnect
 *   a new or a removed proxy              start or stop
 *
 * A replacement works before its predecessor goes, and removals come as late as possible. The order is therefore:
 *
 *   1  removals that free an endpoint for something new
 *   2  everything new
 *   3  restarts
 *   4  other removals
 *
 * A reload that fails half-way applies the difference back to the previous configuration.
 */

import { isDeepStrictEqual } from "node:util";
import { thrownText } from "../../core/arguments.js";
import { ClosedError } from "../../core/errors.js";
import type { ProxySocketName } from "../options.js";
import { overlaps } from "../own-endpoints.js";
import type { ProxySide } from "../pairs.js";
import type { SocketProxy } from "../socket-proxy.js";
import { canDrain } from "../states.js";
import type { ProxyDrainResult } from "../stats.js";
import {
  type Configuration,
  type Proxies,
  type ProxyConfiguration,
  type SocketConfiguration,
  socketsOf,
  type TlsConfiguration,
  tlsOptions,
} from "./model.js";

export interface FleetMember {
  readonly name: string;
  readonly configuration: ProxyConfiguration;
  readonly proxy: SocketProxy;
}

interface FleetEffects {
  create(name: string, configuration: ProxyConfiguration): SocketProxy;
  created(member: FleetMember): void;
  started(member: FleetMember): void;
  /** A change was made, rolled back, or made by a controller. @param endpoint of a bind, without wildcards */
  made(change: Change, endpoint: string | undefined): void;
  /** A proxy ended: by a change, with the fleet, or by its controller. @param result absent without a drain */
  ended(member: FleetMember, result: ProxyDrainResult | undefined): void;
  empty(): void;
}

export class Fleet {
  readonly #effects: FleetEffects;
  readonly #members = new Map<string, FleetMember>();
  #running: Proxies = {};
  #drain = 0;
  #closing: Promise<void> | undefined;
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
   * @throws Error, whose `cause` a change threw, after a rollback as far as it succeeded
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
        const also = failed.map((back) => `; and ${back}, which ran before`).join("");
        throw new Error(faultOf(change, error) + also, { cause: error });
      }
    }
    return made;
  }

  /** @param options linger 0: ends at once; else drains each proxy first */
  close({ linger }: { readonly linger: number }): Promise<void> {
    if (linger === 0) {
      this.#closing ??= Promise.resolve();
      return this.#stopAll();
    }
    this.#closing ??= this.#drainAll();
    return this.#closing;
  }

  async #stopAll(): Promise<void> {
    this.#stopped = true;
    const proxies = [...this.#members.values()].map(({ proxy }) => proxy);
    if (this.#starting !== undefined) proxies.push(this.#starting);
    await Promise.all(proxies.map((proxy) => proxy.close({ linger: 0 })));
  }

  async #drainAll(): Promise<void> {
    await Promise.resolve(); // Lets the change in flight see that the fleet is closing.
    await this.#applying;
    await Promise.all([...this.#members.values()].map((member) => this.#end(member)));
  }

  /** @returns the faults of changes that could not be rolled back */
  async #turnBack(before: Proxies): Promise<readonly string[]> {
    const failed: string[] = [];
    for (const back of difference(this.#running, before)) {
      try {
        await this.#make(back);
      } catch (error) {
        if (!this.#stopped) failed.push(faultOf(back, error));
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

  async #end(member: FleetMember): Promise<void> {
    const { proxy } = member;
    this.#ending.add(member);
    if (canDrain(proxy.state)) await proxy.drain();
    await proxy.close();
    this.#ending.delete(member);
    this.#forget(member);
  }

  #forget(member: FleetMember): void {
    if (this.#members.get(member.name) === member) this.#members.delete(member.name);
    this.#effects.ended(member, member.proxy.stats().drain);
  }

  #onStop(member: FleetMember): void {
    if (this.#ending.has(member)) return;
    this.#forget(member);
    const { [member.name]: _, ...others } = this.#running;
    this.#running = others;
    const { name, configuration } = member;
    this.#effects.made({ do: "stop", proxy: name, configuration }, undefined);
    if (this.#members.size === 0) this.#effects.empty();
  }
}

function faultOf({ proxy }: Change, error: unknown): string {
  return `${proxy}: ${thrownText(error)}`;
}

// --- Differences -----------------------------------------------------------------------------------------------------

interface Whole {
  readonly proxy: string;
  readonly configuration: ProxyConfiguration;
  /** Changed paths that require a restart. */
  readonly again?: readonly string[];
}

interface OfSocket {
  readonly proxy: string;
  readonly socket: ProxySocketName;
}

export type Change =
  | ({ readonly do: "start" } & Whole)
  | ({ readonly do: "stop" } & Whole)
  | ({ readonly do: "bind" | "unbind" | "connect" | "disconnect"; readonly endpoint: string } & OfSocket)
  | ({ readonly do: "policy"; readonly policy: SocketConfiguration["policy"] } & OfSocket)
  | ({ readonly do: "tls"; readonly tls: TlsConfiguration } & OfSocket);

type EndpointChange = Extract<Change, { readonly endpoint: string }>;

export function difference(running: Proxies, wanted: Proxies): readonly Change[] {
  const changes: Change[] = [];
  for (const [proxy, configuration] of Object.entries(running)) {
    const next = Object.hasOwn(wanted, proxy) ? wanted[proxy] : undefined;
    if (next === undefined) changes.push({ do: "stop", proxy, configuration });
    else changes.push(...within(proxy, configuration, next));
  }
  for (const [proxy, configuration] of Object.entries(wanted)) {
    if (!Object.hasOwn(running, proxy)) changes.push({ do: "start", proxy, configuration });
  }
  return inOrder(changes);
}

export function changed(running: Proxies, change: Change): Proxies {
  const { proxy } = change;
  const { [proxy]: before, ...others } = running;
  if (change.do === "stop") return others;
  if (change.do === "start") return { ...others, [proxy]: change.configuration };
  const socket = before?.[change.socket];
  if (before === undefined || socket === undefined) return running;
  return { ...others, [proxy]: { ...before, [change.socket]: socketAfter(socket, change) } };
}

function socketAfter(
  socket: SocketConfiguration,
  change: Exclude<Change, { readonly do: "start" | "stop" }>,
): SocketConfiguration {
  switch (change.do) {
    case "bind":
      return { ...socket, bind: [...socket.bind, change.endpoint] };
    case "connect":
      return { ...socket, connect: [...socket.connect, change.endpoint] };
    case "unbind":
      return { ...socket, bind: without(socket.bind, [change.endpoint]) };
    case "disconnect":
      return { ...socket, connect: without(socket.connect, [change.endpoint]) };
    case "policy": {
      const { policy: _, ...rest } = socket;
      return change.policy === undefined ? rest : { ...rest, policy: change.policy };
    }
    case "tls":
      return { ...socket, tls: change.tls };
  }
}

function within(proxy: string, before: ProxyConfiguration, after: ProxyConfiguration): readonly Change[] {
  const again = reasons(before, after);
  if (again.length > 0)
    return [
      { do: "stop", proxy, configuration: before, again },
      { do: "start", proxy, configuration: after, again },
    ];
  const changes: Change[] = [];
  for (const [socket, old] of socketsOf(before)) {
    const now = after[socket] as SocketConfiguration;
    const each = (what: EndpointChange["do"], endpoints: readonly string[]): void => {
      for (const endpoint of endpoints) changes.push({ do: what, proxy, socket, endpoint });
    };
    // Certificates precede the binds that need them.
    if (old.tls !== undefined && now.tls !== undefined && !isDeepStrictEqual(old.tls, now.tls))
      changes.push({ do: "tls", proxy, socket, tls: now.tls });
    each("unbind", without(old.bind, now.bind));
    each("disconnect", without(old.connect, now.connect));
    each("bind", without(now.bind, old.bind));
    each("connect", without(now.connect, old.connect));
    if (!isDeepStrictEqual(old.policy, now.policy))
      changes.push({ do: "policy", proxy, socket, policy: now.policy });
  }
  return changes;
}

/** Paths that cannot change while the proxy runs, such as `backend.linger`. */
function reasons(before: ProxyConfiguration, after: ProxyConfiguration): readonly string[] {
  const found: string[] = before.kind === after.kind ? [] : ["kind"];
  const names = new Set([...socketsOf(before), ...socketsOf(after)].map(([name]) => name));
  for (const name of names) {
    const [old, now] = [before[name], after[name]];
    if (old === undefined || now === undefined) {
      found.push(name);
      continue;
    }
    if ((old.tls === undefined) !== (now.tls === undefined)) found.push(`${name}.tls`);
    for (const option of new Set([...Object.keys(old.options), ...Object.keys(now.options)]))
      if (!isDeepStrictEqual(old.options[option], now.options[option])) found.push(`${name}.${option}`);
  }
  return found;
}

function without(list: readonly string[], taken: readonly string[]): readonly string[] {
  const rest = [...taken];
  return list.filter((item) => {
    const at = rest.indexOf(item);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

function inOrder(changes: readonly Change[]): readonly Change[] {
  const gives = changes.filter(isGiving);
  const takes = changes.filter((change) => !isGiving(change));
  const early = new Set(gives.filter((give) => takes.some((take) => isInTheWay(give, take))));
  const restarts = new Set(
    gives.filter((give) => give.do === "stop" && give.again !== undefined && !early.has(give)),
  );
  const late = (take: Change): boolean => {
    for (const { proxy } of restarts) if (take.do === "start" && take.proxy === proxy) return true;
    return false;
  };
  return [
    ...gives.filter((give) => early.has(give)),
    ...takes.filter((take) => !late(take)),
    ...[...restarts].flatMap((stop) => [
      stop,
      ...takes.filter((take) => late(take) && take.proxy === stop.proxy),
    ]),
    ...gives.filter((give) => !early.has(give) && !restarts.has(give)),
  ];
}

function isGiving({ do: what }: Change): boolean {
  return what === "stop" || what === "unbind" || what === "disconnect";
}

/** Whether a new part needs the endpoint that another change frees. A restarted proxy frees its own. */
function isInTheWay(give: Change, take: Change): boolean {
  const own = give.proxy === take.proxy;
  if (own && give.do === "stop") return false;
  const [old, wanted] = [endpointsOf(give), endpointsOf(take)];
  if (anyOverlap(old.bind, wanted.bind)) return true;
  return own && (anyOverlap(old.bind, wanted.connect) || anyOverlap(old.connect, wanted.bind));
}

function anyOverlap(some: readonly string[], others: readonly string[]): boolean {
  return some.some((one) => others.some((other) => overlaps(one, other)));
}

function endpointsOf(change: Change): {
  readonly bind: readonly string[];
  readonly connect: readonly string[];
} {
  switch (change.do) {
    case "policy":
    case "tls":
      return { bind: [], connect: [] };
    case "start":
    case "stop": {
      const sockets = socketsOf(change.configuration).map(([, socket]) => socket);
      return {
        bind: sockets.flatMap(({ bind }) => bind),
        connect: sockets.flatMap(({ connect }) => connect),
      };
    }
    case "bind":
    case "unbind":
      return { bind: [change.endpoint], connect: [] };
    default:
      return { bind: [], connect: [change.endpoint] };
  }
}
