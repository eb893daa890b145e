/**
 * Events for programs: content, order and time for each change that the rules report.
 *
 *   change ──> event ──> queue ──the rules have returned──> listeners, which may call the cluster
 *   new member ──its tags and props came, or 200 ms, or another change of it──> its event ──> queue
 */
import type { Details } from "../details.js";
import type { ClusterChange } from "../membership/context.js";
import type { Member as KnownMember } from "../membership/members.js";
import { type ClusterEvent, LOST_REASONS } from "./events.js";
import { type Member, shownProps } from "./member.js";

interface NewMember {
  readonly type: "joined" | "back" | "restarted";
  readonly member: KnownMember;
  readonly timer: NodeJS.Timeout;
}

export class ChangeEvents {
  readonly #selfId: string;
  readonly #emit: (event: ClusterEvent) => void;
  readonly #memberOf: (member: Readonly<KnownMember>) => Member;
  readonly #pending: ClusterEvent[] = [];
  readonly #newMembers = new Map<string, NewMember>();
  #held = 0;
  #emitting = false;

  constructor(
    selfId: string,
    emit: (event: ClusterEvent) => void,
    memberOf: (member: Readonly<KnownMember>) => Member,
  ) {
    this.#selfId = selfId;
    this.#emit = emit;
    this.#memberOf = memberOf;
  }

  /** Runs the rules, whose events follow: what they send may be answered before they return. */
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
        this.#onNewMember(change.type, change.member, false);
        break;
      case "back":
        this.#onNewMember(change.type, change.member, !change.restarted);
        break;
      case "heartbeat":
        this.report({ type: "heartbeat", member: this.#memberOf(change.member), channel: change.channel });
        break;
      case "lost":
        this.report({
          type: "lost",
          member: this.#memberOf(change.member),
          reason: LOST_REASONS[change.reason] ?? "silent",
        });
        break;
      case "removed":
      case "admitted": {
        const { type, id, member } = change;
        this.report({ type, id, member: member && this.#memberOf(member) });
        break;
      }
      case "details":
        if (!this.#greet(change.member.id) && !looksSame(change.before, change.member.details))
          this.report({ type: "tags", member: this.#memberOf(change.member) });
        break;
      case "conflict": {
        this.#greet(change.keeps.id);
        this.#greet(change.yields.id);
        const [keeps, yields] = [this.#memberOf(change.keeps), this.#memberOf(change.yields)];
        this.report({ type: "conflict", member: yields.id === this.#selfId ? keeps : yields, keeps, yields });
        break;
      }
      default:
        this.report({ type: change.type, member: this.#memberOf(change.member) });
    }
  }

  close(): void {
    for (const { timer } of this.#newMembers.values()) clearTimeout(timer);
    this.#newMembers.clear();
  }

  /** @param isSame whether it is the same life of a known member */
  #onNewMember(type: NewMember["type"], member: KnownMember, isSame: boolean): void {
    const { id } = member;
    if (isSame || member.hasDetails) {
      this.#pushNewMember(type, member, !isSame);
      return;
    }
    const timer = setTimeout(() => this.#greet(id), 200);
    this.#newMembers.set(id, { type, member, timer });
  }

  /** @returns whether a new member's event was waiting */
  #greet(id: string): boolean {
    const newMember = this.#newMembers.get(id);
    if (newMember === undefined) return false;
    this.#newMembers.delete(id);
    clearTimeout(newMember.timer);
    this.#pushNewMember(newMember.type, newMember.member, true);
    return true;
  }

  #pushNewMember(type: NewMember["type"], member: KnownMember, restarted: boolean): void {
    const snapshot = this.#memberOf(member);
    if (type === "back") this.report({ type, member: snapshot, restarted });
    else this.report({ type, member: snapshot });
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
