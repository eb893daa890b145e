/** Messages of a cluster: links, routes and subscriptions, connected to membership. */
import { InvalidStateError, NotSupportedError } from "../../core/errors.js";
import { MACHINE } from "../../engine/zmtp/transport/transports.js";
import type { ClusterChange } from "../membership/context.js";
import type { Member } from "../membership/members.js";
import { NodeLinks } from "../messaging/links.js";
import { Messaging } from "../messaging/messaging.js";
import type { MessagingSettings } from "../messaging/options.js";
import { type LinkProtocol, PairStreams } from "../messaging/pair-streams.js";
import type { LinkMember, NodeLinksEffects } from "../messaging/parts.js";
import { ipcProtocol, wsProtocol } from "../messaging/protocols.js";
import { RouteDriver } from "../messaging/route-driver.js";
import { MESSAGES_PROP } from "../messaging/wire.js";
import { splitAddress } from "../net/addresses.js";
import { hostOf } from "../resolver.js";
import type { MessagesPart, NamespaceContext, NamespaceRuntime } from "./namespace-runtime.js";
import type { NodeSockets } from "./node-sockets.js";

/** What a member is to messages after a change; others make no difference. */
const STATES: Readonly<Partial<Record<ClusterChange["type"], "alive" | "lost" | "gone" | "forgotten">>> = {
  joined: "alive",
  back: "alive",
  restarted: "alive",
  rejoined: "alive",
  moved: "alive",
  cleared: "alive",
  details: "alive",
  lost: "lost",
  left: "gone",
  cleaned: "forgotten",
};

export class NamespaceMessages implements MessagesPart {
  readonly #namespace: NamespaceContext;
  readonly #runtime: NamespaceRuntime;
  readonly #messaging: Messaging;
  readonly #streams: PairStreams;
  #isStarted = false;
  readonly links: NodeLinks;
  readonly routes: RouteDriver;

  constructor(namespace: NamespaceContext, runtime: NamespaceRuntime) {
    this.#namespace = namespace;
    this.#runtime = runtime;
    const { sockets, settings } = namespace;
    const { messaging } = settings;
    const { id } = namespace.identity;
    this.#streams = new PairStreams(sockets.streams, runtime.codec, messaging.maxItem, {
      cluster: runtime.codec.name,
      id,
      host: hostToBind(sockets.settings),
      ports: sockets.settings.ports,
    });
    const effects: NodeLinksEffects = {
      id,
      settings: messaging,
      onItem: (from, item) => this.#messaging.onItem(from, item),
      onUp: (of) => this.routes.onUp(of),
      onLost: (of, count) => this.#messaging.onLost(of, count),
      onTooLarge: (of, prefix) => this.#messaging.onTooLarge(of, prefix),
      linkMember: (of) => this.#linkMember(of),
      advertise: (advert) => this.#namespace.details.setAdvert(advert),
      ping: (of) => this.#runtime.run((rules, now) => void rules.expect(now, of)),
      onHeard: (of) => this.#runtime.membership?.onHeard(performance.now(), of),
      onKeyRefused: (address) => this.#namespace.sockets.refuseIdentity(address, this.#runtime.codec),
      onProtocolFailed: (peer, protocol, reason) => {
        const node = peer === "" ? undefined : peer;
        if (node === undefined) this.#namespace.sockets.count("messages:listen");
        this.#runtime.report({ type: "protocol:failed", node, protocol, reason });
      },
    };
    this.links = new NodeLinks(effects, this.#streams, this.#protocols(messaging));
    this.routes = new RouteDriver(id, messaging, this.links, () => this.#namespace.requests.onRoutes());
    this.#messaging = new Messaging(id, messaging, {
      member: (of) => this.#find(of),
      peers: () => this.#peers(),
      links: this.links,
      routes: this.routes,
      emit: (event) => this.#runtime.report(event),
      onMemberItem: (from, item, protocol) =>
        this.#namespace.memberMessages.receiver.onBytes(from, item, protocol),
      onRequest: (from, bytes, start, end) => this.#namespace.requests.onItem(from, bytes, start, end),
      onGone: (of) => {
        this.#namespace.memberMessages.onForgotten(of);
        this.#namespace.requests.onForgotten(of);
      },
    });
  }

  /** @throws InvalidStateError `EFSM` before the start; NotSupportedError `NOT_SUPPORTED` without messages */
  get messaging(): Messaging {
    if (this.#isStarted) return this.unstarted;
    this.assertSupported();
    throw new InvalidStateError("EFSM", `${this.#namespace.what} was not started`);
  }

  /** Keeps subscriptions and numbers until the start. @throws NotSupportedError `NOT_SUPPORTED` without messages */
  get unstarted(): Messaging {
    this.assertSupported();
    return this.#messaging;
  }

  /** @throws NotSupportedError `NOT_SUPPORTED` without messages */
  assertSupported(): void {
    if (!this.#namespace.settings.hasMessages)
      throw new NotSupportedError("the node has no messages: messaging is false");
  }

  /** `undefined` before the start, and without messages. */
  get started(): Messaging | undefined {
    return this.#isStarted ? this.#messaging : undefined;
  }

  get streams(): PairStreams | undefined {
    return this.#namespace.settings.hasMessages ? this.#streams : undefined;
  }

  /**
   * Loads the cipher of sealed messages.
   *
   * @throws, also in the promise: NotSupportedError `ERR_ENGINE_UNAVAILABLE`, as without WebAssembly
   */
  load(): Promise<void> | undefined {
    return this.#namespace.settings.hasMessages ? this.#runtime.codec.load() : undefined;
  }

  /** After a failure the node sends, and cannot be reached. */
  async start(): Promise<void> {
    if (!this.#namespace.settings.hasMessages || this.#isStarted) return;
    this.#isStarted = true;
    await this.links.start();
  }

  onChange(change: ClusterChange): void {
    if (!this.#namespace.settings.hasMessages) return;
    const { type } = change;
    if (type === "removed" || type === "admitted") {
      if (change.id === this.#namespace.identity.id) this.#onOwn(type);
      else if (type === "removed") this.#messaging.onMember(change.id, "gone");
      return;
    }
    const state = STATES[type];
    if (state === undefined || !("member" in change) || change.member === undefined) return;
    const { id } = change.member;
    if (type === "restarted" || (type === "back" && change.restarted)) this.#messaging.onMember(id, "gone");
    this.#messaging.onMember(id, state);
  }

  /** While this node is removed, no other one acknowledges its subscriptions. */
  #onOwn(change: "removed" | "admitted"): void {
    for (const { id } of this.#runtime.membership?.live ?? [])
      this.routes.onMember(id, change === "removed" ? "lost" : "alive");
  }

  async close(linger: number): Promise<void> {
    await this.#messaging.close(linger);
  }

  #protocols({ protocols }: MessagingSettings): LinkProtocol[] {
    const { platform, tls } = this.#namespace.sockets;
    return (protocols ?? ["tcp"]).flatMap((each) => {
      if (each === "tcp" || each === "tls") return [this.#streams.ownProtocol()];
      if (typeof each === "object") return [each];
      // A simulation has only tcp.
      if (platform !== MACHINE) return [];
      return [each === "ipc" ? ipcProtocol() : wsProtocol(platform.transports, tls)];
    });
  }

  #find(id: string): Member | undefined {
    return id === this.#namespace.identity.id ? undefined : this.#runtime.membership?.get(id);
  }

  #peers(): string[] {
    const live = this.#runtime.membership?.live ?? [];
    return live.filter(({ details }) => details.props[MESSAGES_PROP] !== undefined).map(({ id }) => id);
  }

  #linkMember(id: string): LinkMember | undefined {
    const member = this.#find(id);
    if (member?.isLive !== true) return undefined;
    const { name, address, hasDetails, details } = member;
    return {
      id,
      name,
      hasDetails,
      host: splitAddress(address)?.host ?? "",
      address,
      local: hostOf(name) === hostOf(this.#namespace.identity.name),
      advert: details.props[MESSAGES_PROP],
    };
  }
}

function hostToBind({ scope, interface: wanted, ipv6 }: NodeSockets["settings"]): string {
  if (scope === "host") return "127.0.0.1";
  return wanted ?? (ipv6 ? "::" : "*");
}
