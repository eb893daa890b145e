/**
 * A proxy that owns its two sockets (life cycle: states.ts).
 *
 *   peers -- frontend =pumps==> backend -- peers
 *                      |
 *                   capture            control
 */

import { checkInteger, checkKeys, invalidArgument } from "../core/arguments.js";
import { ClosedError } from "../core/errors.js";
import type { EventStream } from "../core/event-stream.js";
import { thisProcess } from "../core/packages.js";
import { MAX_TIMEOUT, Once } from "../core/waiter.js";
import { context as globalContext } from "../sockets/context.js";
import { ownSockets, peerViews } from "../sockets/internal.js";
import type { Socket } from "../sockets/socket.js";
import type { ControlHost } from "./control.js";
import { Drain } from "./drain.js";
import { type ProxyEvent, ProxyEvents, type ProxyListening } from "./events.js";
import {
  checkOptions,
  type ProxyCertificates,
  type ProxyOptions,
  type ProxySideOptionsByType,
  type ProxySocketName,
  planOf,
  type SocketPlan,
  type TypedProxySideOptions,
} from "./options.js";
import {
  type Direction,
  directionsOf,
  KINDS,
  kindOf,
  type ProxyKind,
  type ProxySide,
  type ProxySocketType,
  SIDE_TYPES,
} from "./pairs.js";
import { checkPolicy, type ProxyPolicy } from "./policy/policy.js";
import { SidePolicy } from "./policy/side-policy.js";
import { ProxySockets } from "./proxy-sockets.js";
import { Pumps } from "./pumps.js";
import { next, type ProxyCall, type ProxyState } from "./states.js";
import { type ProxyDrainResult, type ProxyStats, sideStats } from "./stats.js";

export type SocketProxyOptions = ProxyOptions<TypedProxySideOptions, TypedProxySideOptions>;

export interface ProxyDrainOptions {
  /** ms. Default: {@link SocketProxy.drainTimeout}. */
  readonly timeout?: number;
}

export interface ProxyCloseOptions {
  /** ms for accepted messages to leave; -1: no limit. Default: each socket's `linger`, or 1,000. */
  readonly linger?: number;
}

/**
 * Passes unchanged messages between two sides, each with its own socket, options, security and any number of endpoints.
 * A full queue on one side stops reading from the other, so the proxy holds at most the high-water marks plus one
 * message or batch of 1,000 per direction. Closing drops and counts messages in flight; {@link SocketProxy.drain}
 * passes them on.
 *
 * @example
 * ```ts
 * import { SocketProxy } from "shoal/proxy";
 *
 * const any = "tcp://127.0.0.1:*";
 * const proxy = new SocketProxy({ frontend: { type: "sub", bind: any }, backend: { type: "pub", bind: any } });
 * await proxy.start();
 * console.log(proxy.endpoints.frontend.length); // 1
 * await proxy.close();
 * ```
 */
export class SocketProxy {
  /** Events, buffered from the first read until {@link close}. */
  readonly events: EventStream<ProxyEvent>;
  readonly #proxyEvents = new ProxyEvents();
  readonly #name: string | undefined;
  readonly #plans: readonly SocketPlan[];
  readonly #types: Readonly<Record<ProxySide, ProxySocketType>>;
  readonly #directions: readonly Direction[];
  readonly #sockets: ProxySockets;
  readonly #policies: Readonly<Record<ProxySide, SidePolicy>>;
  #state: ProxyState = "idle";
  #drainTimeout = 10_000;
  #pumps: Pumps | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #drain: Drain | undefined;
  readonly #draining = new Once<ProxyDrainResult>();
  #drained: ProxyDrainResult | undefined;
  readonly #closing = new Once<void>();

  /**
   * @throws InvalidArgumentError `EINVAL` for types that do not fit, an invalid option, or a side without an endpoint
   */
  constructor(options: SocketProxyOptions) {
    checkOptions(new.target.name, options);
    this.events = this.#proxyEvents.events;
    const { frontend, backend, capture, control, context = globalContext } = options;
    const types = Object.keys(SIDE_TYPES) as ProxySocketType[];
    const plans = [
      planOf("frontend", types, undefined, frontend),
      planOf("backend", types, undefined, backend),
    ];
    this.#types = { frontend: frontend.type, backend: backend.type };
    this.#policies = {
      frontend: new SidePolicy("frontend", plans[0]?.policy, this.#proxyEvents),
      backend: new SidePolicy("backend", plans[1]?.policy, this.#proxyEvents),
    };
    this.#directions = directionsOf(frontend.type, backend.type);
    if (capture !== undefined) plans.push(planOf("capture", ["pub", "push"], undefined, capture));
    if (control !== undefined) plans.push(planOf("control", ["rep", "pair", "sub"], "rep", control));
    this.#plans = plans;
    this.#name = options.name;
    this.#sockets = new ProxySockets(plans, context, this.#proxyEvents, () => this.#call("change"));
    ownSockets(this, () => ({
      "frontend peers": this.#sockets.all.get("frontend")?.socket,
      "backend peers": this.#sockets.all.get("backend")?.socket,
    }));
  }

  /** Queue for ROUTER and DEALER, forwarder for XSUB and XPUB, streamer for PULL and PUSH. */
  get kind(): ProxyKind {
    return kindOf(this.#types.frontend, this.#types.backend);
  }

  get state(): ProxyState {
    return this.#state;
  }

  /**
   * Default timeout of {@link drain}, also when a controller or a dashboard starts it, ms. Default 10,000.
   *
   * @throws InvalidArgumentError `EINVAL` for anything but 0 to 2,147,483,647
   */
  get drainTimeout(): number {
    return this.#drainTimeout;
  }

  set drainTimeout(timeout: number) {
    checkInteger("drainTimeout", timeout, 0, MAX_TIMEOUT);
    this.#drainTimeout = timeout;
  }

  /** Whether {@link close} was called, also by a controller. */
  get closed(): boolean {
    return this.#closing.promise !== undefined;
  }

  /** Bound endpoints without wildcards; empty before {@link start}. */
  get endpoints(): ProxyListening {
    return this.#sockets.endpoints;
  }

  /**
   * Opens, binds and connects the sockets, and starts passing messages; a failure closes everything.
   *
   * @throws TransportError `EADDRINUSE` and others of `bind`, with the endpoint
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint, unfit security options, or a connect to itself
   * @throws InvalidStateError `EFSM` on a second start; ClosedError `EBADF` when closed meanwhile
   */
  async start(): Promise<void> {
    this.#call("start");
    try {
      await this.#open();
      this.#call("started");
    } catch (error) {
      const closed = this.#state !== "starting";
      await this.close({ linger: 0 });
      throw closed ? new ClosedError("EBADF", "The proxy was closed while it started") : error;
    }
    this.#move();
    this.events.emit({ type: "proxy:started", endpoints: this.endpoints });
  }

  /**
   * Stops passing messages, which queue up to the high-water marks.
   *
   * @throws InvalidStateError `EFSM` when neither running nor paused, as {@link resume}
   */
  pause(): void {
    const before = this.#state;
    this.#call("pause");
    this.#pumps?.pause();
    if (before !== this.#state) this.events.emit({ type: "proxy:paused" });
  }

  resume(): void {
    const before = this.#state;
    this.#call("resume");
    this.#pumps?.resume();
    if (before !== this.#state) this.events.emit({ type: "proxy:resumed" });
  }

  /**
   * Takes messages while peers send, for at most half the timeout, and passes them on; then waits for replies and until
   * everything is sent. Afterwards only {@link close} is left. A second call joins the first.
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` when not running
   */
  async drain(options: ProxyDrainOptions = {}): Promise<ProxyDrainResult> {
    checkKeys(`${this.constructor.name}.drain`, options, ["timeout"]);
    const { timeout = this.#drainTimeout } = options;
    checkInteger("timeout", timeout, 0, MAX_TIMEOUT);
    this.#call("drain");
    return this.#draining.call(() => this.#drainAll(timeout));
  }

  /**
   * Ends the proxy in any state; accepted messages leave within their sockets' linger. A second call joins the first.
   *
   * @throws InvalidArgumentError `EINVAL`, before any change
   */
  close(options: ProxyCloseOptions = {}): Promise<void> {
    try {
      checkKeys(`${this.constructor.name}.close`, options, ["linger"]);
      const { linger } = options;
      if (linger !== undefined) checkInteger("linger", linger, -1, MAX_TIMEOUT);
      this.#call("stop");
      return this.#closing.call(() => this.#close(linger));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Binds another endpoint.
   *
   * @returns it without wildcards
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint, one that the proxy connects to, or a missing socket;
   *   TransportError `EADDRINUSE` and others of `bind`
   * @throws InvalidStateError `EFSM` when neither running nor paused, as the next three
   */
  bind(socket: ProxySocketName, endpoint: string): Promise<string> {
    return this.#sockets.bind(socket, endpoint);
  }

  /**
   * Unbinds an endpoint, as given or listed in `endpoints`. On the engine `zmtp` its peers stay connected; on `libzmq`
   * they need another endpoint.
   *
   * @throws TransportError `ENOENT` when not bound
   */
  unbind(socket: ProxySocketName, endpoint: string): Promise<void> {
    return this.#sockets.unbind(socket, endpoint);
  }

  /** @throws InvalidArgumentError `EINVAL` for a bad endpoint, one of this proxy, or a connected one */
  connect(socket: ProxySocketName, endpoint: string): Promise<void> {
    return this.#sockets.connect(socket, endpoint);
  }

  /**
   * Disconnects; messages queued only for that peer are lost.
   *
   * @throws TransportError `ENOENT` when not connected
   */
  disconnect(socket: ProxySocketName, endpoint: string): Promise<void> {
    return this.#sockets.disconnect(socket, endpoint);
  }

  stats(): ProxyStats {
    const side = (name: ProxySide) =>
      sideStats(
        this.#types[name],
        this.#sockets.all.get(name),
        this.#pumps?.from(name),
        this.#pumps?.to(name),
        { ...this.#policies[name].refused },
        this.#proxyEvents.handshakes[name],
      );
    return {
      ...(this.#name === undefined ? {} : { name: this.#name }),
      state: this.#state,
      frontend: side("frontend"),
      backend: side("backend"),
      unanswered: this.#pumps?.unanswered ?? 0,
      ...this.#sockets.stats(),
      ...(this.#drained === undefined ? {} : { drain: this.#drained }),
    };
  }

  /**
   * Disconnects peers of a side whose credentials `match`; `authenticate` decides when they reconnect.
   * @throws InvalidArgumentError `EINVAL`; ClosedError `EBADF` without open sockets; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq`
   */
  revoke(side: ProxySide, match: Parameters<Socket["revoke"]>[0]): number {
    checkSide(side);
    const opened = this.#sockets.all.get(side);
    if (opened === undefined) throw new ClosedError("EBADF", "The proxy has not been started");
    return opened.socket.revoke(match);
  }

  /**
   * Replaces a side's whole policy; omitted parts are unlimited. Allowed peers notice nothing, forbidden ones are
   * disconnected, subscriptions upstream follow. Before {@link start} it sets the initial policy.
   *
   * @throws InvalidArgumentError `EINVAL` for a bad policy or an unreadable key folder; NotSupportedError
   *   `NOT_SUPPORTED` if the engine cannot enforce it (docs/engines.md); ClosedError `EBADF`. The last policy stays.
   */
  async setPolicy(side: ProxySide, policy: ProxyPolicy): Promise<void> {
    checkSide(side);
    const { options } = this.#plans.find(({ name }) => name === side) as SocketPlan;
    const checked = checkPolicy({ name: side, type: this.#types[side], options }, policy);
    if (this.closed) throw new ClosedError("EBADF", "The proxy is closed");
    await this.#policies[side].replace(checked);
    this.#pumps?.policyChanged();
  }

  /**
   * Replaces certificates of tls:// and wss:// endpoints for later handshakes. Omitted options stay; a certificate and
   * its key go together.
   *
   * @throws InvalidArgumentError `EINVAL`, before any change, also for a socket that the proxy lacks; ClosedError
   *   `EBADF` before the start and after the end
   */
  setCertificates(socket: ProxySocketName, certificates: ProxyCertificates): void {
    const names = this.#plans.map(({ name }) => name);
    if (!names.includes(socket)) throw invalidArgument(`socket must be ${names.join(" or ")}`, socket);
    const opened = this.#sockets.all.get(socket);
    if (opened === undefined) throw new ClosedError("EBADF", `The ${socket} is not open`);
    opened.setCertificates(certificates);
  }

  #call(call: ProxyCall): void {
    this.#state = next(this.#state, call);
  }

  async #open(): Promise<void> {
    const goesOn = (): boolean => this.#state === "starting";
    this.#sockets.open(this.#steering());
    for (const side of ["frontend", "backend"] as const) {
      await this.#policies[side].open(this.#sockets.side(side).socket);
      if (!goesOn()) return;
    }
    await this.#sockets.bindAll(goesOn);
    if (goesOn()) for (const opened of this.#sockets.all.values()) opened.connect();
  }

  #steering(): ControlHost {
    return {
      peers: (side) => peerViews(this.#sockets.side(side).socket),
      pause: () => this.pause(),
      resume: () => this.resume(),
      drain: (timeout) => {
        next(this.#state, "drain"); // The controller reads the error.
        void this.drain(timeout === undefined ? {} : { timeout });
      },
      stop: (kill) => void this.close(kill ? { linger: 0 } : {}),
      status: () => ({ ...this.stats(), endpoints: this.endpoints, process: thisProcess() }),
    };
  }

  #move(): void {
    const sides = { frontend: this.#sockets.side("frontend"), backend: this.#sockets.side("backend") };
    this.#pumps = new Pumps(this.#directions, this.#types, sides, this.#policies, {
      capture: this.#sockets.capture,
      events: this.#proxyEvents,
    });
    this.#running = Promise.all([this.#pumps.run(), this.#sockets.control?.run()]);
  }

  async #drainAll(timeout: number): Promise<ProxyDrainResult> {
    const pumps = this.#pumps as Pumps;
    this.#drain = new Drain(pumps, [this.#sockets.side("frontend"), this.#sockets.side("backend")]);
    this.events.emit({ type: "drain:started", timeout });
    pumps.resume();
    const result = await this.#drain.run(timeout);
    this.#drained = result;
    pumps.end();
    this.#call("drained");
    this.events.emit({ type: "drain:ended", result });
    return result;
  }

  async #close(linger: number | undefined): Promise<void> {
    this.#pumps?.end();
    this.#drain?.cut();
    this.#policies.frontend.close();
    this.#policies.backend.close();
    await this.#sockets.close(linger);
    await this.#running;
    await this.#draining.promise;
    this.#call("stopped");
    this.events.emit({ type: "proxy:stopped" });
    this.events.close();
  }
}

/** @throws InvalidArgumentError `EINVAL` */
function checkSide(side: ProxySide): void {
  if (side !== "frontend" && side !== "backend")
    throw invalidArgument('side must be "frontend" or "backend"', side);
}

export type QueueProxyOptions = ProxyOptions<
  ProxySideOptionsByType["router"],
  ProxySideOptionsByType["dealer"]
>;
export type ForwarderProxyOptions = ProxyOptions<
  ProxySideOptionsByType["xsub"],
  ProxySideOptionsByType["xpub"]
>;
export type StreamerProxyOptions = ProxyOptions<
  ProxySideOptionsByType["pull"],
  ProxySideOptionsByType["push"]
>;

/**
 * Passes requests from clients (REQ, DEALER) at the frontend to workers (REP, ROUTER, DEALER) at the backend in turn,
 * and replies back; those to departed or full clients are dropped and counted.
 *
 * @example
 * ```ts
 * import { Reply, Request } from "shoal";
 * import { QueueProxy } from "shoal/proxy";
 *
 * const any = "tcp://127.0.0.1:*";
 * const proxy = new QueueProxy({ frontend: { bind: any }, backend: { bind: any } });
 * await proxy.start();
 * const [worker, client] = [new Reply(), new Request()];
 * worker.connect(proxy.endpoints.backend[0]);
 * client.connect(proxy.endpoints.frontend[0]);
 * const answer = client.request("ping");
 * await worker.receive();
 * await worker.send("pong");
 * console.log(String(await answer)); // pong
 * await Promise.all([client.close(), worker.close()]);
 * await proxy.close();
 * ```
 */
export class QueueProxy extends SocketProxy {
  /** @throws as {@link SocketProxy} */
  constructor(options: QueueProxyOptions) {
    super(typed(options, "queue"));
  }
}

/**
 * Passes messages from publishers (PUB, XPUB) at the frontend to subscribers (SUB, XSUB) at the backend. Each topic
 * prefix is subscribed upstream once, until its last subscriber leaves.
 *
 * @example
 * ```ts
 * import { Publisher, Subscriber } from "shoal";
 * import { ForwarderProxy } from "shoal/proxy";
 *
 * const any = "tcp://127.0.0.1:*";
 * const proxy = new ForwarderProxy({ frontend: { bind: any }, backend: { bind: any } });
 * await proxy.start();
 * const [weather, reader] = [new Publisher(), new Subscriber()];
 * weather.connect(proxy.endpoints.frontend[0]);
 * reader.connect(proxy.endpoints.backend[0]);
 * reader.subscribe("weather");
 * await weather.waitForSubscribers({ topic: "weather" }); // The subscription has come through the proxy.
 * await weather.send(["weather", "sun"]);
 * console.log(String(await reader.receive())); // weather,sun
 * await Promise.all([weather.close(), reader.close()]);
 * await proxy.close();
 * ```
 */
export class ForwarderProxy extends SocketProxy {
  /** @throws as {@link SocketProxy} */
  constructor(options: ForwarderProxyOptions) {
    super(typed(options, "forwarder"));
  }
}

/**
 * Passes work from PUSH peers at the frontend to PULL peers at the backend in turn. A running proxy drops nothing.
 *
 * @example
 * ```ts
 * import { Pull, Push } from "shoal";
 * import { StreamerProxy } from "shoal/proxy";
 *
 * const any = "tcp://127.0.0.1:*";
 * const proxy = new StreamerProxy({ frontend: { bind: any }, backend: { bind: any } });
 * await proxy.start();
 * const [push, pull] = [new Push(), new Pull()];
 * push.connect(proxy.endpoints.frontend[0]);
 * pull.connect(proxy.endpoints.backend[0]);
 * await push.send("work");
 * console.log(String(await pull.receive())); // work
 * await Promise.all([push.close(), pull.close()]);
 * await proxy.close();
 * ```
 */
export class StreamerProxy extends SocketProxy {
  /** @throws as {@link SocketProxy} */
  constructor(options: StreamerProxyOptions) {
    super(typed(options, "streamer"));
  }
}

function typed(
  options: ProxyOptions<object, object>,
  kind: keyof typeof KINDS,
): ProxyOptions<TypedProxySideOptions, TypedProxySideOptions> {
  if (typeof options !== "object" || options === null) return options;
  const side = (given: object, type: ProxySocketType): TypedProxySideOptions =>
    (typeof given === "object" && given !== null ? { type, ...given } : given) as TypedProxySideOptions;
  const [frontend, backend] = KINDS[kind];
  return { ...options, frontend: side(options.frontend, frontend), backend: side(options.backend, backend) };
}
