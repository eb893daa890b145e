/**
 * The replication link as the server that stands by sees it.
 *
 *   asking ──BEGIN──> loading ──END──> following
 *     ^                  │                 │
 *     └── silence, a gap, a fault, too much queued ──┘
 *
 * Where the store failed it is pausing before it is asking again.
 *
 * The map that it had stays until a new one is whole, so a server that has to take
 * over in the middle has an old map, never half a new one.
 */
import crypto from "node:crypto";
import { costOfOperation, type Operation } from "./operation.js";
import { readSequence, UUID_BYTES } from "./protocol.js";
import {
  encodeFollow,
  encodeMark,
  LinkCommand,
  parseEntry,
  parseLink,
  parseUpdate,
  SESSION_BYTES,
} from "./replication.js";
import { NO_STANDING, parseStanding, type Standing, termOf } from "./standing.js";
import { CloneTable } from "./table.js";

/** Updates that may come while the map does; past it the map is asked for again. */
const MAX_QUEUED = 1_000_000;
/** Bytes of them, in addition to their number. */
const MAX_QUEUED_BYTES = 268_435_456;

/** What following brings about. */
export interface FollowerEffects {
  follow(frames: Buffer[]): void;
  fault(): void;
  /** The other server is of another version. */
  incompatible(): void;
  /** The whole map of the other server, and what came after it. */
  loaded(loaded: LoadedMap): void;
  /** The next update in order. */
  update(operation: Operation): void;
  /** The other server wants to know how far this one is. */
  beat(): void;
}

export interface LoadedMap {
  readonly table: CloneTable;
  /** When keys end, by key as one character a byte. */
  readonly expires: ReadonlyMap<string, number>;
  /** UUIDs of updates that the other server applied lately, in rows. */
  readonly seen: readonly Buffer[];
  readonly sequence: number;
  /** Whose map it is, and its terms. */
  readonly standing: Standing;
  readonly updates: readonly Operation[];
}

/** Each of the UUIDs that are in rows. */
export function uuidsOf(rows: readonly Buffer[]): Buffer[] {
  return rows.flatMap((row) =>
    Array.from({ length: Math.floor(row.length / UUID_BYTES) }, (_, i) =>
      row.subarray(i * UUID_BYTES, (i + 1) * UUID_BYTES),
    ),
  );
}

export class Follower {
  readonly #effects: FollowerEffects;
  readonly #interval: number;
  readonly #patience: number;
  #session = Buffer.alloc(0);
  #state: "idle" | "pausing" | "asking" | "loading" | "following" = "idle";
  #askAt = 0;
  #heardAt = 0;
  /** Of the last update that came. */
  #last = 0;
  #table = new CloneTable();
  #expires = new Map<string, number>();
  #seen: Buffer[] = [];
  #updates: Operation[] = [];
  #updateBytes = 0;
  #begin = 0;
  #standing = NO_STANDING;

  constructor(effects: FollowerEffects, interval: number, liveness: number) {
    this.#effects = effects;
    this.#interval = interval;
    this.#patience = interval * liveness;
  }

  get following(): boolean {
    return this.#state === "following";
  }

  /** In which the map was given that came last. */
  get term(): number {
    return termOf(this.#standing);
  }

  /** Asks for the map, and again until it comes. */
  start(now: number): void {
    this.#ask(now);
  }

  /** Hears nothing for some ms, and asks for the map then. */
  startAfter(pause: number, now: number): void {
    this.#drop();
    this.#state = "pausing";
    this.#askAt = now + pause;
  }

  stop(): void {
    this.#state = "idle";
    this.#drop();
  }

  next(): number | undefined {
    if (this.#state === "idle") return undefined;
    const asks = this.#state === "asking" || this.#state === "pausing";
    return asks ? this.#askAt : this.#heardAt + this.#patience;
  }

  tick(now: number): void {
    const next = this.next();
    if (next !== undefined && now >= next) this.#ask(now);
  }

  /** Everything up to here is kept. */
  have(sequence: number): void {
    if (this.#state === "following")
      this.#effects.follow(encodeMark(LinkCommand.HAVE, this.#session, sequence));
  }

  receive(frames: readonly Buffer[], now: number): void {
    const message = parseLink(frames);
    if (message === undefined) {
      this.#effects.fault();
      return;
    }
    if (this.#state === "idle" || this.#state === "pausing" || !message.session.equals(this.#session)) return;
    this.#heardAt = now;
    switch (message.command) {
      case LinkCommand.BEGIN: {
        const standing = parseStanding(frames[3] as Buffer);
        if (standing === undefined) {
          this.#effects.incompatible();
          return;
        }
        this.#drop();
        this.#standing = standing;
        this.#begin = readSequence(frames[2] as Buffer);
        this.#last = this.#begin;
        this.#state = "loading";
        return;
      }
      case LinkCommand.ENTRY:
        if (this.#state === "loading") this.#entry(frames, now);
        return;
      case LinkCommand.SEEN:
        if (this.#state === "loading") this.#seen.push(frames[2] as Buffer);
        return;
      case LinkCommand.END:
        if (this.#state === "loading") this.#end();
        return;
      case LinkCommand.UPDATE:
        this.#update(frames, now);
        return;
      case LinkCommand.BEAT:
        if (this.#state === "loading") this.#effects.follow(encodeMark(LinkCommand.HAVE, this.#session, 0));
        else if (this.#state === "following") {
          if (readSequence(frames[2] as Buffer) > this.#last) this.#ask(now);
          else this.#effects.beat();
        }
        return;
      default:
        this.#effects.fault();
    }
  }

  #ask(now: number): void {
    this.#drop();
    this.#session = crypto.randomBytes(SESSION_BYTES);
    this.#state = "asking";
    this.#askAt = now + this.#interval;
    this.#heardAt = now;
    this.#effects.follow(encodeFollow(this.#session));
  }

  #entry(frames: readonly Buffer[], now: number): void {
    const entry = parseEntry(frames, now);
    if (entry === undefined) {
      this.#effects.fault();
      this.#ask(now);
      return;
    }
    this.#table.put(entry.key, entry.value, entry.sequence);
    if (entry.expires > 0) this.#expires.set(entry.key.toString("latin1"), entry.expires);
  }

  #end(): void {
    this.#state = "following";
    const loaded = {
      table: this.#table,
      expires: this.#expires,
      seen: this.#seen,
      sequence: this.#begin,
      standing: this.#standing,
      updates: this.#updates,
    };
    this.#drop();
    this.#effects.loaded(loaded);
  }

  #update(frames: readonly Buffer[], now: number): void {
    if (this.#state === "asking") return;
    const operation = parseUpdate(frames, now);
    if (operation === undefined || operation.sequence !== this.#last + 1) {
      this.#effects.fault();
      this.#ask(now);
      return;
    }
    this.#last = operation.sequence;
    if (this.#state === "following") this.#effects.update(operation);
    else {
      this.#updates.push(operation);
      this.#updateBytes += costOfOperation(operation);
      if (this.#updates.length > MAX_QUEUED || this.#updateBytes > MAX_QUEUED_BYTES) this.#ask(now);
    }
  }

  #drop(): void {
    this.#table = new CloneTable();
    this.#expires = new Map();
    this.#seen = [];
    this.#updates = [];
    this.#updateBytes = 0;
  }
}
