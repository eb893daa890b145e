/**
 * A connection that came to a listener of this node's links.
 *
 *   came ──HELLO──> its sender is a member ──admitted──> data frames to its Receiving
 *     │               │ not yet: waits, HELLO_TIMEOUT at most
 *     v               v
 *   refused with a reason, which is counted: what is malformed, out of order, too much, or of a stranger
 */
import { RunningTimeout } from "../../core/running-timeout.js";
import { HELLO_TIMEOUT } from "./bounds.js";
import type { ConnectionEvents, MessageConnection } from "./protocol.js";
import type { Receiving } from "./receiving.js";
import { decodeHello, encodeRefused, type Hello, LinkFrame } from "./wire.js";

export const LINK_REFUSALS = [
  /** Unknown version of the hello. */
  "version",
  /** Of another cluster, or meant for another node. */
  "bus",
  "other-node",
  /** Not a live member, or the peer proved another one's key. */
  "stranger",
  "key",
  /** Another life of the id has a connection; the session was given up. */
  "session",
  "stale",
  /** No hello came in time; too many wait. */
  "no-hello",
  "hellos",
  /** Not a frame of a link; frames out of order, too many or too large. */
  "malformed",
  "sequence",
  "flood",
  "too-large",
  /** An item of an unknown kind, or not for this link: skipped. */
  "kind",
  "handler",
] as const;
export type LinkRefusal = (typeof LINK_REFUSALS)[number];

export type HelloResult = Receiving | LinkRefusal | undefined;

export interface CallerEffects {
  onHello(caller: Caller, hello: Hello): HelloResult;
  onHeard(from: string): void;
  refuse(reason: LinkRefusal): void;
  forget(caller: Caller): void;
}

export class Caller implements ConnectionEvents {
  readonly connection: MessageConnection;
  readonly protocol: string;
  readonly #effects: CallerEffects;
  readonly #timer: RunningTimeout;
  #hello: Hello | undefined = undefined;
  #receiving: Receiving | undefined = undefined;
  #isOver = false;

  constructor(effects: CallerEffects, connection: MessageConnection, protocol: string) {
    this.#effects = effects;
    this.connection = connection;
    this.protocol = protocol;
    this.#timer = new RunningTimeout(HELLO_TIMEOUT, () =>
      this.refuse(this.#hello === undefined ? "no-hello" : "stranger"),
    );
  }

  /** Sender of the waiting hello. */
  get from(): string | undefined {
    return this.#hello?.from;
  }

  onOpen(): void {}

  onMessage(frame: Buffer): void {
    if (this.#isOver) return;
    const [type] = frame;
    if (type === LinkFrame.BATCH || type === LinkFrame.ITEM) {
      const receiving = this.#receiving;
      if (receiving?.connection !== this.connection) {
        if (receiving === undefined) this.refuse("malformed");
        return;
      }
      const fault = receiving.onData(frame);
      if (fault === undefined) this.#effects.onHeard(receiving.id);
      else this.refuse(fault);
      return;
    }
    const hello = decodeHello(frame);
    // All hellos of a connection are of one link of one node.
    const receiving = this.#receiving;
    const isWaiting = this.#hello !== undefined && receiving === undefined;
    const isOther =
      receiving !== undefined && (receiving.id !== hello?.from || receiving.lane !== hello.lane);
    if (hello === undefined || isWaiting || isOther) {
      this.refuse("malformed");
      return;
    }
    this.#hello = hello;
    this.tryAgain();
  }

  onClose(): void {
    this.#isOver = true;
    this.#timer.clear();
    this.#effects.forget(this);
    const receiving = this.#receiving;
    if (receiving?.connection === this.connection) receiving.connection = undefined;
  }

  /** Its sender may be a member now. */
  tryAgain(): void {
    if (this.#hello === undefined || this.#isOver) return;
    const result = this.#effects.onHello(this, this.#hello);
    if (typeof result === "string") this.refuse(result);
    else if (result !== undefined) {
      this.#timer.clear();
      this.#effects.forget(this);
      this.#receiving = result;
    }
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  end(): void {
    this.onClose();
    this.connection.close();
  }

  refuse(reason: LinkRefusal): void {
    if (this.#isOver) return;
    this.#effects.refuse(reason);
    this.connection.send([encodeRefused(reason)]);
    this.end();
  }
}
