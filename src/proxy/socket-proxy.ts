/**
 * A proxy between two sockets of its own: opens, moves, drains, ends (states.ts has its life).
 *
 *   peers -- frontend =pumps==> backend -- peers
 *                      |
 *                   capture            control
 */
import { checkInteger, checkKeys } from "../core/arguments.js";
import { ClosedError, InvalidArgumentError } from "../core/errors.js";
import type { EventStream } from "../core/event-stream.js";
import { context as globalContext } from "../sockets/context.js";
import { ownSockets, peerViews } from "../sockets/peer-views.js";
import type { Socket } from "../sockets/socket.js";
import type { ControlHost } from "./control.js";
import { Drain } from "./drain.js";
import { type ProxyEvent, ProxyEvents, type ProxyListening } from "./events.js";
import {
  checkOptions,
  type ProxyCertificates,
  type ProxyOptions,
  type ProxySideOptionsByType,
  planOf,
  type SocketPlan,
  type TypedProxySideOptions,
} from "./options.js";
import {
  type Direction,
  directionsOf,
  kindOf,
  type ProxyKind,
  type ProxySide,
  type ProxySocketType,
  SIDE_TYPES,
} from "./pairs.js";
import { checkPolicy, type ProxyPolicy } from "./policy/policy.js";
import { SidePolicy } from "./policy/side-policy.js";
import { LiveEndpoints, type ProxySocketName, ProxySockets } from "./proxy-sockets.js";
import { Pumps } from "./pumps.js";
import { next, type ProxyCall, type ProxyState } from "./states.js";
import { type ProxyDrainResult, type ProxyStats, sideStats, steeringOf } from "./stats.js";

/** ms that a drain may take by default. */
const DRAIN_TIME = 10_000;
/** The longest time a timer of the platform can hold, in ms. */
const MAX_TIME = 2_147_483_647;

/** Options of {@link SocketProxy}. */
export type SocketProxyOptions = ProxyOptions<TypedProxySideOptions, TypedProxySideOptions>;

/** What `drain` of a proxy takes. */
export interface ProxyDrainOptions {
  /** ms that it may take. Default 10,000. */
  readonly timeout?: number;
}

/** What `close` of a proxy takes. */
export interface ProxyCloseOptions {
  /** ms for accepted messages to leave; -1: no limit. Default: each socket's `linger`, and 1,000 without one. */
  readonly linger?: number;
}

/**
 * Passes messages between two sides, frames as they are. Each side has a socket of its own, with any number of endpoints
 * bound and connected, options and security of its own. What one side has no room for stops the reading of the other,
 * so no more than the high-water marks, and in each direction one message or a batch of at most 1,000, are in the proxy's
 * memory. What is in flight when it is closed is dropped and counted; {@link SocketProxy.drain} passes it on.
 *
 *   const proxy = new SocketProxy({ frontend: { type: "sub", connect: upstream }, backend: { type: "pub", bind: here } });
 *   await proxy.start();
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
  /** What happens; kept for a reader from its first read on, and ended by {@link close}. */
  readonly events: EventStream<ProxyEvent>;
  readonly #proxyEvents = new ProxyEvents();
  readonly #name: string | undefined;
  readonly #plans: readonly SocketPlan[];
  readonly #types: Readonly<Record<ProxySide, ProxySocketType>>;
  readonly #directions: readonly Direction[];
  readonly #sockets: ProxySockets;
  readonly #policies: Readonly<Record<ProxySide, SidePolicy>>;
  readonly #live: LiveEndpoints;
  #state: ProxyState = "idle";
  #pumps: Pumps | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #drain: Drain | undefined;
  #draining: Promise<ProxyDrainResult> | undefined;
  #drained: ProxyDrainResult | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Opens nothing yet.
   *
   * @throws InvalidArgumentError `EINVAL` for types that cannot stand on two sides of a proxy, naming those that can; for
   *   an unknown option, a bad value, or a side without an endpoint
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
      frontend: new SidePolicy("frontend", plans[0]?.policy, this.#proxyEvents.forPolicy("frontend")),
      backend: new SidePolicy("backend", plans[1]?.policy, this.#proxyEvents.forPolicy("backend")),
    };
    this.#directions = directionsOf(frontend.type, backend.type);
    if (capture !== undefined) plans.push(planOf("capture", ["pub", "push"], undefined, capture));
    if (control !== undefined) plans.push(planOf("control", ["rep", "pair", "sub"], "rep", control));
    this.#plans = plans;
    this.#name = options.name;
    this.#sockets = new ProxySockets(plans, context, this.#proxyEvents);
    ownSockets(this, () => ({
      "frontend peers": this.#sockets.all.get("frontend")?.socket,
      "backend peers": this.#sockets.all.get("backend")?.socket,
    }));
    this.#live = new LiveEndpoints(this.#sockets.all, () => this.#call("change"));
  }

  /** What it is: a ROUTER and a DEALER are a queue, XSUB and XPUB a forwarder, PULL and PUSH a streamer. */
  get kind(): ProxyKind {
    return kindOf(this.#types.frontend, this.#types.backend);
  }

  /** Where it is in its life. */
  get state(): ProxyState {
    return this.#state;
  }

  /** Whether {@link close} was called, by the program or by a controller. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Where it listens, wildcards filled in; empty before {@link start}. */
  get endpoints(): ProxyListening {
    return this.#sockets.endpoints;
  }

  /**
   * Opens the sockets, binds, connects, and passes messages from then on. When it fails everything is closed again.
   *
   * @throws TransportError `EADDRINUSE` and others as a socket's `bind`, with the endpoint
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint or security options that do not fit, and for an endpoint to
   *   connect to at which this proxy listens itself
   * @throws InvalidStateError `EFSM` when it was started before; ClosedError `EBADF` when it is closed meanwhile
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
   * Stops passing messages; they queue up to the high-water marks. A proxy that is paused already stays so.
   *
   * @throws InvalidStateError `EFSM` when it neither runs nor is paused, as {@link resume}
   */
  pause(): void {
    const before = this.#state;
    this.#call("pause");
    this.#pumps?.pause();
    if (before !== this.#state) this.events.emit({ type: "proxy:paused" });
  }

  /** Goes on after {@link pause}. */
  resume(): void {
    const before = this.#state;
    this.#call("resume");
    this.#pumps?.resume();
    if (before !== this.#state) this.events.emit({ type: "proxy:resumed" });
  }

  /**
   * Takes in what peers have sent, as long as it comes but no longer than half the time, then nothing more; passes it on,
   * waits for the replies to requests, and until everything has left. Then it passes nothing any more: {@link close} is
   * next. Draining twice is draining once.
   *
   * @returns what was left when it was done, or its time was over
   * @throws InvalidArgumentError `EINVAL` for an unknown option or an invalid time; InvalidStateError `EFSM` when it does not run
   */
  async drain(options: ProxyDrainOptions = {}): Promise<ProxyDrainResult> {
    checkKeys(`${this.constructor.name}.drain`, options, ["timeout"]);
    const { timeout = DRAIN_TIME } = options;
    checkInteger("timeout", timeout, 0, MAX_TIME);
    this.#call("drain");
    this.#draining ??= this.#drainAll(timeout);
    return this.#draining;
  }

  /**
   * Ends the proxy in any state: closes its sockets, and lets accepted messages leave within their linger. Closing twice
   * is closing once.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown option or an invalid linger; nothing has changed then
   */
  close(options: ProxyCloseOptions = {}): Promise<void> {
    try {
      checkKeys(`${this.constructor.name}.close`, options, ["linger"]);
      const { linger } = options;
      if (linger !== undefined) checkInteger("linger", linger, -1, MAX_TIME);
      this.#call("stop");
      this.#closing ??= this.#close(linger);
      return this.#closing;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The same as {@link close}; for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Listens at one more endpoint, while the proxy runs or is paused; nothing else changes.
   *
   * @returns the endpoint, wildcards filled in
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint, one that the proxy itself connects to, or a socket that it
   *   does not have; TransportError `EADDRINUSE` and others as a socket's `bind`
   * @throws InvalidStateError `EFSM` when it neither runs nor is paused, as the three below
   */
  bind(socket: ProxySocketName, endpoint: string): Promise<string> {
    return this.#live.bind(socket, endpoint);
  }

  /**
   * Stops listening at an endpoint, given as to {@link bind} or as `endpoints` has it. On the engine `zmtp` peers
   * that connected there stay; on `libzmq` they have to connect to another endpoint.
   *
   * @throws TransportError `ENOENT` when it does not listen there
   */
  unbind(socket: ProxySocketName, endpoint: string): Promise<void> {
    return this.#live.unbind(socket, endpoint);
  }

  /**
   * Connects to one more endpoint.
   *
   * @throws InvalidArgumentError `EINVAL` for a bad endpoint, one at which the proxy itself listens, or one that it connects
   *   to already
   */
  connect(socket: ProxySocketName, endpoint: string): Promise<void> {
    return this.#live.connect(socket, endpoint);
  }

  /**
   * Ends the connection to an endpoint; messages that wait for that peer alone are lost.
   *
   * @throws TransportError `ENOENT` when it does not connect there
   */
  disconnect(socket: ProxySocketName, endpoint: string): Promise<void> {
    return this.#live.disconnect(socket, endpoint);
  }

  /** The statistics at this moment. */
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
   * Disconnects every peer of a side that `match` picks by its credentials; `authenticate` decides when it comes back.
   *
   * @returns how many were disconnected
   * @throws ClosedError `EBADF` when the proxy has no sockets open; NotSupportedError `NOT_SUPPORTED` on the
   *   engine `libzmq`
   */
  revoke(side: ProxySide, match: Parameters<Socket["revoke"]>[0]): number {
    const opened = this.#sockets.all.get(side);
    if (opened === undefined) throw new ClosedError("EBADF", "The proxy has not been started");
    return opened.socket.revoke(match);
  }

  /**
   * Replaces a side's policy, all of it: what the new one leaves out is not limited any more. Peers that it allows notice
   * nothing; those that it forbids are disconnected; subscriptions are passed to publishers, or taken back, as it requires.
   * Before {@link start} it is the one to start with.
   *
   * @throws InvalidArgumentError `EINVAL` for a bad policy, or a folder of keys that cannot be read; NotSupportedError
   *   `NOT_SUPPORTED` where the engine cannot carry it out (docs/engines.md): the last one goes on then
   * @throws ClosedError `EBADF` when the proxy is closed
   */
  async setPolicy(side: ProxySide, policy: ProxyPolicy): Promise<void> {
    const plan = this.#plans.find(({ name }) => name === side && (side === "frontend" || side === "backend"));
    if (plan === undefined)
      throw new InvalidArgumentError(`A policy is for the frontend or the backend; got ${String(side)}`);
    const checked = checkPolicy({ name: side, type: this.#types[side], options: plan.options }, policy);
    if (this.closed) throw new ClosedError("EBADF", "The proxy is closed");
    await this.#policies[side].replace(checked);
    this.#pumps?.policyChanged();
  }

  /**
   * Other certificates for a socket's tls:// and wss:// endpoints: handshakes from then on have them, and connections that stand go
   * on. What is left out stays as it is; a certificate and its key go together.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown option or an invalid value; nothing has changed then
   * @throws ClosedError `EBADF` when the proxy has no such socket open
   */
  setCertificates(socket: ProxySocketName, certificates: ProxyCertificates): void {
    const opened = this.#sockets.all.get(socket);
    if (opened === undefined) throw new ClosedError("EBADF", `The proxy has no ${String(socket)} open`);
    opened.setCertificates(certificates);
  }

  #call(call: ProxyCall): void {
    this.#state = next(this.#state, call);
  }

  async #open(): Promise<void> {
    const goesOn = (): boolean => this.#state === "starting";
    this.#sockets.open(this.#directions, this.#steering());
    for (const side of ["frontend", "backend"] as const) {
      await this.#policies[side].open(this.#sockets.side(side).socket);
      if (!goesOn()) return;
    }
    await this.#sockets.bind(goesOn);
    if (goesOn()) this.#sockets.connect();
  }

  /** For the control socket. */
  #steering(): ControlHost {
    return {
      peers: (side) => {
        const socket = this.#sockets.all.get(side)?.socket;
        return socket === undefined ? [] : peerViews(socket);
      },
      pause: () => this.pause(),
      resume: () => this.resume(),
      drain: (timeout) => {
        next(this.#state, "drain"); // Throws where it does not fit, for the controller to read.
        void this.drain(timeout === undefined ? {} : { timeout });
      },
      stop: (kill) => void this.close(kill ? { linger: 0 } : {}),
      status: () => ({ ...this.stats(), endpoints: this.endpoints }),
      steering: () => {
        const { frontend, backend } = this.stats();
        return [steeringOf(frontend), steeringOf(backend)];
      },
    };
  }

  #move(): void {
    const sides = { frontend: this.#sockets.side("frontend"), backend: this.#sockets.side("backend") };
    this.#pumps = new Pumps(this.#directions, this.#types, sides, this.#policies, {
      capture: this.#sockets.take,
      ...this.#proxyEvents.forPumps,
    });
    this.#running = Promise.all([this.#pumps.run(), this.#sockets.steer()]);
  }

  async #drainAll(timeout: number): Promise<ProxyDrainResult> {
    this.events.emit({ type: "drain:started", timeout });
    const pumps = this.#pumps as Pumps;
    pumps.resume();
    this.#drain = new Drain(pumps, [this.#sockets.side("frontend"), this.#sockets.side("backend")]);
    const result = await this.#drain.run(timeout);
    this.#drained = result;
    pumps.end();
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
    await this.#draining;
    this.#call("stopped");
    this.events.emit({ type: "proxy:stopped" });
    this.events.close();
  }
}

/** Options of {@link QueueProxy}. */
export type QueueProxyOptions = ProxyOptions<
  ProxySideOptionsByType["router"],
  ProxySideOptionsByType["dealer"]
>;
/** Options of {@link ForwarderProxy}. */
export type ForwarderProxyOptions = ProxyOptions<
  ProxySideOptionsByType["xsub"],
  ProxySideOptionsByType["xpub"]
>;
/** Options of {@link StreamerProxy}. */
export type StreamerProxyOptions = ProxyOptions<
  ProxySideOptionsByType["pull"],
  ProxySideOptionsByType["push"]
>;

/**
 * Requests from clients (REQ, DEALER) at the frontend to workers (REP, ROUTER, DEALER) at the backend, in turn, and their
 * replies back. A reply to a client that has gone, or that does not read, is dropped and counted.
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
  /** Opens nothing yet. @throws InvalidArgumentError `EINVAL` as {@link SocketProxy} */
  constructor(options: QueueProxyOptions) {
    super(typed(options, "router", "dealer"));
  }
}

/**
 * Messages from publishers (PUB, XPUB) at the frontend to subscribers (SUB, XSUB) at the backend. Subscriptions pass to the
 * publishers, each topic prefix once, however many ask for it; when the last has gone, it is cancelled.
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
  /** Opens nothing yet. @throws InvalidArgumentError `EINVAL` as {@link SocketProxy} */
  constructor(options: ForwarderProxyOptions) {
    super(typed(options, "xsub", "xpub"));
  }
}

/**
 * Work from PUSH peers at the frontend to PULL peers at the backend, in turn. Nothing is dropped while the proxy lives.
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
  /** Opens nothing yet. @throws InvalidArgumentError `EINVAL` as {@link SocketProxy} */
  constructor(options: StreamerProxyOptions) {
    super(typed(options, "pull", "push"));
  }
}

/** With the types in their places; anything else than an object is left for the checks. */
function typed(
  options: ProxyOptions<object, object>,
  frontend: ProxySocketType,
  backend: ProxySocketType,
): ProxyOptions<TypedProxySideOptions, TypedProxySideOptions> {
  if (typeof options !== "object" || options === null) return options;
  const side = (given: object, type: ProxySocketType): TypedProxySideOptions =>
    (typeof given === "object" && given !== null ? { type, ...given } : given) as TypedProxySideOptions;
  return { ...options, frontend: side(options.frontend, frontend), backend: side(options.backend, backend) };
}
