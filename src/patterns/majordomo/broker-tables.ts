/** What a broker knows: services, workers, clients and requests; and what its rules ask of their driver. Data only. */

import { Link, LinkedList } from "../../core/collections/linked-list.js";
import type { FailureReason } from "../kit/errors.js";
import type { MajordomoBrokerEvent } from "./broker-options.js";
import type { ReplyTarget, RequestCommand } from "./client-messages.js";
import { memberHead, withoutHeaders } from "./header.js";
import { Dialect, EMPTY, type Frames, type Room } from "./protocol.js";
import { type ClientMemory, owned, type Repeatable } from "./request-memory.js";

/** What became of a message: `gone`, no such peer is connected; `full`, it does not read. */
export type SendResult = "sent" | "gone" | "full";

export interface BrokerEffects {
  /** @param message the first frame is the routing id */
  send(message: Frames): SendResult;
  /** `send` has copied a message's head when it returns, so that one can be written again for all. */
  readonly reusesHeads: boolean;
  /** The same for runs; absent: nothing leaves in runs. */
  readonly joins?: () => boolean;
  /** `flush` of the rules is to be called at the end of this turn, before what is sent in it is written. */
  readonly flushSoon?: () => void;
  /** The highest level that the socket's options allow. Default: LEVEL. */
  readonly level?: number;
  /** Bytes that wait for a client at the socket. Absent where the engine cannot know. */
  readonly queuedBytes?: ((client: Buffer) => number) | undefined;
  event(event: MajordomoBrokerEvent): void;
}

const NO_FRAMES: Buffer[] = [];

/** ms between the answers of a worker at most, on average, for requests to wait there for a handler. */
const QUICK = 0.25;

/** The average of a worker that has not shown yet that it is quick. */
const UNKNOWN_GAP = 0.5;

/** ms that one answer counts at most: a pause makes no worker slow that is quick else. */
const MAX_GAP = 2;

/** Of one answer in that average. */
const GAP_WEIGHT = 0.02;

/** Where a request stands. */
export const Stage = { Queued: 0, Delivered: 1, Done: 2 } as const;

export type Stage = (typeof Stage)[keyof typeof Stage];

/** One request of a client, until it is answered; then what a repetition of it gets. */
export class BrokerRequest implements Repeatable, ReplyTarget {
  memory: ClientMemory | undefined = undefined;
  sequence = 0;
  keptBytes = 0;
  readonly placeLink: Link<Repeatable> = new Link<Repeatable>(this);
  client: Buffer;
  readonly dialect: Dialect;
  #head: Buffer | undefined;
  readonly service: Service;
  /** The client's message; the body begins at `bodyAt`. */
  frames: Buffer[];
  bodyAt: number;
  readonly bytes: number;
  /** It came in a run, and so may its answer go. */
  joins = false;
  /** The head of the run that it came in. */
  runHead: Buffer = EMPTY;
  /** Where the body is, from and up to, of one that came in a run; then where its answer is. Empty: in `frames`, in `answer`. */
  source: Buffer = EMPTY;
  from = 0;
  to = 0;
  stage: Stage = Stage.Queued;
  deliveries = 0;
  tag = 0;
  worker: Worker | undefined = undefined;
  /** The client, where it is known by heartbeats. */
  owner: Client | undefined = undefined;
  /** Nobody wants the answer any more; the worker is not free before it comes. */
  abandoned = false;
  /** The client was informed that no worker offers the service. */
  noWorkers = false;
  /** Pieces of the answer that its worker has sent. */
  pieces = 0;
  /** Bytes of pieces that the broker has passed on for a client without credit, and has not granted its worker. */
  ungranted = 0;
  /** Why the answer was broken off in the middle: the client has the error, and the worker has not ended yet. */
  broken: FailureReason | undefined = undefined;
  /** Pieces of the answer that the client has already. */
  passedOn = 0;
  /** Pieces that wait for the last one, for a client of 0.1. */
  joined: Buffer[] | undefined = undefined;
  joinedBytes = 0;
  /** The answer, while it is kept. */
  answer: readonly Buffer[] | undefined = undefined;
  answerAt = 0;
  failure: readonly [reason: string, text: string, details?: Buffer] | undefined = undefined;
  /** When it came. */
  arrivedAt = 0;
  /** When it has waited too long in the queue. */
  deadline = 0;
  /** ms from its coming to its deadline. */
  patience = 0;
  /** Made for those that have to wait. */
  ageLink: Link<BrokerRequest> | undefined = undefined;

  /** @param command absent: it came in a run, as `runHead` and `source` say then */
  constructor(client: Buffer, command: RequestCommand | undefined, service: Service, bytes: number) {
    this.client = client;
    this.dialect = command === undefined ? Dialect.Shoal : command.dialect;
    this.#head = command?.head;
    this.service = service;
    this.frames = command === undefined ? NO_FRAMES : command.frames;
    this.bodyAt = command === undefined ? 0 : command.bodyAt;
    this.bytes = bytes;
  }

  /** Has the id; empty for a plain client. */
  get head(): Buffer {
    this.#head ??= memberHead(this.runHead, this.sequence);
    return this.#head;
  }

  /** It goes on alone, or has an answer that is to be sent again. */
  alone(): void {
    if (this.source === EMPTY) return;
    const body = [this.source.subarray(this.from, this.to)];
    this.source = EMPTY;
    if (this.stage === Stage.Done) this.answer = body;
    else this.frames = body;
  }

  /** Keeps no more than a repetition needs. */
  finish(): void {
    this.stage = Stage.Done;
    if (this.#head !== undefined && this.#head.length > 0) this.#head = withoutHeaders(this.#head);
    this.frames = NO_FRAMES;
    this.source = EMPTY;
    this.worker = undefined;
    this.joined = undefined;
    this.owner = undefined;
  }

  own(): void {
    this.alone();
    this.runHead = owned(this.runHead);
    this.answer = this.answer?.slice(this.answerAt).map(owned);
    this.answerAt = 0;
  }
}

/** A worker, by its routing id. */
export class Worker {
  readonly routingId: Buffer;
  readonly key: string;
  readonly dialect: Dialect;
  readonly service: Service;
  /** Requests that it handles at once. */
  readonly concurrency: number;
  /** Those, and the ones that wait at the worker. */
  readonly capacity: number;
  readonly name: string;
  /** Of the third dialect; 0 in MDP. */
  readonly level: number;
  /** In the order of their deliveries. */
  readonly inFlight = new LinkedList<Repeatable>();
  readonly availableLink: Link<Worker> = new Link<Worker>(this);
  readonly beatLink: Link<Worker> = new Link<Worker>(this);
  /** Requests that leave for it at the end of the turn (broker-runs.ts). */
  run: object | undefined = undefined;
  /** What it was to get in a run that did not leave: these were no deliveries. */
  readonly unsent: BrokerRequest[] = [];
  beatAt = 0;
  lastSeen: number;
  /** It was heard while it worked: so its silence means something then, too. */
  beatsWhileBusy: boolean;
  draining = false;
  /** ms from one answer to the next, on average; nobody counts as quick before it has shown it. */
  #gap = UNKNOWN_GAP;
  #answeredAt: number;

  constructor(
    routingId: Buffer,
    key: string,
    dialect: Dialect,
    service: Service,
    room: Room,
    name: string,
    now: number,
    beats: boolean,
    level: number,
  ) {
    this.routingId = routingId;
    this.key = key;
    this.dialect = dialect;
    this.service = service;
    this.concurrency = room.concurrency;
    this.capacity = room.capacity;
    this.name = name;
    this.level = level;
    this.lastSeen = now;
    this.#answeredAt = now;
    this.beatsWhileBusy = beats;
  }

  get free(): boolean {
    return this.inFlight.length < this.capacity && !this.draining;
  }

  /**
   * Puts it among those that can take a request: with a handler free, or with room to keep one waiting.
   *
   * @param last to the end of them, since it was just used
   */
  place(last: boolean): void {
    const { availableLink: link, service } = this;
    const isIdle = this.inFlight.length < this.concurrency;
    if (!this.free || (!isIdle && this.#gap > QUICK)) link.unlink();
    else {
      const list = isIdle ? service.available : service.ahead;
      if (last || link.list !== list) list.push(link);
    }
  }

  /** It has answered a request: how quick it is decides whether requests may wait there. */
  answered(now: number): void {
    const gap = Math.min(now - this.#answeredAt, MAX_GAP);
    this.#answeredAt = now;
    this.#gap += (gap - this.#gap) * GAP_WEIGHT;
  }

  /** It has given a request back: none waits there before it has shown again that it is quick. */
  gaveBack(): void {
    this.#gap = UNKNOWN_GAP;
  }
}

/** A service: its workers and what waits for them. */
export class Service {
  readonly name: string;
  /** The name as it stands in messages; its own memory. */
  readonly frame: Buffer;
  readonly workers = new Set<Worker>();
  /** Workers with a handler free, the least recently used first. */
  readonly available = new LinkedList<Worker>();
  /** Workers without, that keep requests waiting. */
  readonly ahead = new LinkedList<Worker>();
  readonly queue = new LinkedList<Repeatable>();
  requests = 0;
  replies = 0;
  failures = 0;

  /** Who gets the next request. */
  get next(): Worker | undefined {
    return this.available.first ?? this.ahead.first;
  }

  constructor(name: string, frame: Buffer) {
    this.name = name;
    this.frame = frame.length === 0 ? EMPTY : Buffer.from(frame);
  }
}

/** A client that sends heartbeats. */
export class Client {
  routingId: Buffer;
  readonly key: string;
  /** Its requests, and those of its former connections. */
  memory: ClientMemory | undefined = undefined;
  readonly beatLink: Link<Client> = new Link<Client>(this);
  beatAt = 0;
  lastSeen: number;

  constructor(routingId: Buffer, key: string, now: number) {
    this.routingId = routingId;
    this.key = key;
    this.lastSeen = now;
  }
}
