/** A simulated cluster whose nodes decide which side of a split they are on, wired as a bus does it. */
import type { ClusterChange } from "../../src/cluster/membership/events.js";
import { type SplitChange, type SplitMember, SplitRules } from "../../src/cluster/splits.js";
import type { SimulatedNode, World } from "./world.js";

/** The rules of splits of each node of a world. Takes the world's `onChange`. */
export class Sides {
  readonly changes: SplitChange[] = [];
  readonly #world: World;
  readonly #rules = new Map<SimulatedNode, SplitRules>();

  constructor(world: World) {
    this.#world = world;
    world.onChange = (at, change) => this.note(at, change);
  }

  /** A node begins a life. */
  begin(node: SimulatedNode): void {
    const { profile } = this.#world;
    const options = {
      strategy: { kind: "majority" },
      stableFor: profile.stableFor,
      autoheal: true,
    } as const;
    const rules = new SplitRules(asSeen(node.rules.self), options, (change) => this.changes.push(change));
    this.#rules.set(node, rules);
  }

  isMinority(node: SimulatedNode): boolean {
    return this.#rules.get(node)?.minority === true;
  }

  run(ms: number, step = 50): void {
    for (let left = ms; left > 0; left -= step) {
      this.#world.run(Math.min(left, step));
      for (const [node, rules] of this.#rules) {
        if (!node.up) continue;
        rules.tick(this.#world.now);
        node.rules.minority = rules.minority;
      }
    }
  }

  /** The sides of a cut that go on, or have nodes that do. */
  going(nodes: readonly SimulatedNode[] = this.#world.nodes): Set<number> {
    return new Set(nodes.filter((node) => node.up && !this.isMinority(node)).map(({ side }) => side));
  }

  note(at: SimulatedNode, change: ClusterChange): void {
    const rules = this.#rules.get(at);
    if (rules === undefined) return;
    const { now } = this.#world;
    switch (change.type) {
      case "joined":
      case "back":
      case "restarted":
        if (!change.member.unreached) rules.onReached(now, asSeen(change.member));
        break;
      case "reached":
        if (change.member.isLive) rules.onReached(now, asSeen(change.member));
        break;
      case "unreached":
      case "lost":
        rules.onLost(now, change.member.id);
        break;
      case "left":
        rules.onGone(now, change.member.id);
        break;
      case "removed":
        rules.onGone(now, change.id);
        break;
      case "cleaned":
        rules.onCleaned(change.member.id);
        break;
    }
  }
}

function asSeen({ id, name, start }: SplitMember): SplitMember {
  return { id, name, start };
}
