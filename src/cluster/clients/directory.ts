/**
 * Nodes listed by a discovery server: revisions, changes, JSON. A node's view depends on the client's source
 * address, so its JSON is cached per address and revision.
 */
import type { AddressScope } from "./addresses.js";
import { type DescribedMember, type DiscoveredNode, describeNode } from "./description.js";

const MAX_VIEWS = 1_024;
/** Cached, in all views. */
const MAX_VIEWED_NODES = 65_536;

/** Messages for one source address. */
interface View {
  reply: Buffer | undefined;
  change: Buffer | undefined;
}

interface Change {
  readonly changed: ReadonlySet<string>;
  readonly gone: readonly string[];
}

export class NodeDirectory {
  #self = "";
  #revision = 0;
  #members: ReadonlyMap<string, DescribedMember> = new Map();
  #keys: ReadonlyMap<string, string> = new Map();
  #change: Change = { changed: new Set(), gone: [] };
  readonly #views = new Map<string, View>();

  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#members.size;
  }

  /**
   * @param members live, this node first
   * @returns whether anything changed
   */
  update(members: readonly DescribedMember[]): boolean {
    const keys = new Map(
      members.map(({ id, name, tags, props, endpoints, isDraining }) => [
        id,
        JSON.stringify([name, tags, Object.entries(props), Object.entries(endpoints), isDraining]),
      ]),
    );
    const changed = new Set([...keys].filter(([id, key]) => this.#keys.get(id) !== key).map(([id]) => id));
    const gone = [...this.#keys.keys()].filter((id) => !keys.has(id));
    if (changed.size === 0 && gone.length === 0) return false;
    this.#revision += 1;
    this.#self = members[0]?.id ?? "";
    this.#members = new Map(members.map((member) => [member.id, member]));
    this.#keys = keys;
    this.#change = { changed, gone };
    this.#views.clear();
    return true;
  }

  nodes(caller: string, scope: AddressScope): DiscoveredNode[] {
    return [...this.#members.values()].map((member) => describeNode(member, caller, scope));
  }

  /** The whole list, as an answer and for watchers that missed changes. */
  reply(caller: string, scope: AddressScope): Buffer {
    const view = this.#view(caller, scope);
    view.reply ??= this.#message('"ok":true', `"nodes":${JSON.stringify(this.nodes(caller, scope))}`);
    return view.reply;
  }

  change(caller: string, scope: AddressScope): Buffer {
    const view = this.#view(caller, scope);
    if (view.change === undefined) {
      const { changed, gone } = this.#change;
      const nodes = [...changed].flatMap((id) => {
        const member = this.#members.get(id);
        return member === undefined ? [] : [describeNode(member, caller, scope)];
      });
      const rest = `"from":${this.#revision - 1},"nodes":${JSON.stringify(nodes)},"gone":${JSON.stringify(gone)}`;
      view.change = this.#message('"event":"nodes"', rest);
    }
    return view.change;
  }

  #message(kind: string, rest: string): Buffer {
    return Buffer.from(`{${kind},"node":"${this.#self}","revision":${this.#revision},${rest}}`);
  }

  #view(caller: string, scope: AddressScope): View {
    const key = `${scope} ${caller}`;
    const known = this.#views.get(key);
    if (known !== undefined) return known;
    const view: View = { reply: undefined, change: undefined };
    this.#views.set(key, view);
    for (const oldest of this.#views.keys()) {
      if (this.#views.size <= MAX_VIEWS && this.#views.size * this.#members.size <= MAX_VIEWED_NODES) break;
      if (oldest === key) break;
      this.#views.delete(oldest);
    }
    return view;
  }
}
