/** One socket of a proxy. */
import { checkKeys } from "../core/arguments.js";
import { ignore } from "../core/waiter.js";
import { checkOption } from "../sockets/check-options.js";
import type { Context } from "../sockets/context.js";
import { Pair } from "../sockets/pair.js";
import { Pull, Push } from "../sockets/pipeline.js";
import { Publisher, Subscriber, XPublisher, XSubscriber } from "../sockets/pub-sub.js";
import { Dealer, Reply, Router } from "../sockets/request-reply.js";
import type { Socket } from "../sockets/socket.js";
import { type PlanType, type ProxyCertificates, type SocketPlan, typeNameOf } from "./options.js";

/** ms. */
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

const CERTIFICATE_OPTIONS = ["tlsCert", "tlsKey", "tlsPassphrase", "tlsCa"] as const;

export class ProxySocket {
  readonly plan: SocketPlan;
  readonly socket: Socket;
  /** Bound endpoints without wildcards: the plan's in order, then later ones. */
  readonly bound: string[] = [];
  readonly connected: string[] = [];
  /** Resolved -> given; a wildcard may be given several times. */
  readonly #given = new Map<string, string>();

  /** @throws as a socket's constructor */
  constructor(plan: SocketPlan, context: Context) {
    this.plan = plan;
    const options = { linger: LINGER, ...plan.options, context };
    this.socket = new CLASSES[plan.type](options as never);
  }

  async bind(): Promise<void> {
    for (const endpoint of this.plan.bind) await this.listen(endpoint);
  }

  /** @returns the resolved endpoint @throws as a socket's `bind` */
  async listen(endpoint: string): Promise<string> {
    const resolved = await this.socket.bind(endpoint);
    this.bound.push(resolved);
    this.#given.set(resolved, endpoint);
    return resolved;
  }

  /** @throws TransportError `ENOENT` when not bound */
  async unlisten(endpoint: string): Promise<void> {
    const resolved = this.bound.find((each) => each === endpoint || this.#given.get(each) === endpoint);
    await this.socket.unbind(resolved ?? endpoint);
    if (resolved === undefined) return;
    this.bound.splice(this.bound.indexOf(resolved), 1);
    this.#given.delete(resolved);
  }

  connect(): void {
    // A side's subscriptions depend on its policy (pumps.ts).
    if (this.plan.name === "control" && this.socket instanceof Subscriber)
      this.socket.subscribe(...this.plan.subscribe);
    for (const endpoint of this.plan.connect) this.connectTo(endpoint);
    if (this.plan.source !== undefined) this.socket.connect(this.plan.source);
  }

  connectTo(endpoint: string): void {
    this.socket.connect(endpoint);
    this.connected.push(endpoint);
  }

  /** @throws TransportError `ENOENT` when not connected */
  disconnectFrom(endpoint: string): void {
    this.socket.disconnect(endpoint);
    const position = this.connected.indexOf(endpoint);
    if (position >= 0) this.connected.splice(position, 1); // A source's endpoints are not listed.
  }

  /** @throws InvalidArgumentError `EINVAL`, before any change */
  setCertificates(certificates: ProxyCertificates): void {
    checkKeys("certificates", certificates, CERTIFICATE_OPTIONS);
    const given = Object.entries(certificates).filter(([, value]) => value !== undefined);
    for (const [name, value] of given) checkOption(typeNameOf(this.plan.type), name, value);
    // One turn: no handshake gets a certificate without its key.
    Object.assign(this.socket, Object.fromEntries(given));
  }

  subscribe(prefix: Buffer, on: boolean): void {
    const { socket } = this;
    if (socket.closed) return;
    if (socket instanceof Subscriber) {
      if (on) socket.subscribe(prefix);
      else socket.unsubscribe(prefix);
    } else if (socket instanceof XSubscriber)
      void socket.send(Buffer.concat([Buffer.of(on ? 1 : 0), prefix]), { timeout: -1 }).catch(ignore);
  }
}
