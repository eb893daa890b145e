/**
 * Brokers, workers and clients of Majordomo in a simulation: their rules, with
 * connections that are reset as real ones are. A reset loses what is on its way,
 * and the peer comes back under another routing id. Who made the connection hears
 * of its end as a rule, soon after; when a host vanishes it does not.
 */

import { costOf } from "../../../src/core/frame-cost.js";
import type { SendTicket } from "../../../src/patterns/kit/send-queue.js";
import { ANSWERS, Batcher, messagesAt, REQUESTS } from "../../../src/patterns/majordomo/batch.js";
import {
  brokerSettings,
  type MajordomoBrokerLimits,
} from "../../../src/patterns/majordomo/broker-options.js";
import { BrokerRules } from "../../../src/patterns/majordomo/broker-rules.js";
import type { SendResult } from "../../../src/patterns/majordomo/broker-tables.js";
import { Call, type CalledService, type CallSink } from "../../../src/patterns/majordomo/client-calls.js";
import { ClientRules } from "../../../src/patterns/majordomo/client-rules.js";
import {
  type Answer,
  Body,
  Dialect,
  encode,
  type FromWorker,
  type Request,
  STREAM_WINDOW,
} from "../../../src/patterns/majordomo/protocol.js";
import { type Delivery, WorkerSession } from "../../../src/patterns/majordomo/worker-rules.js";
import type { Network } from "../../../src/testing/network.js";
import { RulesTimer } from "../../../src/testing/rules-timer.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { type FromBroker, framesOf } from "./messages.js";

/** ms between heartbeats of everybody. */
export const BEAT = 100;

/** Bytes of a piece's second frame, at most. */
const MAX_PADDING = 16_384;

/** Bytes that may wait for a reader: its window, and one piece that began within it. */
export const MOST_AHEAD = STREAM_WINDOW + MAX_PADDING + 1_000;

/** How many pieces are asked for by a request that ends with "*" and their number; 0: one whole reply. */
function piecesAsked(asked: string): number {
  return Number(/\*(\d+)$/.exec(asked)?.[1] ?? 0);
}

type Frames = readonly (Buffer | string)[];

/** A DEALER's connection to a broker. */
class Connection {
  #name: string;
  #resets = 0;
  #closed = false;

  constructor(
    readonly world: World,
    readonly base: string,
    readonly broker: string,
    readonly receive: (frames: Buffer[]) => void,
    readonly tell: (what: "lost" | "refused") => void,
  ) {
    this.#name = base;
    world.connections.add(this);
    world.network.join(this.#name, (_, frames) => receive(frames));
    if (!world.network.isUp(broker)) this.#tell("refused");
  }

  send(frames: Frames): void {
    if (!this.#closed) this.world.network.send(this.#name, this.broker, frames);
  }

  reset(): void {
    if (this.#closed) return;
    this.world.network.crash(this.#name);
    this.world.left(this.broker, this.#name);
    this.#tell("lost");
    this.#resets += 1;
    this.#name = `${this.base}'${this.#resets}`;
    this.world.network.join(this.#name, (_, frames) => this.receive(frames));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.world.connections.delete(this);
    this.world.network.crash(this.#name);
    this.world.left(this.broker, this.#name);
  }

  #tell(what: "lost" | "refused"): void {
    const { simulation } = this.world;
    if (simulation.random.chance(0.2)) return;
    simulation.after(simulation.random.integer(0, 10), () => {
      if (this.#closed) return;
      simulation.note(`${this.base} hears that it is ${what}`);
      this.tell(what);
    });
  }
}

export class World {
  readonly connections = new Set<Connection>();
  /** Those that are cut off, until they are reset. */
  readonly #cutOff = new Set<Connection>();
  readonly #limits = new Map<string, Partial<MajordomoBrokerLimits>>();
  readonly brokers = new Map<string, SimulatedBroker>();
  readonly workers = new Map<string, SimulatedWorker>();
  readonly clients: SimulatedClient[] = [];
  count = 0;
  /** Whether messages get lost or come twice: then an answer in pieces is only as sure as its numbers make it. */
  readonly unreliable: boolean;

  constructor(
    readonly simulation: Simulation,
    readonly network: Network,
  ) {
    const { loss, duplication } = network.faults;
    this.unreliable = loss > 0 || duplication > 0;
  }

  /** Nothing passes, and after some ms the connection is reset, as the engine's heartbeat does for real. */
  cutOff(connection: Connection, ms: number): void {
    this.network.cut(connection.base, connection.broker);
    this.#cutOff.add(connection);
    this.simulation.after(ms, () => {
      if (this.#cutOff.delete(connection)) connection.reset();
    });
  }

  /** No connection goes on that has lost something: those that are cut off are reset first. */
  healAll(): void {
    for (const connection of this.#cutOff) connection.reset();
    this.#cutOff.clear();
    this.network.healAll();
  }

  /** A connection has ended: its broker hears of it as a rule, when all that came over it is in. */
  left(broker: string, connection: string): void {
    const { simulation } = this;
    const host = this.brokers.get(broker);
    if (host === undefined || simulation.random.chance(0.3)) return;
    simulation.after(simulation.random.integer(100, 200), () => host.left(connection));
  }

  /** What leaves at the end of a turn: here turns are long, so that more is gathered, and more happens meanwhile. */
  afterGathering(flush: () => void): void {
    this.simulation.after(this.simulation.random.pick([0, 1, 10, 30]), flush);
  }

  /** One that begins again has the limits that it had. */
  broker(name: string, limits = this.#limits.get(name) ?? {}): SimulatedBroker {
    this.#limits.set(name, limits);
    const broker = new SimulatedBroker(this, name, limits);
    this.brokers.set(name, broker);
    return broker;
  }

  worker(name: string, brokers: readonly string[], service: string, dialect?: Dialect): SimulatedWorker {
    const worker = new SimulatedWorker(this, name, brokers, service, dialect);
    this.workers.set(name, worker);
    return worker;
  }

  client(name: string, brokers: readonly string[], dialect?: Dialect): SimulatedClient {
    const client = new SimulatedClient(this, name, brokers, dialect);
    this.clients.push(client);
    return client;
  }
}

export class SimulatedBroker {
  readonly rules: BrokerRules;
  readonly limits: MajordomoBrokerLimits;
  readonly #timer: RulesTimer;
  /** Routing ids, as objects that stay the same for a connection. */
  readonly #ids = new Map<string, Buffer>();
  #up = true;
  /** What comes while the process stands still. */
  #missed: (() => void)[] | undefined;
  readonly #soon = (flush: () => void): void => this.world.afterGathering(() => this.#hear(flush));
  readonly #deliveries = new Batcher<Buffer, Request>(
    "worker",
    REQUESTS,
    (worker, message) => {
      if (this.#put(worker, message) !== "sent") this.rules.unreachable(worker);
    },
    this.#soon,
  );
  readonly #answers = new Batcher<Buffer, Answer>(
    "client",
    ANSWERS,
    (client, message, first, count) => {
      const sent = this.#put(client, message);
      if (sent !== "sent") this.rules.unanswered(first, count, sent);
    },
    this.#soon,
  );

  constructor(
    readonly world: World,
    readonly name: string,
    limits: Partial<MajordomoBrokerLimits>,
  ) {
    const { simulation, network } = world;
    this.limits = brokerSettings({ heartbeatInterval: BEAT, queueTimeout: 2_000, ...limits });
    this.rules = new BrokerRules(
      this.limits,
      {
        toClient: (client, message) => this.#send(client, message),
        toWorker: (worker, message) => this.#send(worker, message),
        queuedBytes: () => 0,
        event: (event) => simulation.note(`${name}: ${JSON.stringify(event)}`),
      },
      simulation.random.integer(0, 1_000_000),
    );
    network.join(name, (from, frames) =>
      this.#hear(() => {
        const id = this.#ids.get(from) ?? Buffer.from(from);
        this.#ids.set(from, id);
        messagesAt("broker", [id, ...frames], (message) => this.rules.receive(id, message, simulation.now));
      }),
    );
    this.#timer = new RulesTimer(simulation, this.rules);
  }

  #send(to: Buffer, message: FromBroker): SendResult {
    if (message.kind === "request" && this.#deliveries.add(to, message)) return "sent";
    if (message.kind === "answer" && this.#answers.add(to, message)) return "sent";
    const frames = framesOf(to, message).slice(1);
    this.#deliveries.flush(to);
    this.#answers.flush(to);
    return this.#put(to, frames);
  }

  /** The network copies the frames. */
  #put(to: Buffer, frames: Frames): SendResult {
    return this.world.network.send(this.name, String(to), frames) ? "sent" : "gone";
  }

  /** What holds at any time. */
  check(): void {
    const { requests, answered, failed, abandoned, queued, inFlight } = this.rules.stats();
    const sum = answered + failed + abandoned + queued + inFlight;
    if (requests !== sum) {
      throw new Error(`${this.name}: ${requests} requests, but ${JSON.stringify(this.rules.stats())}`);
    }
    const most = this.limits.maxQueue * 4;
    if (queued > most) throw new Error(`${this.name}: ${queued} queued`);
  }

  /** The process stands still for a time, shorter than what would have it taken for dead. */
  stop(ms: number): void {
    if (this.#missed !== undefined) return;
    this.world.simulation.note(`${this.name} stands still for ${ms} ms`);
    this.#missed = [];
    this.world.simulation.after(ms, () => {
      const missed = this.#missed ?? [];
      this.#missed = undefined;
      for (const each of missed) this.#hear(each);
    });
  }

  left(connection: string): void {
    const id = this.#ids.get(connection);
    if (id === undefined) return;
    this.#hear(() => {
      this.#ids.delete(connection);
      this.rules.peerLeft(id, this.world.simulation.now);
    });
  }

  #hear(what: () => void): void {
    if (!this.#up) return;
    if (this.#missed !== undefined) {
      this.#missed.push(what);
      return;
    }
    what();
    this.check();
    this.#timer.update();
  }

  crash(): void {
    this.#up = false;
    this.#timer.stop();
    this.world.network.crash(this.name);
    this.world.brokers.delete(this.name);
    for (const connection of [...this.world.connections])
      if (connection.broker === this.name) connection.reset();
  }
}

export class SimulatedWorker {
  readonly #ends: (() => void)[] = [];
  /** Answers in pieces, by session and tag. */
  readonly #jobs = new Map<string, StreamJob>();
  #up = true;

  get up(): boolean {
    return this.#up;
  }

  constructor(
    readonly world: World,
    readonly name: string,
    brokers: readonly string[],
    readonly service: string,
    dialect: Dialect | undefined,
  ) {
    for (const broker of brokers) this.#session(broker, dialect);
  }

  crash(): void {
    this.#up = false;
    for (const end of this.#ends) end();
    this.world.workers.delete(this.name);
  }

  #session(broker: string, dialect: Dialect | undefined): void {
    const { world, name } = this;
    const { simulation } = world;
    let connection: Connection | undefined;
    /** What waits for room at the connection, in order. */
    const queue: { frames: Frames; ticket: SendTicket | undefined }[] = [];
    const giveUp = (): void => {
      for (const { ticket } of queue.splice(0)) ticket?.settled(false);
    };
    const send = (frames: Frames, ticket?: SendTicket): boolean => {
      const full = queue.length > 0 || simulation.random.chance(0.1);
      if (!full) {
        connection?.send(frames);
        return true;
      }
      const [head, ...body] = frames;
      queue.push({ frames: [Buffer.from(head as Buffer), ...body], ticket });
      const over = connection;
      simulation.after(simulation.random.integer(1, 20), () => {
        if (connection !== over) return;
        for (const waiting of queue.splice(0)) {
          connection?.send(waiting.frames);
          waiting.ticket?.settled(true);
        }
      });
      return false;
    };
    const replies = new Batcher<undefined, Answer>(
      "worker",
      ANSWERS,
      (_, message) => void send(message),
      (flush) => world.afterGathering(flush),
    );
    const put = (message: FromWorker, ticket?: SendTicket): boolean => {
      const frames = encode("worker", message);
      replies.flush();
      return send(frames, ticket);
    };
    const session: WorkerSession = new WorkerSession(
      {
        service: Buffer.from(this.service),
        concurrency: dialect === undefined ? 2 : 1,
        capacity: dialect === undefined ? 3 : 1,
        name,
        dialect,
        heartbeatInterval: BEAT,
        liveness: 3,
        reconnectInterval: 50,
        reconnectMaxInterval: 400,
      },
      {
        open: () => {
          const receive = (frames: Buffer[]): void => {
            messagesAt("worker", frames, (message) => session.receive(message, simulation.now));
            timer.update();
          };
          const tell = (what: "lost" | "refused"): void => {
            if (what === "lost") session.disconnected(simulation.now);
            timer.update();
          };
          connection = new Connection(world, `${name}.${++world.count}`, broker, receive, tell);
          return true;
        },
        close: () => {
          replies.clear();
          connection?.close();
          giveUp();
        },
        send: (message) => {
          if (message.kind !== "heartbeat" || queue.length === 0) put(message);
        },
        reply: (message, ticket) => {
          const joins = message.kind === "answer" && queue.length === 0;
          return (joins && replies.add(undefined, message)) || put(message, ticket);
        },
        start: (delivery) => this.#handle(session, delivery),
        cancel: (tag) => this.#jobs.get(tagKey(session, tag))?.end(),
        credit: (tag, bytes) => this.#jobs.get(tagKey(session, tag))?.grant(bytes),
        joined: () => undefined,
        left: () => undefined,
        fault: () => {
          throw new Error(`${name} was sent what no worker understands`);
        },
      },
      () => simulation.random.next(),
    );
    session.start(simulation.now);
    const timer = new RulesTimer(simulation, session);
    this.#ends.push(() => {
      timer.stop();
      connection?.close();
    });
  }

  #handle(session: WorkerSession, delivery: Delivery): void {
    const { random } = this.world.simulation;
    const asked = String(delivery.body.frames[0]);
    const pieces = piecesAsked(asked);
    if (pieces > 0) {
      const job = new StreamJob(this, session, delivery, `${this.service}:${asked}`, pieces);
      if (delivery.dialect === Dialect.Shoal) this.#jobs.set(tagKey(session, delivery.number), job);
      job.pull();
      return;
    }
    this.world.simulation.after(random.integer(0, 60), () => {
      if (!this.#up) return;
      const reply = [Buffer.from(`${this.service}:${asked}`)];
      if (asked.endsWith("!") && delivery.dialect === Dialect.Shoal) {
        session.failure(delivery, { reason: "worker-failed", text: asked }, NOBODY);
        return;
      }
      const inPieces = asked.endsWith("~") && delivery.dialect !== Dialect.Mdp01;
      const body = Body.of(reply);
      if (inPieces) session.reply({ delivery, pieces: 0, ...NOBODY }, false, body);
      session.reply({ delivery, pieces: inPieces ? 1 : 0, ...NOBODY }, true, body);
    });
  }
}

const NOBODY: SendTicket = { settled: () => undefined };

function tagKey(session: WorkerSession, tag: number): string {
  const number = sessionNumbers.get(session) ?? ++sessions;
  sessionNumbers.set(session, number);
  return `${number}/${tag}`;
}

/** Weak, or each world of a long run would be kept to its end. */
const sessionNumbers = new WeakMap<WorkerSession, number>();
let sessions = 0;

/** An answer in pieces, made as the worker's jobs make it (worker-jobs.ts): each is asked for when it is wanted. */
class StreamJob implements SendTicket {
  #next = 0;
  #credit = STREAM_WINDOW;
  #over = false;
  #pulling = false;

  constructor(
    readonly worker: SimulatedWorker,
    readonly session: WorkerSession,
    readonly delivery: Delivery,
    readonly text: string,
    readonly count: number,
  ) {}

  grant(bytes: number): void {
    this.#credit += bytes;
    this.pull();
  }

  /** Nobody wants it any more. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.session.reply({ delivery: this.delivery, pieces: this.#next, ...NOBODY }, true, Body.of([]));
  }

  settled(sent: boolean): void {
    if (sent) this.pull();
    else this.#over = true;
  }

  pull(): void {
    const { simulation, unreliable } = this.worker.world;
    const { delivery, session } = this;
    const { dialect } = delivery;
    if (this.#over || this.#pulling || (dialect === Dialect.Shoal && this.#credit <= 0)) return;
    this.#pulling = true;
    simulation.after(simulation.random.integer(0, 5), () => {
      this.#pulling = false;
      if (this.#over || !this.worker.up) return;
      // Plain peers cannot distinguish a piece that is missing, or came twice, from one that is right.
      if (dialect === Dialect.Mdp01 || (unreliable && dialect === Dialect.Mdp02)) {
        this.#over = true;
        const joined = Array.from({ length: this.count }, (_, i) => Buffer.from(`${this.text}#${i}`));
        session.reply({ delivery, pieces: 0, ...NOBODY }, true, Body.of(joined));
        return;
      }
      if (this.#next === this.count) {
        this.#over = true;
        const pieces = dialect === Dialect.Shoal ? this.count : 0;
        session.reply({ delivery, pieces, ...NOBODY }, true, Body.of([]));
        return;
      }
      const padding = Buffer.alloc(simulation.random.integer(0, MAX_PADDING));
      const piece = Body.of([Buffer.from(`${this.text}#${this.#next}`), padding]);
      const settled = (sent: boolean): void => this.settled(sent);
      const told = session.reply({ delivery, pieces: this.#next, settled }, false, piece);
      this.#next += 1;
      this.#credit -= piece.cost;
      if (told === "sent") this.pull();
      else if (told === "stale") this.#over = true;
    });
  }
}

/** How a call ended. */
export interface Ended {
  readonly asked: string;
  readonly how: "answered" | "failed";
  readonly why: string;
}

export class SimulatedClient {
  readonly ended: Ended[] = [];
  readonly rules: ClientRules;
  /** Bytes of pieces that waited to be read, at most. */
  mostAhead = 0;
  asked = 0;
  readonly #timer: RulesTimer;
  readonly #connections = new Map<number, Connection>();
  readonly #services = new Map<string, Buffer>();

  constructor(
    readonly world: World,
    readonly name: string,
    brokers: readonly string[],
    dialect: Dialect | undefined,
  ) {
    const { simulation } = world;
    const key = Buffer.alloc(8);
    key.writeUInt32BE(simulation.random.integer(0, 0xffff_ffff));
    const requests = new Batcher<number, Request>(
      "client",
      REQUESTS,
      (number, message) => this.#connections.get(number)?.send(message),
      (flush) => world.afterGathering(flush),
    );
    this.rules = new ClientRules(
      {
        endpoints: brokers,
        dialect,
        heartbeatInterval: BEAT,
        liveness: 3,
        maxInFlight: 5,
        maxPending: 1_000,
        maxPendingBytes: 1_000_000_000,
      },
      {
        open: (number, endpoint) => {
          const receive = (frames: Buffer[]): void => {
            if (!this.#connections.has(number)) return;
            messagesAt("client", frames, (message) => {
              if (this.#connections.has(number)) this.rules.receive(number, message, simulation.now);
            });
            this.#timer?.update();
          };
          const tell = (what: "lost" | "refused"): void => {
            if (what === "lost") this.rules.disconnected(number, simulation.now);
            else this.rules.refused(number, simulation.now);
            this.#timer.update();
          };
          const base = `${name}.${++world.count}`;
          this.#connections.set(number, new Connection(world, base, endpoint, receive, tell));
        },
        close: (number) => {
          this.#connections.get(number)?.close();
          this.#connections.delete(number);
        },
        send: (number, message) => {
          const isOurs = message.kind === "request" && message.dialect === Dialect.Shoal;
          if (isOurs && requests.add(number, message)) return true;
          const frames = encode("client", message);
          requests.flush(number);
          this.#connections.get(number)?.send(frames);
          return true;
        },
        event: (event) => simulation.note(`${name}: ${JSON.stringify(event)}`),
      },
      key,
    );
    this.rules.start(simulation.now);
    this.#timer = new RulesTimer(simulation, this.rules);
  }

  #service(name: string): CalledService {
    const frame = this.#services.get(name) ?? Buffer.from(name);
    this.#services.set(name, frame);
    return { name, frame, isKnown: false };
  }

  /** @param timeout ms of one attempt */
  ask(service: string, suffix: string, timeout: number, retries: number): Call {
    const { simulation } = this.world;
    const asked = `${this.name}-${++this.asked}${suffix}`;
    let over = false;
    const end = (how: Ended["how"], why: string): void => {
      if (over) throw new Error(`${asked} ended twice`);
      over = true;
      simulation.note(`${asked} ${how} ${why}`);
      this.ended.push({ asked, how, why });
    };
    const sink: CallSink =
      piecesAsked(asked) > 0
        ? this.#reader(asked, `${service}:${asked}`, end, () => call)
        : {
            answer: (body, final) => {
              const got = body.map(String);
              if (got.length === 0 || got.some((text) => text !== `${service}:${asked}`)) {
                throw new Error(`${asked} of ${service} was answered ${got.join("|")}`);
              }
              if (final) end("answered", "");
              return "read";
            },
            failed: (error) => end("failed", `${error.code} ${error.message}`),
          };
    const terms = { timeout, retries, total: timeout * (retries + 1), headers: Buffer.alloc(0) };
    const call = new Call(this.#service(service), [asked], terms, sink);
    this.rules.submit(call, simulation.now);
    this.#timer.update();
    return call;
  }

  /** Reads an answer in pieces, one after the other, slowly: all of them have come when it ends, and never too many ahead. */
  #reader(
    asked: string,
    text: string,
    end: (how: Ended["how"], why: string) => void,
    call: () => Call,
  ): CallSink {
    const { simulation } = this.world;
    const pause = simulation.random.pick([0, 2, 30]);
    const unread: number[] = [];
    let came = 0;
    let reading = false;
    const read = (): void => {
      const cost = unread.shift() as number;
      this.rules.read(call(), cost, simulation.now);
      this.#timer.update();
      reading = unread.length > 0;
      if (reading) simulation.after(pause, read);
    };
    return {
      get unread() {
        return unread.length > 0;
      },
      answer: (body, final) => {
        for (const frame of body) {
          if (frame.every((byte) => byte === 0)) continue;
          if (String(frame) !== `${text}#${came}`) throw new Error(`${asked}: piece ${came} is ${frame}`);
          came += 1;
        }
        if (final) {
          if (came !== piecesAsked(asked)) throw new Error(`${asked} ended after ${came} pieces`);
          end("answered", "");
          return "read";
        }
        unread.push(costOf(body));
        const ahead = unread.reduce((sum, cost) => sum + cost, 0);
        this.mostAhead = Math.max(this.mostAhead, ahead);
        if (!reading) simulation.after(pause, read);
        reading = true;
        return "kept";
      },
      failed: (error) => end("failed", `${error.code} ${error.message}`),
    };
  }
}
