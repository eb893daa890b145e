/**
 * Radix tree of topics in byte order. A change costs the topic's length, a prefix lookup its results. Pure.
 *
 *   "a" ── "bc" *          abc
 *    │      └── "d" *      abcd
 *    └──── "x" *           ax
 *
 * Topics have one character per byte.
 */

interface Node<V> {
  label: string;
  value: V | undefined;
  /** Ordered by first character. */
  readonly children: Node<V>[];
}

export class TopicTree<V> {
  readonly #root: Node<V> = { label: "", value: undefined, children: [] };

  set(topic: string, value: V): void {
    let node = this.#root;
    for (let at = 0; ; ) {
      if (at === topic.length) break;
      const index = indexOf(node.children, topic.charCodeAt(at));
      const child = node.children[index];
      if (child === undefined || child.label.charCodeAt(0) !== topic.charCodeAt(at)) {
        const leaf: Node<V> = { label: topic.slice(at), value: undefined, children: [] };
        node.children.splice(index, 0, leaf);
        node = leaf;
        break;
      }
      const common = commonLength(child.label, topic, at);
      if (common < child.label.length) {
        const upper: Node<V> = { label: child.label.slice(0, common), value: undefined, children: [child] };
        child.label = child.label.slice(common);
        node.children[index] = upper;
        node = upper;
      } else node = child;
      at += common;
    }
    node.value = value;
  }

  delete(topic: string): boolean {
    let parent: Node<V> | undefined;
    let index = 0;
    let node = this.#root;
    let grandparent: Node<V> | undefined;
    let parentIndex = 0;
    for (let at = 0; at < topic.length; ) {
      const next = indexOf(node.children, topic.charCodeAt(at));
      const child = node.children[next];
      if (child === undefined || !topic.startsWith(child.label, at)) return false;
      grandparent = parent;
      parentIndex = index;
      parent = node;
      index = next;
      node = child;
      at += child.label.length;
    }
    if (node.value === undefined) return false;
    node.value = undefined;
    if (parent === undefined) return true;
    if (node.children.length === 1) join(parent, index);
    else if (node.children.length === 0) {
      parent.children.splice(index, 1);
      if (grandparent !== undefined && parent.value === undefined && parent.children.length === 1)
        join(grandparent, parentIndex);
    }
    return true;
  }

  /**
   * Values under a prefix in byte order, at most `max`.
   * @param last topic where an earlier call ended; perhaps removed since
   */
  beneath(prefix: string, last: string | undefined, max: number): V[] {
    const found: V[] = [];
    let node = this.#root;
    let at = 0;
    while (at < prefix.length) {
      const child = node.children[indexOf(node.children, prefix.charCodeAt(at))];
      if (child === undefined) return found;
      const common = commonLength(child.label, prefix, at);
      if (common < child.label.length && at + common < prefix.length) return found;
      node = child;
      at += child.label.length;
    }
    // The prefix may end within the last label.
    const path = prefix + node.label.slice(node.label.length - (at - prefix.length));
    if (last?.startsWith(path) === true) collectAfter(node, at, last, found, max);
    else if (last === undefined || path > last) collect(node, found, max);
    return found;
  }
}

/** Position of the child with this first character, or for it. */
function indexOf<V>(children: readonly Node<V>[], code: number): number {
  let low = 0;
  let high = children.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((children[middle] as Node<V>).label.charCodeAt(0) < code) low = middle + 1;
    else high = middle;
  }
  return low;
}

function commonLength(label: string, topic: string, at: number): number {
  const most = Math.min(label.length, topic.length - at);
  let length = 0;
  while (length < most && label.charCodeAt(length) === topic.charCodeAt(at + length)) length += 1;
  return length;
}

/** Merges a node with its only child. */
function join<V>(parent: Node<V>, index: number): void {
  const node = parent.children[index] as Node<V>;
  const child = node.children[0] as Node<V>;
  child.label = node.label + child.label;
  parent.children[index] = child;
}

function collect<V>(node: Node<V>, found: V[], max: number): void {
  if (found.length >= max) return;
  if (node.value !== undefined) found.push(node.value);
  for (const child of node.children) {
    if (found.length >= max) return;
    collect(child, found, max);
  }
}

/** @param depth bytes from the root, equal to the start of `last` */
function collectAfter<V>(node: Node<V>, depth: number, last: string, found: V[], max: number): void {
  for (const child of node.children) {
    if (found.length >= max) return;
    const part = last.slice(depth, depth + child.label.length);
    // If `last` ends within the label, the label is greater.
    if (child.label > part) collect(child, found, max);
    else if (child.label === part) collectAfter(child, depth + part.length, last, found, max);
  }
}
