/**
 * The server of a pair that stands by: follows the other one over the link (link.ts). Clients repeat their updates at
 * the server that serves.
 *
 *   asking ──KTHXBAI──> storing ──the store has the map──> following
 *     ^                    │                                   │
 *     └── silence, a gap, a fault, too much queued, a failed write ──┘
 *
 * Until a new map is whole the old one stays: a server that takes over never has half a map.
 */
import crypto from "node:crypto";
import { backOff } from "../../core/timers.js";
import { encodeFollow, encodeMark, parseLink, parseUpdate, SESSION_BYTES, standingOf } from "./link.js";
import { copyOf, MAX_QUEUED, MAX_QUEUED_BYTES, type Operation, sizeOf } from "./operation.js";
import { timeToLive } from "./properties.js";
import { isGoodbye, isHugz, KEY, PROPERTIES, readSequence, SEQUENCE, VALUE } from "./protocol.js";
import { conflictMark, type LoadedMap, ServerMap, type ServerState, uuidsOf } from "./server-state.js";

/**
 * ms to the next request for the map, at most: after a failed write, or without an answer. A full store may take a map
 * and refuse the next update: without pauses the map would be sent again and again.
 */
const MAX_RELOAD_PAUSE = 60_000;

export class Standby {
  readonly #state: ServerState;
  #session: Buffer = Buffer.alloc(0);
  #phase: "idle" | "pausing" | "asking" | "storing" | "following" = "idle";
  /** When the map is asked for again. */
  #askAt = 0;
  /** The map on its way. */
  #next = new ServerMap();
  /** Updates after it, and their bytes. */
  #updates: Operation[] = [];
  #queued = 0;
  /** The map that the store writes, which excludes commits. */
  #loaded: LoadedMap | undefined;
  /** The other server serves in it. */
  #term = 0;
  /** Sequence of the last update. */
  #last = 0;
  #failures = 0;
  /** Requests since the last whole map. */
  #requests = 0;
  /** ms that the other server may be silent while it sends the map: an entry may be large for the link. */
  #patience = 0;
  #replacedAt: number | undefined;

  constructor(state: ServerState) {
    this.#state = state;
  }

  get following(): boolean {
    return this.#phase === "following";
  }

  start(now: number): void {
    const { heartbeatInterval, liveness, random } = this.#state.options;
    this.#drop();
    this.#session = crypto.randomBytes(SESSION_BYTES);
    this.#phase = "asking";
    // The answer begins again with each request, and may take longer than the first wait.
    this.#patience = backOff(this.#requests++, heartbeatInterval * liveness, MAX_RELOAD_PAUSE, random);
    this.#askAt = now + this.#patience;
    this.#send(encodeFollow(this.#session));
  }

  /** The map of a new term is asked for at once. */
  followTerm(term: number, now: number): void {
    if (this.#term === term) return;
    this.#term = term;
    this.#requests = 0;
    if (this.#phase !== "idle" && this.#phase !== "pausing") this.start(now);
  }

  stop(): void {
    this.#phase = "idle";
    this.#requests = 0;
    this.#drop();
  }

  /** A server that becomes active keeps its own map. */
  abandon(): void {
    this.#loaded = undefined;
  }

  /** The store differs from memory now, so the map is loaded again, after a pause that grows with failures. */
  storeFailed(now: number): void {
    this.abandon();
    this.stop();
    this.#forget();
    if (this.#replacedAt !== undefined && now - this.#replacedAt >= MAX_RELOAD_PAUSE) this.#failures = 0;
    this.#replacedAt = undefined;
    const { heartbeatInterval, random } = this.#state.options;
    this.#phase = "pausing";
    this.#askAt = now + backOff(this.#failures, heartbeatInterval, MAX_RELOAD_PAUSE, random);
    this.#failures += 1;
  }

  tick(now: number): void {
    if (this.#phase !== "idle" && now >= this.#askAt) this.start(now);
  }

  next(): number | undefined {
    return this.#phase === "idle" ? undefined : this.#askAt;
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
    this.#askAt = now + Math.max(this.#patience, heartbeatInterval * liveness);
    if (isHugz(frames)) this.#heartbeat(readSequence(frames[SEQUENCE] as Buffer), now);
    else if (isGoodbye(frames)) this.#end(frames, now);
    else if (this.#phase === "asking") this.#entry(frames, now);
    else this.#update(frames, now);
  }

  durable(batch: readonly Operation[], now: number): void {
    const { map } = this.#state;
    for (const operation of batch) map.apply(operation, now);
    if (batch.length > 0) this.#have();
  }

  /** The store must be idle. */
  replaceStore(): void {
    const loaded = this.#loaded;
    if (loaded === undefined) return;
    this.#state.effects.replace(loaded, () => this.#loaded === loaded);
  }

  replaced(loaded: LoadedMap, now: number): void {
    if (this.#loaded !== loaded) return;
    this.#replacedAt = now;
    this.#adopt(loaded);
  }

  replaceFailed(loaded: LoadedMap, now: number): void {
    if (this.#loaded === loaded) this.storeFailed(now);
  }

  #heartbeat(sequence: number, now: number): void {
    if (this.#phase !== "asking" && sequence > this.#last) this.start(now);
    else if (this.#phase === "following") this.#have();
    else this.#send(encodeMark(this.#session, 0));
  }

  #have(): void {
    if (this.following) this.#send(encodeMark(this.#session, this.#state.map.sequence));
  }

  #entry(frames: readonly Buffer[], now: number): void {
    const ttl = timeToLive(frames[PROPERTIES] as Buffer);
    if (ttl === undefined) {
      this.#refuse(now);
      return;
    }
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    const expires = ttl === 0 ? 0 : now + ttl;
    this.#next.restore({ key: frames[KEY] as Buffer, value: frames[VALUE] as Buffer, sequence, expires });
  }

  #end(frames: readonly Buffer[], now: number): void {
    const { options, queue, effects } = this.#state;
    const standing = standingOf(frames);
    if (standing === undefined) {
      effects.event({ type: "peer:incompatible" });
      return;
    }
    const sequence = readSequence(frames[SEQUENCE] as Buffer);
    if (this.#phase !== "asking") {
      this.#refuse(now);
      return;
    }
    this.#next.restored({ sequence, uuids: uuidsOf(frames[VALUE] as Buffer) });
    this.#loaded = { map: this.#next, standing };
    this.#phase = "storing";
    this.#term = standing.term;
    this.#last = sequence;
    this.#forget();
    if (!options.hasStore) this.#adopt(this.#loaded);
    else if (!queue.committing) this.replaceStore();
  }

  #update(frames: readonly Buffer[], now: number): void {
    const parsed = parseUpdate(frames, now);
    if (parsed === undefined || parsed.sequence !== this.#last + 1) {
      this.#refuse(now);
      return;
    }
    const operation = copyOf(parsed);
    this.#last = operation.sequence;
    if (this.#phase === "following") {
      this.#replicate(operation);
      return;
    }
    this.#updates.push(operation);
    this.#queued += sizeOf(operation);
    if (this.#updates.length > MAX_QUEUED || this.#queued > MAX_QUEUED_BYTES) this.start(now);
  }

  #adopt(loaded: LoadedMap): void {
    const { map, queue, effects, standing } = this.#state;
    this.#loaded = undefined;
    standing.adopt(loaded.standing);
    map.adopt(loaded.map);
    queue.ordered = map.sequence;
    effects.event({ type: "map:replicated", entries: map.table.size, sequence: map.sequence });
    if (this.#phase !== "storing") return;
    const updates = this.#updates;
    this.#drop();
    this.#phase = "following";
    this.#requests = 0;
    this.#patience = 0;
    for (const operation of updates) this.#replicate(operation);
    if (queue.waiting === 0) this.#have();
  }

  #replicate(operation: Operation): void {
    const { map, queue } = this.#state;
    const { uuid, kind } = operation;
    if (uuid.length > 0) map.window.add(kind === "conflict" ? conflictMark(uuid) : uuid);
    queue.push(operation);
  }

  /** Updates that wait for the store are in the next map, if this server gets one. */
  #forget(): void {
    this.#state.map.forget(this.#state.queue.drop());
  }

  #refuse(now: number): void {
    this.#fault();
    this.start(now);
  }

  #send(frames: Buffer[]): void {
    this.#state.effects.follow(frames);
  }

  #fault(): void {
    this.#state.statistics.fault("replication", "frames");
  }

  #drop(): void {
    this.#next = new ServerMap();
    this.#updates = [];
    this.#queued = 0;
  }
}
