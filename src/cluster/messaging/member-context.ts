/** Shared by sending to members and receiving from them: the cluster, hooks, channels, counts. */
import { type Member as KnownMember, MemberState } from "../membership/members.js";
import type { Membership } from "../membership/membership.js";
import type { Member } from "../node/member.js";
import type { NamespaceSettings } from "../node/options.js";
import { ClusterChannels } from "./channels.js";
import { Hooks } from "./hooks.js";
import type { NodeLinks } from "./links.js";
import type { MemberMessagesEvent } from "./member-types.js";
import { NodeQueues } from "./node-queues.js";
import { MessageKind } from "./parts.js";
import { PendingQueries } from "./query.js";

/** Protocol of messages to this node itself. */
export const SELF = "self";

/** The cluster on this node. */
export interface MembersNamespace {
  readonly identity: { readonly id: string };
  readonly settings: Pick<NamespaceSettings, "hasMessages" | "messaging">;
}

export interface MembersRuntime {
  readonly membership: Membership | undefined;
  readonly rules: Membership;
  /** Bytes of a datagram to the group; 0: none. */
  readonly messageRoom: number;
  find(nameOrId: string): KnownMember | undefined;
  snapshotOf(member: Readonly<KnownMember>): Member;
  report(event: MemberMessagesEvent): void;
}

export abstract class MemberContext {
  /** Of this node. */
  readonly id: string;
  readonly runtime: MembersRuntime;
  readonly links: NodeLinks;
  readonly channels: ClusterChannels;
  readonly hooks: Hooks;
  readonly pending: PendingQueries;
  /** Answers, and what goes to this node itself. */
  readonly queues: NodeQueues;
  readonly counts = {
    sent: 0,
    failed: 0,
    received: 0,
    notJoined: 0,
    unhandled: 0,
    vetoed: 0,
    answered: 0,
  };
  readonly refused: Record<string, number> = {};
  closed = false;
  readonly #hasMessages: boolean;

  constructor({ identity, settings }: MembersNamespace, runtime: MembersRuntime, links: NodeLinks) {
    const { channels } = settings.messaging;
    this.id = identity.id;
    this.runtime = runtime;
    this.links = links;
    this.#hasMessages = settings.hasMessages;
    this.channels = new ClusterChannels(channels);
    this.hooks = new Hooks((member, error) => runtime.report({ type: "hook:failed", member, error }));
    // Answers to an earlier life match no query.
    this.pending = new PendingQueries(Math.floor(Math.random() * 2 ** 20));
    this.queues = new NodeQueues(links, MessageKind.MEMBER, {
      id: this.id,
      onItem: (from, item) => this.onOwn(from, item),
    });
  }

  /** An item that this node sent to itself. */
  protected abstract onOwn(from: string, item: Buffer): void;

  refuse(reason: string): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }

  /** A live or lost member: a lost one may only have paused. */
  sender(id: string): Member | undefined {
    const member = this.runtime.membership?.get(id);
    return member === undefined || member.state === MemberState.LEFT
      ? undefined
      : this.runtime.snapshotOf(member);
  }

  /** Whether a member's details are known. */
  isKnown(id: string): boolean {
    const member = this.runtime.membership?.get(id);
    return member?.isLive !== true || member.hasDetails;
  }

  /** Its protocol, or the first to be tried; empty: none. */
  protocolOf(id: string): string {
    return id === this.id ? SELF : this.links.protocolFor(id);
  }

  /** Bytes of a datagram to the cluster's group; 0: none. */
  get room(): number {
    return this.#hasMessages ? this.runtime.messageRoom : 0;
  }
}
