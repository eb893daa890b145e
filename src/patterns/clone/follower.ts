/**
 * The link at the server that stands by.
 *
 *   asking ──KTHXBAI──> following
 *     ^                    │
 *     └── silence, a gap, a fault, too much queued ──┘
 *
 * Until a new map is whole the old one stays: a server that takes over never has half a map.
 */
import crypto from "node:crypto";
import {
  encodeFollow,
  encodeMark,
  isUpdate,
  parseLink,
  parseUpdate,
  SESSION_BYTES,
  standingOf,
} from "./link.js";
import { type LoadedMap, Loading } from "./loading.js";
import { costOfOperation, type Operation } from "./operation.js";
import { timeToLive } from "./properties.js";
import { isGoodbye, isHugz, KEY, PROPERTIES, readSequence, SEQUENCE, VALUE } from "./protocol.js";
import type { ServerState } from "./server-state.js";
import { NO_STANDING } from "./standing.js";

/** Updates, and their bytes, during the map. Above, it is asked for again. */
const MAX_QUEUED = 1_000_000;
const MAX_QUEUED_BYTES = 268_435_456;

export interface FollowerOwner {
  /** The whole map, and the updates after it. */
  loaded(loaded: LoadedMap): void;
  update(operation: Operation): void;
  /** The other server asks how far this one is. */
  beat(): void;
}

export class Follower {
  readonly #state: ServerState;
  readonly #owner: FollowerOwner;
  #session = Buffer.alloc(0);
  #phase: "idle" | "pausing" | "asking" | "following" = "idle";
  /** When the map is asked for again. */
  #askAt = 0;
  #last = 0;
  #loading = new Loading<Operation>();
  #expires = new Map<number, number>();
  #standing = NO_STANDING;

  constructor(state: ServerState, owner: FollowerOwner) {
    this.#state = state;
    this.#owner = owner;
  }

  get following(): boolean {
    return this.#phase === "following";
  }

  get term(): number {
    return this.#standing.term;
  }

  start(now: number): void {
    this.#ask(now);
  }

  /** Ignores the other server for some ms. */
  startAfter(pause: number, now: number): void {
    this.#drop();
    this.#phase = "pausing";
    this.#askAt = now + pause;
  }

  stop(): void {
    this.#phase = "idle";
    this.#drop();
  }

  next(): number | undefined {
    return this.#phase === "idle" ? undefined : this.#askAt;
  }

  tick(now: number): void {
    if (this.#phase !== "idle" && now >= this.#askAt) this.#ask(now);
  }

  have(sequence: number): void {
    if (this.#phase === "following") this.#send(encodeMark(this.#session, sequence));
  }

  receive(message: readonly Buffer[], now: number): void {
    const link = parseLink(message);
    if (link === undefined || link.frames.length === 2) {
      this.#fault();
      return;
    }
    const { session, frames } = link;
    if (this.#phase === "idle" || this.#phase === "pausing" || !session.equals(this.#session)) return;
    const { heartbeatInterval, liveness } = this.#state.options;
    this.#askAt = now + heartbeatInterval * liveness;
    if (isHugz(frames)) this.#heartbeat(readSequence(frames[SEQUENCE] as Buffer), now);
    else if (isGoodbye(frames)) this.#end(frames, now);
    else if (isUpdate(frames)) this.#update(frames, now);
    else this.#entry(frames, now);
  }

  #ask(now: number): void {
    this.#drop();
    this.#session = crypto.randomBytes(SESSION_BYTES);
    this.#phase = "asking";
    this.#askAt = now + this.#state.options.heartbeatInterval;
    this.#send(encodeFollow(this.#session));
  }

  #refuse(now: number): void {
    this.#fault();
    this.#ask(now);
  }

  #heartbeat(sequence: number, now: number): void {
    if (this.#phase === "asking") this.#send(encodeMark(this.#session, 0));
    else if (sequence > this.#last) this.#ask(now);
    else this.#owner.beat();
  }

  #entry(frames: readonly Buffer[], now: number): void {
    const ttl = timeToLive(frames[PROPERTIES] as Buffer);
    if (ttl === undefined || this.#phase !== "asking") {
      this.#refuse(now);
      return;
    }
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    const id = this.#loading.table.put(frames[KEY] as Buffer, frames[VALUE] as Buffer, sequence);
    if (ttl > 0) this.#expires.set(id, now + ttl);
  }

  #end(frames: readonly Buffer[], now: number): void {
    const standing = standingOf(frames);
    if (standing === undefined) {
      this.#state.effects.event({ type: "peer:incompatible" });
      return;
    }
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    const { table, updates } = this.#loading;
    if (this.#phase !== "asking" || updates.some((update, i) => update.sequence !== sequence + 1 + i)) {
      this.#refuse(now);
      return;
    }
    const seen = frames[VALUE] as Buffer;
    const loaded = { table, expires: this.#expires, seen, sequence, standing, updates };
    this.#phase = "following";
    this.#standing = standing;
    this.#last = sequence + updates.length;
    this.#drop();
    this.#owner.loaded(loaded);
  }

  #update(frames: readonly Buffer[], now: number): void {
    const operation = parseUpdate(frames, now);
    if (operation === undefined) this.#refuse(now);
    else if (this.#phase === "asking") {
      const loading = this.#loading;
      loading.queue(operation, costOfOperation(operation));
      if (loading.updates.length > MAX_QUEUED || loading.queued > MAX_QUEUED_BYTES) this.#ask(now);
    } else if (operation.sequence === this.#last + 1) {
      this.#last += 1;
      this.#owner.update(operation);
    } else this.#refuse(now);
  }

  #send(frames: Buffer[]): void {
    this.#state.effects.follow(frames);
  }

  #fault(): void {
    this.#state.statistics.fault("replication", "frames");
  }

  #drop(): void {
    this.#loading = new Loading();
    this.#expires = new Map();
  }
}
