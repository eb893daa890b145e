/**
 * The sockets of a proxy: its two sides, the control, and the capture, which gets a copy of each message.
 *
 *   open --bind--> listening --connect--> in use --close--> gone
 *
 * A socket must not connect to its own proxy (own-endpoints.ts).
 */
import { describe, invalidArgument } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { Context } from "../sockets/context.js";
import { listen } from "../sockets/internal.js";
import { CORE, type Socket } from "../sockets/socket.js";
import type { Writable } from "../sockets/writable.js";
import { Control, type ControlHost } from "./control.js";
import type { ProxyEvents, ProxyListening } from "./events.js";
import { type ProxySocketName, SOCKET_NAMES, type SocketPlan } from "./options.js";
import { leadsTo } from "./own-endpoints.js";
import type { ProxySide } from "./pairs.js";
import { ProxySocket } from "./proxy-socket.js";
import type { ProxyCaptureStats, ProxyStats } from "./stats.js";

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

  side(name: ProxySide): ProxySocket {
    return this.all.get(name) as ProxySocket;
  }

  get endpoints(): ProxyListening {
    const bound = SOCKET_NAMES.map((name) => [name, [...(this.all.get(name)?.bound ?? [])]]);
    return Object.fromEntries(bound) as ProxyListening;
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

/**
 * Sends a copy of each message to a PUB or PUSH. Never waits: copies without room are missed and counted.
 *
 *   message --trySend--> taken: captured
 *                   +--> no room (PUSH), dropped for a slow subscriber (PUB): missed
 */
export class Capture {
  readonly opened: ProxySocket;
  /** Called for each passed message. Never throws. */
  readonly take: (frames: Buffer[]) => void;
  #captured = 0;
  #missed = 0;

  constructor(plan: SocketPlan, context: Context, events: ProxyEvents) {
    this.opened = new ProxySocket(countable(plan, context), context);
    const socket = this.opened.socket as Socket & Writable<Buffer[]>;
    const missed = (count: number): void => {
      this.#missed += count;
      events.captureMissed(count);
    };
    // A PUB accepts everything and reports dropped copies.
    listen(socket, (event) => {
      if (event.type === "drop" && event.reason !== "closed") missed(event.messages);
    });
    this.take = (frames) => {
      if (socket.closed) return;
      let taken = false;
      try {
        taken = socket.trySend(frames);
      } catch {
        // The message must pass despite a capture's fault.
      }
      if (taken) this.#captured += 1;
      else missed(1);
    };
  }

  stats(): ProxyCaptureStats {
    const { peers, queuedOut: queued = 0 } = this.opened.socket[CORE].engine.stats();
    return { captured: this.#captured, missed: this.#missed, queued, peers };
  }
}

/**
 * If an engine's PUB does not report drops, it refuses a message when one subscriber has no room, so all miss it,
 * countably.
 */
function countable(plan: SocketPlan, context: Context): SocketPlan {
  if (plan.type !== "pub" || context.load().capabilities.publisherDrops) return plan;
  return { ...plan, options: { ...plan.options, noDrop: true } };
}
