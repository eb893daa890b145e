/** What a broker knows: services, workers, clients and requests; and what its rules ask of their driver. Data only. */

import { Link, LinkedList } from "../../core/collections/linked-list.js";
import type { FailureReason } from "../kit/errors.js";
import type { MajordomoBrokerEvent } from "./broker-options.js";
import type { ClientMemory, Repeatable } from "./request-memory.js";
import {
  type Answer,
  type Body,
  type Dialect,
  EMPTY,
  type Negotiated,
  type Ready,
  type Request,
  type RequestId,
  type ToClient,
  type ToWorker,
} from "./wire.js";

/** What became of a message: `gone`, no such peer is connected; `full`, it does not read. */
export type SendResult = "sent" | "gone" | "full";

export type FromBroker = Exclude<ToClient, Negotiated> | ToWorker;

export interface BrokerEffects {
  /**
   * Sends a message to a worker or a client, at once or with others at the end of the turn: what could not be sent then
   * comes back as `unreachable` or `unanswered` of the rules.
   */
  send(to: Buffer, message: FromBroker): SendResult;
  /** Bytes that wait for a client at the socket. Absent where the engine cannot know. */
  readonly queuedBytes?: ((client: Buffer) => number) | undefined;
  event(event: MajordomoBrokerEvent): void;
}

/** ms between the answers of a worker at most, on average, for requests to wait there for a handler. */
const QUICK = 0.25;
/** The average of a worker that has not shown yet that it is quick. */
const UNKNOWN_GAP = 0.5;
/** ms that one answer counts at most: a pause does not make a quick worker slow. */
const MAX_GAP = 2;
/** Weight of one answer in that average. */
const GAP_WEIGHT = 0.02;

/** Where a request stands. */
export const Stage = { Queued: 0, Delivered: 1, Done: 2 } as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** One request of a client until it is answered; after that, what a repetition of it gets. */
export class BrokerRequest implements Repeatable {
  memory: ClientMemory | undefined = undefined;
  keptBytes = 0;
  readonly placeLink: Link<Repeatable> = new Link<Repeatable>(this);
  client: Buffer;
  readonly dialect: Dialect;
  /** `undefined` from a plain client. */
  readonly id: RequestId | undefined;
  readonly service: Service;
  /** What it counts for among the bytes that wait. */
  readonly bytes: number;
  body: Body | undefined;
  headers: Buffer;
  /** ms that the client still waited when it came. */
  readonly time: number;
  stage: Stage = Stage.Queued;
  deliveries = 0;
  tag = 0;
  worker: Worker | undefined = undefined;
  /** The client, if it is known by heartbeats. */
  owner: Client | undefined = undefined;
  /** The client does not want the answer any more; the worker is not free before it comes. */
  abandoned = false;
  /** The client was informed that no worker offers the service. */
  noWorkers = false;
  /** Pieces of the answer that its worker has sent. */
  pieces = 0;
  /** Cost of pieces that were passed on for a client without credit and not granted to the worker. */
  ungranted = 0;
  /** Why the answer was broken off in the middle: the client has the error, and the worker has not ended yet. */
  broken: FailureReason | undefined = undefined;
  /** Pieces of the answer that the client has already. */
  passedOn = 0;
  /** Pieces that wait for the last one, for a client of 0.1. */
  joined: Buffer[] | undefined = undefined;
  joinedBytes = 0;
  /** The answer while it is kept. */
  answer: Body | undefined = undefined;
  failure: readonly [reason: string, text: string, details?: Buffer] | undefined = undefined;
  readonly arrivedAt: number;
  /** When it has waited too long in the queue. */
  deadline = 0;
  /** ms from its coming to its deadline. */
  patience = 0;
  /** Made for those that have to wait. */
  ageLink: Link<BrokerRequest> | undefined = undefined;

  constructor(client: Buffer, request: Request, service: Service, now: number) {
    this.client = client;
    this.dialect = request.dialect;
    this.id = request.id;
    this.service = service;
    this.body = request.body;
    this.headers = request.headers;
    this.time = request.time;
    this.bytes = request.body.cost + request.headers.length;
    this.arrivedAt = now;
  }

  get sequence(): number {
    return this.id?.sequence ?? 0;
  }

  /** Keeps only what a repetition needs. */
  finish(): void {
    this.stage = Stage.Done;
    this.body = undefined;
    this.headers = EMPTY;
    this.worker = undefined;
    this.joined = undefined;
    this.owner = undefined;
  }

  own(): void {
    this.body = this.body?.owned();
    this.answer = this.answer?.owned();
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
  /** Those and the ones that wait at the worker. */
  readonly capacity: number;
  readonly name: string;
  /** In the order of their deliveries. */
  readonly inFlight = new LinkedList<Repeatable>();
  readonly availableLink: Link<Worker> = new Link<Worker>(this);
  readonly beatLink: Link<Worker> = new Link<Worker>(this);
  beatAt = 0;
  lastSeen: number;
  /** It was heard while it worked, so its silence means something then, too. */
  beatsWhileBusy = false;
  draining = false;
  /** ms from one answer to the next, on average. */
  #gap = UNKNOWN_GAP;
  #answeredAt: number;

  constructor(routingId: Buffer, ready: Ready, service: Service, now: number) {
    this.routingId = routingId;
    this.key = routingId.toString("latin1");
    this.dialect = ready.dialect;
    this.service = service;
    this.concurrency = ready.concurrency;
    this.capacity = ready.capacity;
    this.name = ready.name === "" ? routingId.toString("hex") : ready.name;
    this.lastSeen = now;
    this.#answeredAt = now;
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

  /** It gets nothing more. */
  drain(): void {
    this.draining = true;
    this.availableLink.unlink();
  }
}

/** A service: its workers and what waits for them. */
export class Service {
  readonly name: string;
  /** The name as it stands in messages; separate memory. */
  readonly frame: Buffer;
  readonly workers = new Set<Worker>();
  /** Workers with a handler free, the least recently used first. */
  readonly available = new LinkedList<Worker>();
  /** Workers without one that keep requests waiting. */
  readonly ahead = new LinkedList<Worker>();
  readonly queue = new LinkedList<Repeatable>();
  requests = 0;
  replies = 0;
  failures = 0;

  /** The worker that gets the next request. */
  get next(): Worker | undefined {
    return this.available.first ?? this.ahead.first;
  }

  constructor(name: string, frame: Buffer) {
    this.name = name;
    this.frame = Buffer.from(frame);
  }
}

/** A client that sends heartbeats. */
export class Client {
  routingId: Buffer;
  readonly key: string;
  /** Its requests and those of its former connections. */
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

/** An answer to a request, or a piece of it. */
export function answerTo(request: BrokerRequest, final: boolean, body: Body): Answer {
  const { dialect, id, service, passedOn: pieces } = request;
  return { kind: "answer", dialect, id, service: service.frame, final, pieces, body };
}
