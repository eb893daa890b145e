/** Shared by sending to members and receiving from them: hooks, channels, counters. */
import { type ClusterChannel, ClusterChannels } from "./channels.js";
import { Hooks, MemberAdmission } from "./hooks.js";
import type { NodeLinks } from "./links.js";
import type { MemberMessagesEffects } from "./member-types.js";
import { Multicast } from "./member-wire.js";
import { NodeQueues, type OwnItems } from "./node-queues.js";
import { MessageKind } from "./parts.js";
import { PendingQueries } from "./query.js";

/** Protocol of messages to this node itself. */
export const SELF = "self";

export class MemberContext {
  readonly effects: MemberMessagesEffects;
  readonly links: NodeLinks;
  readonly selfId: string;
  readonly channels: ClusterChannels;
  readonly hooks: Hooks;
  readonly admission: MemberAdmission;
  readonly pending: PendingQueries;
  readonly multicast: Multicast;
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

  /** @param onOwn gets items that this node sends to itself */
  constructor(
    effects: MemberMessagesEffects,
    channels: readonly ClusterChannel[] | undefined,
    onOwn: OwnItems["onItem"],
  ) {
    this.effects = effects;
    this.links = effects.links;
    this.selfId = effects.id;
    this.channels = new ClusterChannels(channels);
    this.hooks = new Hooks();
    this.admission = new MemberAdmission(this.hooks, (member, error) =>
      effects.report({ type: "hook:failed", member, error }),
    );
    this.multicast = new Multicast(effects.group);
    this.queues = new NodeQueues(effects.links, MessageKind.MEMBER, { id: effects.id, onItem: onOwn });
    // Answers to an earlier life match no query.
    this.pending = new PendingQueries(Math.floor(Math.random() * 2 ** 20));
  }

  refuse(reason: string): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }
}
