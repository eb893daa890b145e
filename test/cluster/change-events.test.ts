/** Events of a namespace: their order, and new members that wait for their details. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDetails, type Details } from "../../src/cluster/details.js";
import type { ClusterChange } from "../../src/cluster/membership/context.js";
import { Member } from "../../src/cluster/membership/members.js";
import { ChangeEvents, type ClusterEvent } from "../../src/cluster/node/events.js";
import { memberOf } from "../../src/cluster/node/member.js";

class Namespace {
  readonly seen: string[] = [];
  onEvent: (event: ClusterEvent) => void = () => undefined;
  readonly events = new ChangeEvents(
    (event) => {
      const tags = "member" in event && event.member !== undefined ? event.member.tags.join() : "";
      this.seen.push(tags === "" ? event.type : `${event.type} ${tags}`);
      this.onEvent(event);
    },
    (each) => memberOf(each, "here", 0),
  );

  /** The rules report changes in one call. */
  run(...changes: readonly ClusterChange[]): void {
    this.events.during(() => {
      for (const change of changes) this.events.onChange(change);
    });
  }
}

function newMember(id = "a".repeat(32)): Member {
  const member = new Member({ id, name: "a@there", address: "192.0.2.1:7946", start: 1, count: 0 }, 0);
  member.announced = 1;
  return member;
}

/** A member's details change. */
function changed(member: Member, details: Details): ClusterChange {
  const before = member.details;
  member.details = details;
  return { type: "details", member, before };
}

describe("the events of a namespace", () => {
  let namespace: Namespace;
  let member: Member;
  beforeEach(() => {
    vi.useFakeTimers();
    namespace = new Namespace();
    member = newMember();
  });
  afterEach(() => void vi.useRealTimers());

  it("have a newMember without its tags after 200 ms, and the tags when they come", () => {
    namespace.run({ type: "joined", member });
    vi.advanceTimersByTime(199);
    expect(namespace.seen).toEqual([]);
    vi.advanceTimersByTime(1);
    namespace.run(changed(member, createDetails(1, ["billing"], {}, [])));
    expect(namespace.seen).toEqual(["joined", "tags billing"]);
  });

  it("have no event for props that a node has for itself", () => {
    namespace.run({ type: "joined", member });
    namespace.run(changed(member, createDetails(1, ["billing"], { "shoal-messages": "1;tcp=5555" }, [])));
    namespace.run(changed(member, createDetails(2, ["billing"], { "shoal-messages": "1;tcp=5556" }, [])));
    namespace.run(changed(member, createDetails(3, ["billing"], { site: "eu" }, [])));
    expect(namespace.seen).toEqual(["joined billing", "tags billing"]);
  });

  it("have a newMember before what follows about it, once", () => {
    namespace.run({ type: "joined", member }, { type: "suspect", member });
    namespace.run({ type: "lost", member, reason: 0 });
    vi.advanceTimersByTime(1_000);
    expect(namespace.seen).toEqual(["joined", "suspect", "lost"]);
  });

  it("have one that is back in the same life at once: its tags are known", () => {
    namespace.run({ type: "back", member, restarted: false });
    expect(namespace.seen).toEqual(["back"]);
    namespace.run({ type: "back", member, restarted: true });
    expect(namespace.seen).toEqual(["back"]);
    vi.advanceTimersByTime(200);
    expect(namespace.seen).toEqual(["back", "back"]);
  });

  it("come when the first of nested calls of the rules has returned, and what a listener adds after the others", () => {
    namespace.onEvent = ({ type }) => {
      if (type === "suspect") namespace.run({ type: "draining", member });
    };
    // What the rules send may be answered at once.
    namespace.events.during(() => {
      namespace.run({ type: "suspect", member });
      namespace.events.report({ type: "healed", rejoined: false });
      expect(namespace.seen).toEqual([]);
    });
    expect(namespace.seen).toEqual(["suspect", "healed", "draining"]);
  });

  it("leave out newMembers that wait when the namespace closes", () => {
    namespace.run({ type: "joined", member });
    namespace.events.close();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(1_000);
    expect(namespace.seen).toEqual([]);
  });
});
