/** One peer of an XPUB, for who answers its subscriptions: with the capability `answerSubscribers`. */
import type { OfferResult, OutgoingMessage } from "./engine.js";

/** The same object for all messages of one connection. */
export interface EngineSubscriber {
  /** Whether it is still there and gets what begins with this prefix. @param prefix one character a byte */
  has(prefix: string): boolean;
  /**
   * Queues a message for it alone, behind everything that was sent to it before, whatever it subscribed to. Mute: half of
   * its high-water mark waits already; the other half is for what goes to everybody. Unroutable: it is gone.
   */
  offer(message: OutgoingMessage): OfferResult;
  /** After a Mute: `told` is called once, when there may be room again or the peer is gone; it must not throw. */
  wantWritable(told: () => void): void;
}
