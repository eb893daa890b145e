/**
 *   open --bind--> listening --connect--> in use --close--> gone
 *
 * A socket must not connect to its own proxy (own-endpoints.ts).
 */

import { describe, invalidArgument } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { Context } from "../sockets/context.js";
import { Capture } from "./capture.js";
import { Control, type ControlHost } from "./control.js";
import type { ProxyEvents, ProxyListening } from "./events.js";
import type { SocketPlan } from "./options.js";
import { leadsTo } from "./own-endpoints.js";
import type { ProxySide } from "./pairs.js";
import { ProxySocket } from "./proxy-socket.js";
import type { ProxyStats } from "./stats.js";

export type ProxySocketName = "frontend" | "backend" | "capture" | "control";

export class ProxySockets {
  /** Empty until `open`. */
  readonly all = new Map<ProxySocketName, ProxySocket>();
  capture: Capture | undefined;
  control: Control | undefined;
  readonly #plans: readonly SocketPlan[];
  readonly #context: Context;
  readonly #events: ProxyEvents;
  readonly #assertLive: () => void;
  #lastChange: Promise<unknown> = Promise.resolve();

  /** @param assertLive throws if endpoints cannot change */
  constructor(plans: readonly SocketPlan[], context: Context, events: ProxyEvents, assertLive: () => void) {
    this.#plans = plans;
    this.#context = context;
    this.#events = events;
    this.#assertLive = assertLive;
  }

  /** @throws as a socket's constructor */
  open(host: ControlHost): void {
    for (const plan of this.#plans) this.all.set(plan.name, this.#openSocket(plan, host));
  }

  /** Binds in order while `goesOn`. @throws as a socket's `bind`; InvalidArgumentError for a connect to itself */
  async bindAll(goesOn: () => boolean): Promise<void> {
    for (const opened of this.all.values()) {
      await opened.bind();
      if (!goesOn()) return;
    }
    for (const { name, connect } of this.#plans) this.#refuseOwn(name, connect);
  }

  /** @throws as a socket's `connect` */
  connectAll(): void {
    for (const opened of this.all.values()) opened.connect();
  }

  side(name: ProxySide): ProxySocket {
    return this.all.get(name) as ProxySocket;
  }

  get endpoints(): ProxyListening {
    const bound = (name: ProxySocketName): readonly string[] => [...(this.all.get(name)?.bound ?? [])];
    return {
      frontend: bound("frontend"),
      backend: bound("backend"),
      capture: bound("capture"),
      control: bound("control"),
    };
  }

  stats(): Pick<ProxyStats, "capture" | "control"> {
    return {
      ...(this.capture === undefined ? {} : { capture: this.capture.stats() }),
      ...(this.control === undefined ? {} : { control: this.control.stats() }),
    };
  }

  bind(name: ProxySocketName, endpoint: string): Promise<string> {
    return this.#change(name, async (opened) => {
      const resolved = await opened.listen(endpoint);
      try {
        for (const [each, { connected }] of this.all) this.#refuseOwn(each, connected);
        this.#assertLive();
      } catch (error) {
        await opened.unlisten(resolved).catch(() => undefined); // The proxy stops with its sockets.
        throw error;
      }
      return resolved;
    });
  }

  unbind(name: ProxySocketName, endpoint: string): Promise<void> {
    return this.#change(name, (opened) => opened.unlisten(endpoint));
  }

  connect(name: ProxySocketName, endpoint: string): Promise<void> {
    return this.#change(name, (opened) => {
      if (typeof endpoint !== "string") throw invalidArgument("an endpoint must be a text", endpoint);
      if (opened.connected.includes(endpoint))
        throw new InvalidArgumentError(`${name} connects to ${endpoint} already`, { endpoint });
      this.#refuseOwn(name, [endpoint]);
      opened.connectTo(endpoint);
    });
  }

  disconnect(name: ProxySocketName, endpoint: string): Promise<void> {
    return this.#change(name, (opened) => opened.disconnectFrom(endpoint));
  }

  /** @param linger ms; `undefined`: each socket's own */
  async close(linger: number | undefined): Promise<void> {
    const options = linger === undefined ? {} : { linger };
    await Promise.all([...this.all.values()].map(({ socket }) => socket.close(options)));
  }

  #openSocket(plan: SocketPlan, host: ControlHost): ProxySocket {
    switch (plan.name) {
      case "capture":
        this.capture = new Capture(plan, this.#context, this.#events);
        return this.capture.opened;
      case "control":
        this.control = new Control(plan, this.#context, host);
        return this.control.opened;
      default: {
        const opened = new ProxySocket(plan, this.#context);
        this.#events.listen(plan.name, opened);
        return opened;
      }
    }
  }

  /** One call at a time. */
  #change<T>(name: ProxySocketName, make: (opened: ProxySocket) => T | Promise<T>): Promise<T> {
    const made = this.#lastChange.then(() => {
      this.#assertLive();
      const opened = this.all.get(name);
      if (opened === undefined) throw new InvalidArgumentError(`The proxy has no ${describe(name)}`);
      return make(opened);
    });
    this.#lastChange = made.catch(() => undefined); // The caller has the error.
    return made;
  }

  #refuseOwn(name: string, connect: readonly string[]): void {
    const bound = [...this.all.values()].flatMap((socket) => socket.bound);
    for (const endpoint of connect) {
      const own = bound.find((each) => leadsTo(endpoint, each));
      if (own === undefined) continue;
      throw new InvalidArgumentError(
        `${name} connects to ${endpoint}, but there the proxy itself listens (${own}): messages would circulate forever`,
        { endpoint },
      );
    }
  }
}
