/**
 * What both sides' topic lists let through a forwarder: messages one way, subscriptions the other. Lists may change at
 * any time.
 *
 *   publishers --message--> sift, or check one by one ---> subscribers
 *   publishers <--passes--- change <------subscription---- subscribers
 */
import type { EncodedMessages } from "../../sockets/relay.js";
import { type SubscriptionChange, Subscriptions } from "./subscriptions.js";
import type { TopicRules } from "./topics.js";

/** A side's lists at the moment, and who counts what they refuse. */
export interface TopicSide {
  readonly topics: TopicRules | undefined;
  /** So many messages or subscriptions were refused. */
  refuse(reason: "topic", count: number): void;
}

/** The first byte of a subscription and of its end (29/PUBSUB). */
const [CANCEL, SUBSCRIBE] = [0, 1];
const NO_TOPIC = Buffer.alloc(0);

export class TopicGate {
  readonly #sides: readonly TopicSide[];
  readonly #subscriptions: Subscriptions;

  constructor(sides: readonly TopicSide[]) {
    this.#sides = sides;
    this.#subscriptions = new Subscriptions((prefix) =>
      sides.every(({ topics }) => topics?.passes(prefix) ?? true),
    );
  }

  /** Whether a message passes, by its first frame. */
  check = (frames: readonly Uint8Array[]): boolean => {
    const topic = frames[0] ?? NO_TOPIC;
    for (const side of this.#sides) {
      if (side.topics?.allows(topic) !== false) continue;
      side.refuse("topic", 1);
      return false;
    }
    return true;
  };

  /** What of a stretch passes, without decoding it. @returns `undefined` for nothing, the same stretch for all */
  sift = (stretch: EncodedMessages): EncodedMessages | undefined => {
    let passing: EncodedMessages | undefined = stretch;
    for (const side of this.#sides) {
      const { topics } = side;
      if (topics === undefined || passing === undefined) continue;
      const before: number = passing.messages;
      passing = passing.sift((bytes, start, end) => topics.allows(bytes, start, end));
      const refused = before - (passing?.messages ?? 0);
      if (refused > 0) side.refuse("topic", refused);
    }
    return passing;
  };

  /** Whether what comes from a subscriber passes: its subscription, its end, or a message for the publishers. */
  checkUpstream = (frames: readonly Uint8Array[]): boolean => {
    const first = frames[0] ?? NO_TOPIC;
    if (frames.length > 1 || (first[0] !== SUBSCRIBE && first[0] !== CANCEL)) return this.check(frames);
    return this.change(first.subarray(1), first[0] === SUBSCRIBE);
  };

  /** A subscription or its end. @returns whether it passes upstream */
  change(prefix: Uint8Array, on: boolean): boolean {
    const passes = this.#subscriptions.change(prefix, on);
    if (!passes && on) this.#sides.find(({ topics }) => topics?.passes(prefix) === false)?.refuse("topic", 1);
    return passes;
  }

  /** The lists have changed. @returns what the publishers have to hear */
  reconsider(): readonly SubscriptionChange[] {
    return this.#subscriptions.reconsider();
  }
}
