/** What the parts of a bus have in common: what the bus is, and the parts that the ones below them call (bus-parts.ts makes them). */
import type { ClientRoster } from "../clients/roster.js";
import type { ClusterChange } from "../membership/events.js";
import type { Messaging } from "../messaging/messaging.js";
import type { PairStreams } from "../messaging/pair-streams.js";
import type { Services } from "../messaging/services.js";
import type { Requests } from "../requests/requests.js";
import type { ClusterEvent } from "./events.js";
import type { NodeSockets } from "./node-sockets.js";
import type { BusSettings } from "./options.js";
import type { OwnDetails } from "./own-details.js";
import type { PrivateProp } from "./private-props.js";

/** Identity of a node, the same on each of its buses. */
export interface NodeIdentity {
  readonly id: string;
  readonly name: string;
}

/** What a bus is made of. */
export interface BusOptions {
  /** Name of its class, for errors. */
  readonly what: string;
  /** Name of the cluster. */
  readonly group: string;
  readonly identity: NodeIdentity;
  readonly sockets: NodeSockets;
  readonly settings: BusSettings;
}

/** The bus that programs have, as its parts see it. */
export interface BusOwner {
  isClosed(): boolean;
  /** Calls the listeners of an event. */
  report(event: ClusterEvent): void;
  /** The others reach this node at another address. */
  onAddress(address: string): void;
}

/** Links, routes and subscriptions, as the runtime sees them. */
export interface MessagesPart {
  /** `undefined` before the start, and without messages. */
  readonly started: Messaging | undefined;
  /** `undefined`: without messages, or before them. */
  readonly streams: PairStreams | undefined;
  onAddress(): void;
  onChange(change: ClusterChange): void;
}

/** A part reads the others when it is called, never while it is made. */
export interface BusContext extends BusOptions {
  readonly owner: BusOwner;
  /** The tags, props and endpoints of this node. */
  readonly details: OwnDetails;
  readonly messages: MessagesPart;
  /** `send` and `query`. */
  readonly services: Services;
  /** `serve` and `request`. */
  readonly requests: Requests;
  /** This node's discovery server, and the clients of all nodes' ones. */
  readonly roster: ClientRoster;
  /** Calls the listeners of an event, after the hooks of services and the requests that wait for its member. */
  emit(event: ClusterEvent): void;
  /** Members have changed, or may have. */
  membersChanged(): void;
  /** Calls back at every change of any member, at the start and at the end. @returns ends that */
  watchMembers(onChange: () => void): () => void;
  /** States a prop of the node's own. One that does not fit is counted: the others do not reach this node by messages then. */
  setPrivate(prop: PrivateProp, value: string | undefined): void;
}
