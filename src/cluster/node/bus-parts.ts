/** Creates the parts of a cluster in the order of their dependencies. */
import { ClientRoster } from "../clients/roster.js";
import { Discovery } from "../discovery/discovery.js";
import type { Services } from "../messaging/services.js";
import type { Requests } from "../requests/requests.js";
import type { BusContext, BusOptions, BusOwner, NodeIdentity } from "./bus-context.js";
import { BusMessages } from "./bus-messages.js";
import { createRequests } from "./bus-requests.js";
import { BusRuntime } from "./bus-runtime.js";
import { createServices } from "./bus-services.js";
import type { ClusterEvent } from "./events.js";
import type { NodeSockets } from "./node-sockets.js";
import type { BusSettings } from "./options.js";
import { OwnDetails } from "./own-details.js";
import type { PrivateProp } from "./private-props.js";
import { ServiceCandidates } from "./service-candidates.js";

export class BusParts implements BusContext {
  readonly what: string;
  readonly group: string;
  readonly identity: NodeIdentity;
  readonly sockets: NodeSockets;
  readonly settings: BusSettings;
  readonly owner: BusOwner;
  readonly runtime: BusRuntime;
  readonly details: OwnDetails;
  readonly discovery: Discovery;
  readonly messages: BusMessages;
  readonly services: Services;
  readonly requests: Requests;
  readonly candidates: ServiceCandidates;
  readonly roster: ClientRoster;
  readers = 0;
  readonly #watchers = new Set<() => void>();

  constructor(options: BusOptions, owner: BusOwner) {
    const { what, group, identity, sockets, settings } = options;
    this.what = what;
    this.group = group;
    this.identity = identity;
    this.sockets = sockets;
    this.settings = settings;
    this.owner = owner;
    this.runtime = new BusRuntime(this);
    const { runtime } = this;
    this.messages = new BusMessages(this, runtime);
    this.services = createServices(this, runtime, this.messages);
    this.candidates = new ServiceCandidates(identity.id, runtime, this.messages);
    this.requests = createRequests(identity.id, runtime, this.messages, this.candidates);
    this.roster = new ClientRoster(this.requests);
    this.details = new OwnDetails(settings, sockets.settings.ipv6, {
      current: () => runtime.membership?.self.details,
      address: () => sockets.address,
      set: (tags, props, endpoints) =>
        runtime.run((rules, now) => rules.setDetails(now, tags, props, endpoints)),
      dropped: () => sockets.count("messages:details"),
      refused: (name, endpoint, error) => runtime.report({ type: "endpoint:refused", name, endpoint, error }),
    });
    for (const { name, endpoint } of settings.advertised) this.details.advertise(name, endpoint);
    this.discovery = new Discovery(settings.seeds, settings.discovery, {
      join: (addresses) => runtime.run((rules, now) => rules.join(now, addresses)),
      forget: (addresses) => runtime.run((rules, now) => rules.forget(now, addresses)),
      accepts: (address) => sockets.accepts(address),
      resolve: (name) => sockets.resolve(name),
      isAlone: () => runtime.membership?.live.length === 0,
      up: (source) => runtime.report({ type: "discovery:up", source }),
      down: (source, error) => runtime.report({ type: "discovery:down", source, error }),
      count: (reason) => sockets.count(reason),
    });
  }

  emit(event: ClusterEvent): void {
    const { services, requests } = this;
    switch (event.type) {
      case "joined":
        services.onMember("discovered", event.member);
        break;
      case "back":
        services.onMember("found", event.member);
        break;
      case "restarted":
        services.onMember("lost", event.member);
        services.onMember("found", event.member);
        requests.onGone(event.member.id);
        break;
      case "tags":
        services.onMember("changed", event.member);
        break;
      case "lost":
      case "left":
        services.onMember("lost", event.member);
        requests.onGone(event.member.id);
        break;
      case "removed":
        if (event.member !== undefined) services.onMember("lost", event.member);
        requests.onGone(event.id);
        break;
    }
    this.owner.report(event);
  }

  membersChanged(): void {
    for (const watcher of this.#watchers) watcher();
    this.candidates.membersChanged();
    this.requests.onRoutes();
  }

  setPrivate(prop: PrivateProp, value: string | undefined): void {
    try {
      this.details.setPrivate(prop, value);
    } catch {
      this.sockets.count("messages:details");
    }
  }

  watchMembers(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }
}
