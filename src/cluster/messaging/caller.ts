/**
 * A connection that came to this node's links.
 *
 *   came ──HELLO of a member──> data frames to its Receiving
 *     └──> refused with a reason, which is counted; a sender that is not known yet greets again later
 */
import type { NodeLinksEffects } from "./parts.js";
import type { ConnectionEvents, MessageConnection } from "./protocol.js";
import type { Receiving } from "./receiving.js";
import { decodeHello, encodeRefused, type Hello, LinkFrame } from "./wire.js";

export type LinkRefusal =
  /** Meant for another node. */
  | "other-node"
  /** Not a live member, or the peer proved another one's key. */
  | "stranger"
  | "key"
  /** Another life of the id has a connection; the session was given up; items of it may be forgotten here. */
  | "session"
  | "stale"
  | "forgotten"
  /** Not a frame of a link; frames out of order, too many or too large. */
  | "malformed"
  | "sequence"
  | "flood"
  | "too-large"
  /** An item of an unknown kind, or not for this link: skipped. */
  | "kind"
  | "handler";

export interface CallerEffects {
  readonly effects: NodeLinksEffects;
  onHello(caller: Caller, hello: Hello): Receiving | LinkRefusal;
  refuse(reason: LinkRefusal): void;
}

export class Caller implements ConnectionEvents {
  readonly connection: MessageConnection;
  readonly protocol: string;
  readonly #links: CallerEffects;
  #receiving: Receiving | undefined = undefined;
  #isOver = false;

  constructor(links: CallerEffects, connection: MessageConnection, protocol: string) {
    this.#links = links;
    this.connection = connection;
    this.protocol = protocol;
  }

  onOpen(): void {}

  onMessage(frame: Buffer): void {
    if (this.#isOver) return;
    const receiving = this.#receiving;
    const [type] = frame;
    if (receiving !== undefined && (type === LinkFrame.BATCH || type === LinkFrame.ITEM)) {
      if (receiving.connection !== this.connection) return;
      const fault = receiving.onData(frame);
      if (fault === undefined) this.#links.effects.onHeard?.(receiving.id);
      else this.refuse(fault);
      return;
    }
    const hello = decodeHello(frame);
    // All hellos of a connection are of one link of one node.
    const isOther =
      receiving !== undefined && (receiving.id !== hello?.from || receiving.lane !== hello.lane);
    const result = hello === undefined || isOther ? "malformed" : this.#links.onHello(this, hello);
    if (typeof result === "string") this.refuse(result);
    else this.#receiving = result;
  }

  onClose(): void {
    this.#isOver = true;
    const receiving = this.#receiving;
    if (receiving?.connection === this.connection) receiving.connection = undefined;
  }

  refuse(reason: LinkRefusal): void {
    if (this.#isOver) return;
    this.#links.refuse(reason);
    this.connection.send([encodeRefused(reason)]);
    this.onClose();
    this.connection.close();
  }
}
