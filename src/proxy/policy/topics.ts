/**
 * Topic lists of a forwarder: filter messages one way and subscriptions the other. Lists may change at any time. Pure.
 *
 *   publishers --message--> filter, or check one by one ---> subscribers
 *   publishers <--passes--- change <--------subscription---- subscribers
 */

import type { FrameBatch } from "../../sockets/internal.js";
import type { ProxyPolicyList } from "./policy.js";

/** 29/PUBSUB. */
const [CANCEL, SUBSCRIBE] = [0, 1];
const NO_TOPIC = Buffer.alloc(0);

/** Of a tree by the bytes of the listed prefixes. */
class Node {
  /** Absent: inherited from the parent. */
  allows: boolean | undefined = undefined;
  leadsToAllowed = false;
  readonly next = new Map<number, Node>();
}

/**
 * One side's lists; the longest matching prefix decides. A byte tree reads a topic only while a prefix matches, usually
 * one byte.
 *
 *   allow ["weather"], deny ["weather/secret"]
 *   (none: no) -w-e-a-t-h-e-r-> yes -/-s-e-c-r-e-t-> no
 */
export class TopicRules {
  readonly #root = new Node();
  readonly #otherwise: boolean;

  constructor({ allow = [], deny = [] }: ProxyPolicyList) {
    this.#otherwise = allow.length === 0;
    for (const prefix of deny) this.#node(Buffer.from(prefix)).allows = false;
    for (const prefix of allow) this.#allow(Buffer.from(prefix));
  }

  /** @param bytes with the topic between `start` and `end` */
  allows(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
    let node: Node | undefined = this.#root;
    let allows = node.allows ?? this.#otherwise;
    for (let i = start; i < end; i++) {
      node = node.next.get(bytes[i] as number);
      if (node === undefined) break;
      allows = node.allows ?? allows;
    }
    return allows;
  }

  passes(prefix: Uint8Array): boolean {
    let node: Node | undefined = this.#root;
    for (const byte of prefix) node = node?.next.get(byte);
    return node?.leadsToAllowed === true || this.allows(prefix);
  }

  #node(prefix: Uint8Array): Node {
    let node = this.#root;
    for (const byte of prefix) {
      const next: Node = node.next.get(byte) ?? new Node();
      node.next.set(byte, next);
      node = next;
    }
    return node;
  }

  #allow(prefix: Uint8Array): void {
    const end = this.#node(prefix);
    if (end.allows === false) return;
    end.allows = true;
    let node: Node = this.#root;
    for (const byte of prefix) {
      node.leadsToAllowed = true;
      node = node.next.get(byte) as Node;
    }
  }
}

export interface SubscriptionChange {
  readonly prefix: Buffer;
  readonly on: boolean;
}

export interface TopicSide {
  readonly topics: TopicRules | undefined;
  refuse(reason: "topic", count: number): void;
}

/**
 *   requested subscription --passes--> upstream
 *     |                                  ^
 *     +-- refused -----------------------+  when other rules let it pass; and back again
 */
export class TopicGate {
  readonly #sides: readonly TopicSide[];
  /** Prefix (latin1) -> whether passed upstream. */
  readonly #asked = new Map<string, boolean>();

  constructor(sides: readonly TopicSide[]) {
    this.#sides = sides;
  }

  check = (frames: readonly Uint8Array[]): boolean => {
    const topic = frames[0] ?? NO_TOPIC;
    for (const side of this.#sides) {
      if (side.topics?.allows(topic) !== false) continue;
      side.refuse("topic", 1);
      return false;
    }
    return true;
  };

  /** Filters without decoding. @returns `undefined` if nothing passes, the same batch if all does */
  filter = (batch: FrameBatch): FrameBatch | undefined => {
    let passing: FrameBatch | undefined = batch;
    for (const side of this.#sides) {
      const { topics } = side;
      if (topics === undefined || passing === undefined) continue;
      const before: number = passing.messages;
      passing = passing.filter((bytes, start, end) => topics.allows(bytes, start, end));
      const refused = before - (passing?.messages ?? 0);
      if (refused > 0) side.refuse("topic", refused);
    }
    return passing;
  };

  checkUpstream = (frames: readonly Uint8Array[]): boolean => {
    const first = frames[0] ?? NO_TOPIC;
    if (frames.length > 1 || (first[0] !== SUBSCRIBE && first[0] !== CANCEL)) return this.check(frames);
    return this.change(first.subarray(1), first[0] === SUBSCRIBE);
  };

  /** Called for a prefix's first subscriber and the end of its last. @returns whether that passes upstream */
  change(prefix: Uint8Array, on: boolean): boolean {
    const key = Buffer.from(prefix).toString("latin1");
    const passed = this.#asked.get(key);
    this.#asked.delete(key);
    if (!on) return passed !== false;
    const refusing = this.#refusing(prefix);
    refusing?.refuse("topic", 1);
    this.#asked.set(key, refusing === undefined);
    return refusing === undefined;
  }

  /** Called when the rules change. @returns changes to pass upstream */
  reconsider(): readonly SubscriptionChange[] {
    const changes: SubscriptionChange[] = [];
    for (const [key, passed] of this.#asked) {
      const prefix = Buffer.from(key, "latin1");
      const on = this.#refusing(prefix) === undefined;
      if (on === passed) continue;
      this.#asked.set(key, on);
      changes.push({ prefix, on });
    }
    return changes;
  }

  #refusing(prefix: Uint8Array): TopicSide | undefined {
    return this.#sides.find(({ topics }) => topics?.passes(prefix) === false);
  }
}
