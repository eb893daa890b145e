/** A simulated cluster whose nodes decide which side of a split they are on, by what a namespace has for it. */
import type { ClusterChange } from "../../src/cluster/membership/context.js";
import { type SplitChange, type SplitMember, SplitRules } from "../../src/cluster/membership/splits.js";
import type { SimulatedNode, World } from "./simulation/world.js";

/** The sides as each node of a world knows them. Takes the world's `onChange`. Nobody rejoins by itself. */
export class Sides {
  readonly changes: SplitChange[] = [];
  readonly #changesOf = new Map<SimulatedNode, SplitChange[]>();
  readonly #world: World;
  readonly #sides = new Map<SimulatedNode, SplitRules>();

  constructor(world: World) {
    this.#world = world;
    world.onChange = (at, change) => this.note(at, change);
  }

  /** Another node, with its side. */
  add(options?: Parameters<World["add"]>[0]): SimulatedNode {
    const node = this.#world.add(options);
    this.begin(node);
    return node;
  }

  /** A node begins a life. */
  begin(node: SimulatedNode): void {
    const { id, name, start } = node.rules.self;
    const options = {
      strategy: "majority",
      stableFor: this.#world.profile.stableFor,
      autoheal: true,
      isOneHost: false,
    } as const;
    const onChange = (change: SplitChange): void => {
      this.changes.push(change);
      this.changesOf(node).push(change);
    };
    this.#sides.set(node, new SplitRules({ id, name, start }, options, onChange));
  }

  changesOf(node: SimulatedNode): SplitChange[] {
    const changes = this.#changesOf.get(node) ?? [];
    this.#changesOf.set(node, changes);
    return changes;
  }

  isMinority(node: SimulatedNode): boolean {
    return this.#sides.get(node)?.minority === true;
  }

  /** Lost members that a node still expects: those that began another life are found by their name. */
  lostOf(node: SimulatedNode): string {
    const hasBegunAgain = ({ name, start }: SplitMember): boolean =>
      this.#world.nodes.some(({ rules: { self } }) => self.name === name && self.start > start);
    const lost = this.#sides.get(node)?.lost.filter((member) => !hasBegunAgain(member)) ?? [];
    return lost
      .map(({ id }) => id)
      .sort()
      .join();
  }

  run(ms: number, step = 50): void {
    for (let left = ms; left > 0; left -= step) {
      this.#world.run(Math.min(left, step));
      for (const [node, sides] of this.#sides) {
        if (!node.up) continue;
        sides.tick(this.#world.now, node.rules);
        node.rules.isMinority = sides.minority;
      }
    }
  }

  /** The sides of a cut that go on, or have nodes that do. */
  going(nodes: readonly SimulatedNode[] = this.#world.nodes): Set<number> {
    return new Set(nodes.filter((node) => node.up && !this.isMinority(node)).map(({ side }) => side));
  }

  note(at: SimulatedNode, change: ClusterChange): void {
    this.#sides.get(at)?.onChange(this.#world.now, change);
  }
}
