/** What a broker knows: services, workers, clients and requests. Data only; the rules are in broker-rules.ts. */
import { Link, LinkedList } from "../common/linked-list.js";
import { type Dialect, EMPTY } from "./protocol.js";

const NO_BODY: Buffer[] = [];

/** Where a request stands. */
export const Stage = { Queued: 0, Delivered: 1, Done: 2 } as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** One request of a client, until it is answered; then what a repetition of it gets. */
export class BrokerRequest {
  client: Buffer;
  readonly dialect: Dialect;
  /** Empty for a plain client. */
  readonly id: Buffer;
  /** The id as a key; "" for a plain client. */
  readonly key: string;
  readonly service: Service;
  body: Buffer[];
  readonly bytes: number;
  stage: Stage = Stage.Queued;
  deliveries = 0;
  tag = 0;
  worker: Worker | undefined = undefined;
  /** The client, where it is known by heartbeats. */
  owner: Client | undefined = undefined;
  /** The ask-all that this delivery is a part of. */
  group: Group | undefined = undefined;
  /** Nobody wants the answer any more; the worker is not free before it comes. */
  abandoned = false;
  /** Pieces of the answer that the client has already. */
  passedOn = 0;
  /** Pieces that wait for the last one, for a client of 0.1. */
  joined: Buffer[] | undefined = undefined;
  joinedBytes = 0;
  /** The answer, while it is remembered. */
  answer: readonly Buffer[] | undefined = undefined;
  failure: readonly [reason: string, text: string] | undefined = undefined;
  /** When it has waited too long in the queue. */
  deadline = 0;
  readonly queueLink: Link<BrokerRequest> = new Link<BrokerRequest>(this);
  readonly ageLink: Link<BrokerRequest> = new Link<BrokerRequest>(this);

  constructor(
    client: Buffer,
    dialect: Dialect,
    id: Buffer,
    key: string,
    service: Service,
    body: Buffer[],
    bytes: number,
  ) {
    this.client = client;
    this.dialect = dialect;
    this.id = id;
    this.key = key;
    this.service = service;
    this.body = body;
    this.bytes = bytes;
  }

  /** Keeps no more than a repetition needs. */
  finish(): void {
    this.stage = Stage.Done;
    this.body = NO_BODY;
    this.worker = undefined;
    this.joined = undefined;
    this.owner?.requests.delete(this.key);
    this.owner = undefined;
  }
}

/** One ask-all: the deliveries that have not been answered. */
export class Group {
  readonly client: Buffer;
  readonly id: Buffer;
  readonly service: Service;
  readonly open = new Set<BrokerRequest>();

  constructor(client: Buffer, id: Buffer, service: Service) {
    this.client = client;
    this.id = id;
    this.service = service;
  }
}

/** A worker, by its routing id. */
export class Worker {
  readonly routingId: Buffer;
  readonly key: string;
  readonly dialect: Dialect;
  readonly service: Service;
  readonly capacity: number;
  readonly name: string;
  /** In the order of their deliveries. */
  readonly inFlight = new Set<BrokerRequest>();
  /** What is meant for it alone and waits until it is free. */
  readonly pinned = new LinkedList<BrokerRequest>();
  readonly availableLink: Link<Worker> = new Link<Worker>(this);
  readonly beatLink: Link<Worker> = new Link<Worker>(this);
  beatAt = 0;
  lastSeen: number;
  /** It was heard while it worked: so its silence means something then, too. */
  beatsWhileBusy: boolean;
  draining = false;

  constructor(
    routingId: Buffer,
    key: string,
    dialect: Dialect,
    service: Service,
    capacity: number,
    name: string,
    now: number,
    beats: boolean,
  ) {
    this.routingId = routingId;
    this.key = key;
    this.dialect = dialect;
    this.service = service;
    this.capacity = capacity;
    this.name = name;
    this.lastSeen = now;
    this.beatsWhileBusy = beats;
  }

  get free(): boolean {
    return this.inFlight.size < this.capacity && !this.draining;
  }
}

/** A service: its workers and what waits for them. */
export class Service {
  readonly name: string;
  /** The name as it stands in messages; its own memory. */
  readonly frame: Buffer;
  readonly workers = new Set<Worker>();
  /** Workers that can take a request, the least recently used first. */
  readonly available = new LinkedList<Worker>();
  readonly queue = new LinkedList<BrokerRequest>();
  requests = 0;
  replies = 0;
  failures = 0;

  constructor(name: string, frame: Buffer) {
    this.name = name;
    this.frame = frame.length === 0 ? EMPTY : Buffer.from(frame);
  }
}

/** A client that says that it lives. */
export class Client {
  readonly routingId: Buffer;
  readonly key: string;
  readonly requests = new Map<string, BrokerRequest>();
  readonly groups = new Map<string, Group>();
  readonly beatLink: Link<Client> = new Link<Client>(this);
  beatAt = 0;
  lastSeen: number;

  constructor(routingId: Buffer, key: string, now: number) {
    this.routingId = routingId;
    this.key = key;
    this.lastSeen = now;
  }
}
