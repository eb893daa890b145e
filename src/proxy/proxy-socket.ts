/** One socket of a proxy: opened from its plan, bound, connected. */
import type { Context } from "../sockets/context.js";
import { Pair } from "../sockets/pair.js";
import { Pull, Push } from "../sockets/pipeline.js";
import { Publisher, Subscriber, XPublisher, XSubscriber } from "../sockets/pub-sub.js";
import { Dealer, Reply, Router } from "../sockets/request-reply.js";
import { CORE, type Socket } from "../sockets/socket.js";
import type { PlanType, SocketPlan } from "./options.js";

/** ms that the messages of a socket without a linger of its own have to leave, when the proxy stops. */
export const LINGER = 1_000;

const CLASSES: Readonly<Record<PlanType, new (options: never) => Socket>> = {
  router: Router,
  dealer: Dealer,
  pair: Pair,
  pull: Pull,
  push: Push,
  sub: Subscriber,
  pub: Publisher,
  xsub: XSubscriber,
  xpub: XPublisher,
  rep: Reply,
};

export class ProxySocket {
  readonly plan: SocketPlan;
  readonly socket: Socket;
  /** Where it listens, wildcards filled in, in the order of the plan, and then of what came later. */
  readonly bound: string[] = [];
  /** What it connects to. */
  readonly connected: string[] = [];
  /** As resolved -> as given: a wildcard may be given many times. */
  readonly #given = new Map<string, string>();

  /** @throws InvalidArgumentError, NotSupportedError, TransportError `EMFILE` as a socket's constructor does */
  constructor(plan: SocketPlan, context: Context) {
    this.plan = plan;
    const options = { linger: LINGER, ...plan.options, context };
    this.socket = new CLASSES[plan.type](options as never);
  }

  /** @throws as a socket's `bind` does; the error names the endpoint */
  async bind(): Promise<void> {
    for (const endpoint of this.plan.bind) await this.listen(endpoint);
  }

  /** Binds one endpoint. @returns as resolved @throws as a socket's `bind` does */
  async listen(endpoint: string): Promise<string> {
    await this.socket.bind(endpoint);
    const resolved = this.socket.lastEndpoint ?? endpoint;
    this.bound.push(resolved);
    this.#given.set(resolved, endpoint);
    return resolved;
  }

  /** Unbinds one endpoint, as given or as resolved. @throws TransportError `ENOENT` when it is not bound */
  async unlisten(endpoint: string): Promise<void> {
    const resolved = this.bound.find((each) => each === endpoint || this.#given.get(each) === endpoint);
    await this.socket.unbind(resolved ?? endpoint);
    if (resolved === undefined) return;
    this.bound.splice(this.bound.indexOf(resolved), 1);
    this.#given.delete(resolved);
  }

  /** @throws as a socket's `connect` does */
  connect(): void {
    // What a side asks for hangs on the topic lists of its policy (ways.ts).
    if (this.plan.name === "control" && this.socket instanceof Subscriber)
      this.socket.subscribe(...this.plan.subscribe);
    for (const endpoint of this.plan.connect) this.connectTo(endpoint);
  }

  /** @throws as a socket's `connect` does */
  connectTo(endpoint: string): void {
    this.socket.connect(endpoint);
    this.connected.push(endpoint);
  }

  /** @throws TransportError `ENOENT` when it does not connect there */
  disconnectFrom(endpoint: string): void {
    this.socket.disconnect(endpoint);
    this.connected.splice(this.connected.indexOf(endpoint), 1);
  }

  /** Tells publishers of a subscription, or of its end; on sides of type sub and xsub. */
  subscribe(prefix: Buffer, on: boolean): void {
    const { socket } = this;
    if (socket.closed) return;
    if (socket instanceof Subscriber) {
      if (on) socket.subscribe(prefix);
      else socket.unsubscribe(prefix);
    } else
      void socket[CORE].outbox
        .send([Buffer.concat([Buffer.of(on ? 1 : 0), prefix])], { timeout: -1 }, false)
        .catch(ignore);
  }

  /** Connected peers; 0 where the engine cannot know. */
  get peers(): number {
    return this.socket[CORE].engine.stats().peers ?? 0;
  }

  /** Whether the engine can tell peers to go. */
  get canRetire(): boolean {
    return this.socket[CORE].engine.retire !== undefined;
  }

  /** Takes in no further peers, where the engine can. @param hangUp tells those that are there to go, and hears them out */
  retire(hangUp: boolean): void {
    this.socket[CORE].engine.retire?.(hangUp);
  }

  /** Tells peers a property in their handshakes, and hears theirs, where the engine can. */
  announce(name: string, value: string, heard: (value: string, joined: boolean) => void): void {
    this.socket[CORE].engine.announce?.({ name, value, heard });
  }

  /** Messages that came in and wait to be taken, as far as the engine can count. */
  get received(): number {
    return this.socket[CORE].engine.stats().queuedIn;
  }

  /** Messages, or copies of them, that were accepted and have not left, as far as the engine can count. */
  get queued(): number {
    return this.socket[CORE].engine.stats().queuedOut ?? 0;
  }
}

function ignore(): void {}
