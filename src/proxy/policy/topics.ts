/**
 * Topic lists: the longest prefix that a topic begins with decides. Pure.
 *
 * A tree by bytes: a topic is looked at as far as some prefix of the lists goes with it, which for most is one byte,
 * however long the lists are.
 *
 *   allow ["news"], deny ["news/secret"]
 *   (none: no) -n-e-w-s-> yes -/-s-e-c-r-e-t-> no
 */
import type { PolicyList } from "./policy.js";

/** Its children by their byte, from `low` on: quicker than a Map, and short, since topics are text. */
class Node {
  /** Absent: as the node above. */
  allows: boolean | undefined = undefined;
  /** Whether a longer prefix allows. */
  leadsToAllowed = false;
  #low = 0;
  #next: (Node | undefined)[] = [];

  at(byte: number): Node | undefined {
    const index = byte - this.#low;
    return index >= 0 && index < this.#next.length ? this.#next[index] : undefined;
  }

  /** The child of a byte, made where there is none. */
  make(byte: number): Node {
    const known = this.at(byte);
    if (known !== undefined) return known;
    const node = new Node();
    if (this.#next.length === 0) this.#low = byte;
    for (; byte < this.#low; this.#low--) this.#next.unshift(undefined);
    while (this.#next.length <= byte - this.#low) this.#next.push(undefined);
    this.#next[byte - this.#low] = node;
    return node;
  }
}

export class TopicRules {
  readonly #root = new Node();
  /** What is on no list. */
  readonly #otherwise: boolean;

  constructor({ allow = [], deny = [] }: PolicyList) {
    this.#otherwise = allow.length === 0;
    for (const prefix of deny) this.#node(Buffer.from(prefix)).allows = false;
    for (const prefix of allow) this.#allow(Buffer.from(prefix));
  }

  /** Whether messages of a topic pass. @param bytes where the topic is, between `start` and `end` */
  allows(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
    let node: Node | undefined = this.#root;
    let allows = node.allows ?? this.#otherwise;
    for (let i = start; i < end; i++) {
      node = node.at(bytes[i] as number);
      if (node === undefined) break;
      allows = node.allows ?? allows;
    }
    return allows;
  }

  /** Whether a subscription passes: whether some topic that begins with its prefix is allowed. */
  passes(prefix: Uint8Array): boolean {
    let node: Node | undefined = this.#root;
    let allows = node.allows ?? this.#otherwise;
    for (let i = 0; i < prefix.length; i++) {
      node = node.at(prefix[i] as number);
      if (node === undefined) return allows;
      allows = node.allows ?? allows;
    }
    return allows || node.leadsToAllowed;
  }

  #node(prefix: Uint8Array): Node {
    let node = this.#root;
    for (const byte of prefix) node = node.make(byte);
    return node;
  }

  #allow(prefix: Uint8Array): void {
    const end = this.#node(prefix);
    if (end.allows === false) return; // Denied as well.
    end.allows = true;
    let node: Node = this.#root;
    for (const byte of prefix) {
      node.leadsToAllowed = true;
      node = node.at(byte) as Node;
    }
  }
}
