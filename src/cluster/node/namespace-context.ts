/** Shared context of a cluster's parts on a node (created by namespace-parts.ts). */
import type { ClusterChange } from "../membership/context.js";
import type { MemberMessages } from "../messaging/member-messages.js";
import type { Messaging } from "../messaging/messaging.js";
import type { PairStreams } from "../messaging/pair-streams.js";
import type { Requests } from "../requests/requests.js";
import type { ClusterEvent } from "./events.js";
import type { NodeSockets } from "./node-sockets.js";
import type { NamespaceSettings } from "./options.js";
import type { OwnDetails } from "./own-details.js";

export interface NodeIdentity {
  readonly id: string;
  readonly name: string;
}

/** The program's object, as its parts see it. */
export interface NamespaceOwner {
  readonly closed: boolean;
  report(event: ClusterEvent): void;
  onAddress(address: string): void;
}

export interface NamespaceOptions {
  /** Class name, for errors. */
  readonly what: string;
  readonly cluster: string;
  readonly identity: NodeIdentity;
  readonly sockets: NodeSockets;
  readonly settings: NamespaceSettings;
  readonly owner: NamespaceOwner;
}

export interface MessagesPart {
  /** `undefined` before the start, and without messages. */
  readonly started: Messaging | undefined;
  /** `undefined` without messages. */
  readonly streams: PairStreams | undefined;
  onChange(change: ClusterChange): void;
}

/** Parts may use each other only when called, not while they are constructed. */
export interface NamespaceContext extends NamespaceOptions {
  readonly details: OwnDetails;
  readonly messages: MessagesPart;
  readonly memberMessages: MemberMessages;
  readonly requests: Requests;
  /** After hooks of members and requests that wait for its member. */
  emit(event: ClusterEvent): void;
  membersChanged(): void;
  /** Also at the start and at the end. @returns stops it */
  watchMembers(onChange: () => void): () => void;
}
