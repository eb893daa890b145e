/**
 * Events of a cluster for programs: their content, order and time for each change that the rules report.
 *
 *   change ──> event ──> queue ──the rules have returned──> listeners, which may call the cluster
 *   new member ──its tags and props came, or 200 ms, or another change of it──> its event ──> queue
 */
import type { ShoalError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import type { RefusedReason } from "../admission/proof.js";
import type { Details } from "../details.js";
import type { ClusterChange } from "../membership/context.js";
import type { Member as KnownMember } from "../membership/members.js";
import { MESSAGING_EVENTS } from "../messaging/events.js";
import { MEMBER_MESSAGES_EVENTS } from "../messaging/member-types.js";
import { REQUESTS_EVENTS } from "../requests/types.js";
import { DeathReason } from "../wire/packets.js";
import { type Member, shownProps } from "./member.js";

/**
 * Death reason of a member: no node got an answer (`silent`); its connections were reset or refused, and it did not
 * answer (`connection`); another node has its address (`replaced`); no heartbeat within the time to live (`ttl`).
 */
export type LostReason = "silent" | "connection" | "replaced" | "ttl";

export const CLUSTER_EVENTS = {
  /** Tags and props are known, unless they take longer than 200 ms. */
  joined: event<{ readonly member: Member }>(),
  /** A member does not answer, and will be lost unless it refutes that. */
  suspect: event<{ readonly member: Member }>(),
  cleared: event<{ readonly member: Member }>(),
  lost: event<{ readonly member: Member; readonly reason: LostReason }>(),
  /** A lost or left member returned; `restarted`: as another process. */
  back: event<{ readonly member: Member; readonly restarted: boolean }>(),
  /** A member was restarted before it was missed. */
  restarted: event<{ readonly member: Member }>(),
  left: event<{ readonly member: Member }>(),
  /** A member's tags, props or endpoints changed. */
  tags: event<{ readonly member: Member }>(),
  draining: event<{ readonly member: Member }>(),
  /** A member sent a heartbeat on a channel from 1 to 255, whose meaning the programs define. */
  heartbeat: event<{ readonly member: Member; readonly channel: number }>(),
  /** An operator removed a node, which may be this one; `member` is `undefined` for an absent node. */
  removed: event<{ readonly id: string; readonly member: Member | undefined }>(),
  admitted: event<{ readonly id: string; readonly member: Member | undefined }>(),
  /** A lost or left member was forgotten (profile: `autoclean`). */
  cleaned: event<{ readonly member: Member }>(),
  /** Members were lost, the remaining ones are stable, and this side continues by its strategy. */
  split: event<{
    readonly reached: number;
    readonly lost: number;
    readonly strategy: "majority" | "quorum" | "none";
  }>(),
  /** Members are unreachable, and this side does not continue. */
  minority: event<{ readonly reached: number; readonly lost: number }>(),
  /** This node is no longer in a minority. `rejoined`: under a new incarnation; take the others' state. */
  healed: event<{ readonly rejoined: boolean }>(),
  /** A discovery source yielded its first list, also after an outage. */
  "discovery:up": event<{ readonly source: string }>(),
  /** A discovery source failed: its last list stays, and it is called again. Emitted once per outage. */
  "discovery:down": event<{ readonly source: string; readonly error: Error }>(),
  /**
   * A node was refused, or refused this one (`peer`). `address` is its source, without port for a stream, or the
   * dialled address. Emitted at most once per minute for each host and reason; `stats().dropped` counts all.
   */
  refused: event<{ readonly address: string; readonly reason: RefusedReason }>(),
  /** An advertised socket bound an endpoint that cannot be advertised. */
  "endpoint:refused": event<{
    readonly name: string;
    readonly endpoint: string;
    readonly error: ShoalError;
  }>(),
  /**
   * `clusterNames()` does not list the node, because its folder or disk refused it at the start.
   */
  "registry:down": event<{ readonly error: Error }>(),
  ...MESSAGING_EVENTS,
  ...MEMBER_MESSAGES_EVENTS,
  ...REQUESTS_EVENTS,
};

/** A change in a cluster. `member` is a snapshot after the change. */
export type ClusterEvent = EventsOf<typeof CLUSTER_EVENTS>;

/** By the death reason's number; one of a later version is not there. */
const LOST_REASONS: Readonly<Record<number, LostReason>> = {
  [DeathReason.SILENT]: "silent",
  [DeathReason.CONNECTION]: "connection",
  [DeathReason.REPLACED]: "replaced",
  [DeathReason.TTL]: "ttl",
};

interface NewMember {
  readonly emit: () => void;
  readonly timer: NodeJS.Timeout;
}

export class ChangeEvents {
  readonly #emit: (event: ClusterEvent) => void;
  readonly #memberOf: (member: Readonly<KnownMember>) => Member;
  readonly #pending: ClusterEvent[] = [];
  readonly #newMembers = new Map<string, NewMember>();
  #held = 0;
  #emitting = false;

  constructor(emit: (event: ClusterEvent) => void, memberOf: (member: Readonly<KnownMember>) => Member) {
    this.#emit = emit;
    this.#memberOf = memberOf;
  }

  /** Runs the rules; their events follow. Answers may come before the rules return. */
  during(call: () => void): void {
    this.#held += 1;
    try {
      call();
    } finally {
      this.#held -= 1;
    }
    this.#flush();
  }

  /** Includes events added by listeners. */
  #flush(): void {
    if (this.#emitting || this.#held > 0) return;
    this.#emitting = true;
    try {
      for (const event of this.#pending) this.#emit(event);
    } finally {
      this.#pending.length = 0;
      this.#emitting = false;
    }
  }

  /** At once, unless the rules run. */
  report(event: ClusterEvent): void {
    this.#pending.push(event);
    this.#flush();
  }

  onChange(change: ClusterChange): void {
    if (change.type !== "details" && "member" in change && change.member !== undefined)
      this.#greet(change.member.id);
    switch (change.type) {
      case "refused":
      case "moved":
      case "rejoined":
      case "one-way":
      case "reached":
        break;
      case "joined":
      case "restarted":
      case "back": {
        const emit = (): void => this.report(this.#eventOf(change));
        if (change.type === "back" && !change.restarted) emit();
        else this.#onNewMember(change.member, emit);
        break;
      }
      case "lost":
        this.report({
          type: "lost",
          member: this.#memberOf(change.member),
          reason: LOST_REASONS[change.reason] ?? "silent",
        });
        break;
      case "details":
        if (!this.#greet(change.member.id) && !looksSame(change.before, change.member.details))
          this.report({ type: "tags", member: this.#memberOf(change.member) });
        break;
      default:
        this.report(this.#eventOf(change));
    }
  }

  /** As the change, with a snapshot of its member. */
  #eventOf(change: ClusterChange & { readonly member: KnownMember | undefined }): ClusterEvent {
    return { ...change, member: change.member && this.#memberOf(change.member) } as ClusterEvent;
  }

  close(): void {
    for (const { timer } of this.#newMembers.values()) clearTimeout(timer);
    this.#newMembers.clear();
  }

  #onNewMember(member: KnownMember, emit: () => void): void {
    if (member.hasDetails) {
      emit();
      return;
    }
    const { id } = member;
    this.#newMembers.set(id, { emit, timer: setTimeout(() => this.#greet(id), 200) });
  }

  /** @returns whether a new member's event was waiting */
  #greet(id: string): boolean {
    const newMember = this.#newMembers.get(id);
    if (newMember === undefined) return false;
    this.#newMembers.delete(id);
    clearTimeout(newMember.timer);
    newMember.emit();
    return true;
  }
}

/** Whether programs see no difference between two versions of a member's details. */
function looksSame(one: Details, other: Details): boolean {
  if (one.tags.join("\0") !== other.tags.join("\0")) return false;
  if (one.endpoints.join("\0") !== other.endpoints.join("\0")) return false;
  const before = shownProps(one);
  const after = Object.entries(shownProps(other));
  return (
    Object.keys(before).length === after.length && after.every(([name, value]) => before[name] === value)
  );
}
