/**
 * RADIO and DISH (48/RADIO-DISH): each message goes to the members of its group.
 *
 *   message  group MORE | body
 *   JOIN     a command whose data is the group; LEAVE the same
 *
 * Datagrams carry every message. A DISH joins at every RADIO and again on each new connection, and filters
 * messages itself. Joining twice counts once; libzmq rejects it.
 */
import { keyOf } from "../../../core/memory.js";
import {
  type EngineSubscriptions,
  OfferResult,
  type OutgoingFrame,
  type OutgoingMessage,
} from "../../engine.js";
import { commandFrame, MAX_GROUP } from "../../frame.js";
import { encodeCommand, parseCommand } from "../codec/command.js";
import type { Pipe } from "../pipe.js";
import { FanOuts } from "./queues.js";
import { Routing, type RoutingEffects } from "./routing.js";
import { SubscribeRouting } from "./subscribe.js";
import { SubscriptionIndex } from "./subscription-index.js";

/** Per DISH, 64 MiB in total; beyond, its connection ends. */
export const MAX_GROUPS = 262_144;

export class RadioRouting extends Routing {
  readonly #members = new SubscriptionIndex<Pipe>();
  readonly #datagrams = new Set<Pipe>();
  readonly #fanOuts = new FanOuts();

  get readable(): boolean {
    return false;
  }

  get writable(): boolean {
    return true;
  }

  take(): undefined {
    return undefined;
  }

  override joined(pipe: Pipe): void {
    if (pipe.link?.datagrams === true) this.#datagrams.add(pipe);
  }

  override lost(pipe: Pipe): void {
    this.#forget(pipe);
    this.readerLess();
  }

  override removed(pipe: Pipe): void {
    super.removed(pipe);
    this.#forget(pipe);
    this.readerLess();
  }

  override messages(pipe: Pipe): void {
    pipe.discard();
  }

  override command(pipe: Pipe, body: Buffer): void {
    const command = parseCommand(body);
    if (command?.name === "JOIN") this.#join(pipe, command.data);
    else if (command?.name === "LEAVE") this.#leave(pipe, keyOf(command.data));
  }

  offer(message: OutgoingMessage): OfferResult {
    if (!Array.isArray(message) || message.length !== 2) return OfferResult.Accepted;
    const group = message[0] as OutgoingFrame;
    const key = keyOf(typeof group === "string" ? Buffer.from(group) : group);
    const fanOut = this.#fanOuts.begin();
    try {
      const { pipes } = fanOut;
      pipes.length = 0;
      this.#members.visit(key, (pipe) => pipes.push(pipe));
      for (const pipe of this.#datagrams) pipes.push(pipe);
      return fanOut.send(message, pipes, this.effects);
    } finally {
      this.#fanOuts.end(fanOut);
    }
  }

  #join(pipe: Pipe, group: Buffer): void {
    // A chunk may continue after its connection was closed.
    if (pipe.link === undefined) return;
    const key = keyOf(group);
    if (this.#members.has(key, pipe)) return;
    if (group.length > MAX_GROUP || this.#members.countOf(pipe) >= MAX_GROUPS) {
      this.effects.closePipe(pipe, "protocol");
      return;
    }
    this.#members.add(key, pipe);
    this.effects.event({ type: "subscribe", topic: Buffer.from(group) });
  }

  #leave(pipe: Pipe, key: string): void {
    const outcome = this.#members.remove(key, pipe);
    if (outcome !== "last" && outcome !== "removed") return;
    this.#left(key);
    this.readerLess();
  }

  #forget(pipe: Pipe): void {
    this.#datagrams.delete(pipe);
    for (const [key] of this.#members.removeAll(pipe)) this.#left(key);
  }

  #left(key: string): void {
    this.effects.event({ type: "unsubscribe", topic: Buffer.from(key, "latin1") });
  }
}

export class DishRouting extends SubscribeRouting implements EngineSubscriptions {
  constructor(effects: RoutingEffects) {
    super(effects, true);
  }

  override wants(group: Buffer): boolean {
    return this.has(group);
  }

  protected override matches(message: readonly Buffer[]): boolean {
    const [group] = message;
    if (message.length === 2 && group !== undefined && group.length <= MAX_GROUP) return this.has(group);
    const what = message.length === 2 ? `a group of ${group?.length} bytes` : `${message.length} frames`;
    this.refuseMessage(
      `A DISH's message must be a group of at most ${MAX_GROUP} bytes and a body; got ${what}`,
    );
    return false;
  }

  /** An empty group is an ordinary name. */
  protected override wantsAll(): boolean {
    return false;
  }

  protected override frameOf(_pipe: Pipe, on: boolean, group: Buffer): Buffer {
    return commandFrame(encodeCommand(on ? "JOIN" : "LEAVE", group));
  }
}
