/**
 * The link of a pair: the follower's DEALER and the ROUTER of the server that serves, port P + 4. Messages of 12/CHP
 * (protocol.ts) behind a session, 8 random bytes for each request; those of earlier sessions are dropped.
 *
 *   ICANHAZ  from the follower: asks for the map and all updates after it
 *   HUGZ     from the follower: its memory and store have all updates up to this sequence
 *   HUGZ     to the follower: all updates up to this sequence are applied
 *   KVSYNC   properties: ttl, what is left of it
 *   KTHXBAI  properties: standing (standing.ts); value: the UUIDs of recent updates, 16 bytes each, the oldest first
 *   KVPUB    properties: kind (operation.ts), then those that the client wrote
 *
 * Updates come after the KTHXBAI, from the one after its sequence, without a gap. In the
 * Guide the backup subscribes to KVPUB, so an update could reach clients only; here it is published after the
 * follower's HUGZ.
 */
import crypto from "node:crypto";
import { RingBuffer } from "../../core/collections/queues.js";
import { costOf } from "../../core/memory.js";
import { backOff } from "../../core/timers.js";
import type { DeliveryResult } from "../../sockets/index.js";
import { copyOf, type Operation, type OperationKind, operationOf } from "./operation.js";
import { encodeTimeToLive, property, timeToLive } from "./properties.js";
import {
  EMPTY,
  encodeGoodbye,
  encodeHugz,
  encodeRequest,
  isGoodbye,
  isHugz,
  KEY,
  MAX_KEY,
  PROPERTIES,
  parseRequest,
  readSequence,
  SEQUENCE,
  sequenceFrame,
  updateFault,
  uuidsOf,
  VALUE,
} from "./protocol.js";
import { conflictMark, type LoadedMap, ServerMap, type ServerState } from "./server-state.js";
import { SNAPSHOT_RETRY, Snapshot, type SnapshotEntry } from "./snapshots.js";
import { encodeStanding, MAX_PEER_TERM, parseStanding, type Standing } from "./standing.js";

const SESSION_BYTES = 8;
const LINE_FEED = 0x0a;
const KINDS: Readonly<Record<OperationKind, Buffer>> = {
  set: Buffer.from("kind=set\n"),
  delete: Buffer.from("kind=delete\n"),
  announce: Buffer.from("kind=announce\n"),
  conflict: Buffer.from("kind=conflict\n"),
};

/** @returns a request of two frames, or five frames; `undefined` for an invalid message */
export function parseLink([session, ...frames]: readonly Buffer[]) {
  if (session?.length !== SESSION_BYTES) return undefined;
  if (frames.length === 2) return typeof parseRequest(frames) === "string" ? undefined : { session, frames };
  const [key, sequence, uuid, , value] = frames as [Buffer, Buffer, Buffer, Buffer, Buffer];
  if (frames.length !== 5 || key.length === 0 || key.length > MAX_KEY) return undefined;
  // The kind comes on top of the client's properties.
  return updateFault([key, sequence, uuid, EMPTY, value]) === undefined ? { session, frames } : undefined;
}

export function encodeEnd(sequence: number, standing: Standing, uuids: Buffer): Buffer[] {
  return encodeGoodbye(sequence, uuids, Buffer.from(`standing=${encodeStanding(standing)}\n`));
}

/** @returns `undefined` for one of another version */
export function standingOf(frames: readonly Buffer[]): Standing | undefined {
  const text = property(frames[PROPERTIES] as Buffer, "standing") ?? "";
  return parseStanding(Buffer.from(text, "latin1"), MAX_PEER_TERM);
}

export function encodeUpdate({ key, sequence, uuid, properties, kind, value }: Operation): Buffer[] {
  return [key, sequenceFrame(sequence), uuid, Buffer.concat([KINDS[kind], properties]), value];
}

/** @returns `undefined` for an invalid update */
export function parseUpdate(frames: readonly Buffer[], now: number): Operation | undefined {
  const [key, number, uuid, all, value] = frames as [Buffer, Buffer, Buffer, Buffer, Buffer];
  const end = all.indexOf(LINE_FEED) + 1;
  const kind = (Object.keys(KINDS) as OperationKind[]).find((name) =>
    KINDS[name].equals(all.subarray(0, end)),
  );
  const operation = operationOf([key, number, uuid, all.subarray(end), value], now);
  if (kind === undefined || typeof operation === "string" || (kind === "set") !== value.length > 0)
    return undefined;
  return { ...operation, kind, counted: false, condition: undefined, sequence: readSequence(number) };
}

/** Updates, and their bytes, that wait for the end of a map or for room. With more, the map is sent again. */
const MAX_QUEUED = 1_000_000;
const MAX_QUEUED_BYTES = 268_435_456;

// --- The server that serves ------------------------------------------------------------------------------------------

/**
 * Sends the map, then every update since, to one follower.
 *
 *   none ──ICANHAZ──> sending ──map sent──> sent ──HUGZ at its end or later──> in step
 *     ^                  │                    │                                   │
 *     └──────── gone, slower than its queue is long, or, in step, silent ────────┘
 *
 * Nobody waits for a follower before it is in step, so it may be silent: it stores the map, or has little processor
 * time.
 */
export class Leader {
  readonly #server: ServerState;
  #state: "none" | "sending" | "sent" | "in step" = "none";
  #routingId: Buffer = EMPTY;
  #session: Buffer = EMPTY;
  /** In flight. */
  snapshot: Snapshot | undefined;
  /** The end of the map, then the last sequence acknowledged before the follower was in step. */
  #needed = 0;
  readonly #queue = new RingBuffer<Buffer[]>();
  #queuedBytes = 0;
  #retryAt = 0;
  #heardAt = 0;
  /** The follower has all updates up to this sequence. */
  has = 0;

  constructor(server: ServerState) {
    this.#server = server;
  }

  /** In step or not. */
  get present(): boolean {
    return this.#state !== "none";
  }

  get inStep(): boolean {
    return this.#state === "in step";
  }

  /** In step, with all that was acknowledged without it. */
  get isWhole(): boolean {
    return this.inStep && this.has >= this.#needed;
  }

  is(routingId: Buffer, session: Buffer): boolean {
    return this.present && this.#routingId.equals(routingId) && this.#session.equals(session);
  }

  begin(routingId: Buffer, session: Buffer, now: number): void {
    const { map, queue, standing } = this.#server;
    this.#state = "sending";
    this.#routingId = Buffer.from(routingId);
    this.#session = Buffer.from(session);
    this.has = 0;
    this.#needed = map.sequence;
    this.snapshot = new Snapshot(map, EMPTY, {
      send: (frames) => this.#replicate(frames),
      properties: (entry, at) => encodeTimeToLive(this.#timeLeft(entry, at)),
      // Updates in flight are not in the snapshot, and may never follow.
      end: encodeEnd(map.sequence, standing.wanted, map.seen(queue.operations())),
    });
    for (const operation of queue.unconfirmed) this.update(operation, now);
  }

  update(operation: Operation, now: number): void {
    if (this.present) this.#put(encodeUpdate(operation), now);
  }

  /** A follower in step that is silent holds up acknowledgements. */
  heartbeat(now: number): void {
    const { options, map } = this.#server;
    const patience = options.heartbeatInterval * options.liveness;
    if (this.inStep && now - this.#heardAt >= patience) this.#server.replicaLeft("silent", now);
    else if (this.present && !this.#sends) this.#put(encodeHugz(map.sequence), now);
  }

  have(sequence: number, now: number): void {
    this.#heardAt = now;
    this.has = sequence;
    if (this.#state !== "sent" || sequence < this.#needed) return;
    this.#state = "in step";
    this.#needed = this.#server.map.sequence;
  }

  pump(now: number): void {
    if (!this.present || now < this.#retryAt) return;
    this.#retryAt = 0;
    if (this.snapshot === undefined) {
      this.#drain(now);
      return;
    }
    const result = this.snapshot.pump(now);
    if (result === "done") {
      this.snapshot = undefined;
      this.#state = "sent";
      this.#drain(now);
    } else if (result === "full") this.#retryAt = now + SNAPSHOT_RETRY;
    else if (result !== "more") this.#server.replicaLeft(result === "gone" ? "gone" : "slow", now);
  }

  /** When {@link pump} can go on; 0: at once. */
  next(): number {
    return this.#sends ? this.#retryAt : Number.POSITIVE_INFINITY;
  }

  /** See `ServerState.replicaLeft`. */
  leave(): void {
    this.#state = "none";
    this.snapshot?.abandon();
    this.snapshot = undefined;
    this.#queue.clear();
    this.#queuedBytes = 0;
    this.#retryAt = 0;
  }

  get #sends(): boolean {
    return this.snapshot !== undefined || this.#queue.length > 0;
  }

  #replicate(frames: Buffer[]): DeliveryResult {
    return this.#server.effects.replicate(this.#routingId, [this.#session, ...frames]);
  }

  /** 0: never. A key changed since comes as an update as well. */
  #timeLeft({ key, sequence }: SnapshotEntry, now: number): number {
    const { map } = this.#server;
    const id = map.table.find(key);
    return id >= 0 && map.table.sequence(id) === sequence ? map.timeLeft(id, now) : 0;
  }

  #put(frames: Buffer[], now: number): void {
    this.#queue.push(frames);
    this.#queuedBytes += costOf(frames);
    if (this.#queue.length > MAX_QUEUED || this.#queuedBytes > MAX_QUEUED_BYTES)
      this.#server.replicaLeft("slow", now);
    else if (this.snapshot === undefined && now >= this.#retryAt) this.#drain(now);
  }

  #drain(now: number): void {
    for (let frames = this.#queue.peek(); frames !== undefined; frames = this.#queue.peek()) {
      const result = this.#replicate(frames);
      if (result === "gone") this.#server.replicaLeft("gone", now);
      else if (result === "full") this.#retryAt = now + SNAPSHOT_RETRY;
      if (result !== "sent") return;
      this.#queue.shift();
      this.#queuedBytes -= costOf(frames);
    }
  }
}

// --- The server that stands by ---------------------------------------------------------------------------------------

/**
 * ms to the next request for the map, at most: after a failed write, or without an answer. A full store may take a map
 * and refuse the next update: without pauses the map would be sent again and again.
 */
const MAX_RELOAD_PAUSE = 60_000;

/**
 * Follows the other server. Clients repeat their updates at the server that serves.
 *
 *   asking ──KTHXBAI──> storing ──the store has the map──> following
 *     ^                    │                                   │
 *     └── silence, a gap, a fault, too much queued, a failed write ──┘
 *
 * Until a new map is whole the old one stays: a server that takes over never has half a map.
 */
export class Standby {
  readonly #state: ServerState;
  #session: Buffer = EMPTY;
  #phase: "idle" | "pausing" | "asking" | "storing" | "following" = "idle";
  /** When the map is asked for again. */
  #askAt = 0;
  /** The map on its way. */
  #next = new ServerMap();
  /** The map that the store writes. */
  #loaded: LoadedMap | undefined;
  /** The other server serves in it. */
  #term = 0;
  /** Sequence of the last update. */
  #last = 0;
  /** Requests since a map was in use for {@link MAX_RELOAD_PAUSE}, or the other server began a term. */
  #requests = 0;
  #followsSince = 0;
  /** ms that the other server may be silent while it sends the map: an entry may be large for the link. */
  #patience = 0;

  constructor(state: ServerState) {
    this.#state = state;
  }

  get following(): boolean {
    return this.#phase === "following";
  }

  /** Updates after the map wait until the store has it. */
  get storing(): boolean {
    return this.#phase === "storing";
  }

  start(now: number): void {
    const { heartbeatInterval, liveness, random } = this.#state.options;
    this.#leave(now);
    this.#session = crypto.randomBytes(SESSION_BYTES);
    this.#phase = "asking";
    // The answer begins again with each request, and may take longer than the first wait.
    this.#patience = backOff(this.#requests++, heartbeatInterval * liveness, MAX_RELOAD_PAUSE, random);
    this.#askAt = now + this.#patience;
    this.#send(encodeRequest(EMPTY));
  }

  /** The map of a new term is asked for at once. */
  followTerm(term: number, now: number): void {
    if (this.#term === term) return;
    this.#term = term;
    this.#requests = 0;
    if (this.#phase !== "idle" && this.#phase !== "pausing") this.start(now);
  }

  stop(): void {
    this.#drop();
    this.#phase = "idle";
    this.#requests = 0;
  }

  /** A server that becomes active keeps its own map. */
  abandon(): void {
    this.#loaded = undefined;
  }

  /** The store differs from memory now, so the map is loaded again, after a pause that grows with failures. */
  storeFailed(now: number): void {
    const { heartbeatInterval, random } = this.#state.options;
    this.abandon();
    this.#leave(now);
    this.#forget();
    this.#phase = "pausing";
    this.#askAt = now + backOff(this.#requests, heartbeatInterval, MAX_RELOAD_PAUSE, random);
  }

  tick(now: number): void {
    if (this.#phase !== "idle" && now >= this.#askAt) this.start(now);
  }

  next(): number {
    return this.#phase === "idle" ? Number.POSITIVE_INFINITY : this.#askAt;
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
    if (this.following) this.#have();
  }

  replaced(loaded: LoadedMap, now: number): void {
    if (this.#loaded === loaded) this.#adopt(loaded, now);
  }

  replaceFailed(loaded: LoadedMap, now: number): void {
    if (this.#loaded === loaded) this.storeFailed(now);
  }

  #heartbeat(sequence: number, now: number): void {
    if (this.#phase !== "asking" && sequence > this.#last) this.start(now);
    else this.#have();
  }

  /** Tells which updates memory and store have; 0 before the map. */
  #have(): void {
    this.#send(encodeHugz(this.following ? this.#state.map.sequence : 0));
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
    const { options, effects } = this.#state;
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
    const loaded = { map: this.#next, standing };
    this.#loaded = loaded;
    this.#phase = "storing";
    this.#term = standing.term;
    this.#last = sequence;
    this.#forget();
    if (options.hasStore) effects.replace(loaded, () => this.#loaded === loaded);
    else this.#adopt(loaded, now);
  }

  #update(frames: readonly Buffer[], now: number): void {
    const parsed = parseUpdate(frames, now);
    if (parsed === undefined || parsed.sequence !== this.#last + 1) {
      this.#refuse(now);
      return;
    }
    this.#last = parsed.sequence;
    const { queue } = this.#state;
    if (this.following) this.#remember(parsed);
    queue.push(copyOf(parsed));
    if (this.storing && (queue.waiting > MAX_QUEUED || queue.bytes > MAX_QUEUED_BYTES)) this.start(now);
  }

  #adopt({ map, standing }: LoadedMap, now: number): void {
    const state = this.#state;
    this.#loaded = undefined;
    state.standing.adopt(standing);
    state.map = map;
    map.subtrees.restart(map.sequence);
    state.queue.ordered = map.sequence;
    state.effects.event({ type: "map:replicated", entries: map.table.size, sequence: map.sequence });
    if (!this.storing) return;
    this.#phase = "following";
    this.#followsSince = now;
    this.#patience = 0;
    for (const operation of state.queue.operations()) this.#remember(operation);
    if (state.queue.waiting === 0) this.#have();
  }

  /** A map that may be stored, or adopted, without an update must not have its UUID. */
  #remember({ uuid, kind }: Operation): void {
    if (uuid.length > 0) this.#state.map.window.add(kind === "conflict" ? conflictMark(uuid) : uuid);
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
    this.#state.effects.follow([this.#session, ...frames]);
  }

  #fault(): void {
    this.#state.fault("replication", "frames");
  }

  #leave(now: number): void {
    if (this.following && now - this.#followsSince >= MAX_RELOAD_PAUSE) this.#requests = 0;
    this.#drop();
  }

  #drop(): void {
    // Updates after a map that is not this server's yet.
    if (this.storing) this.#state.queue.drop();
    this.#next = new ServerMap(this.#state.map.subtrees);
  }
}
