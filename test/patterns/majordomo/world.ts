/**
 * Brokers, workers and clients of Majordomo in a simulation: their rules, with
 * connections that are reset as real ones are. A reset loses what is on its way,
 * and the peer comes back under another routing id. Who made the connection hears
 * of its end as a rule, soon after; when a host vanishes it does not.
 */
import type { BrokerEvent } from "../../../src/patterns/majordomo/broker-events.js";
import { type BrokerLimits, resolveBrokerLimits } from "../../../src/patterns/majordomo/broker-options.js";
import { BrokerRules } from "../../../src/patterns/majordomo/broker-rules.js";
import type { Call } from "../../../src/patterns/majordomo/client-call.js";
import { ClientRules } from "../../../src/patterns/majordomo/client-rules.js";
import { Dialect } from "../../../src/patterns/majordomo/protocol.js";
import { parseAtBroker } from "../../../src/patterns/majordomo/protocol-broker.js";
import { parseAtClient } from "../../../src/patterns/majordomo/protocol-client.js";
import { parseAtWorker } from "../../../src/patterns/majordomo/protocol-worker.js";
import { type Delivery, WorkerSession } from "../../../src/patterns/majordomo/worker-rules.js";
import type { Network } from "../../support/simulation/network.js";
import type { Simulation } from "../../support/simulation/simulation.js";
import { SimulatedTimer } from "../../support/simulation/timed-node.js";

/** ms between heartbeats of everybody. */
export const BEAT = 100;

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
  readonly brokers = new Map<string, SimulatedBroker>();
  readonly workers = new Map<string, SimulatedWorker>();
  readonly clients: SimulatedClient[] = [];
  count = 0;

  constructor(
    readonly simulation: Simulation,
    readonly network: Network,
  ) {}

  broker(name: string, limits: Partial<BrokerLimits> = {}): SimulatedBroker {
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
  readonly events: BrokerEvent[] = [];
  readonly limits: BrokerLimits;
  readonly #timer: SimulatedTimer;

  constructor(
    readonly world: World,
    readonly name: string,
    limits: Partial<BrokerLimits>,
  ) {
    const { simulation, network } = world;
    this.limits = resolveBrokerLimits({ heartbeatInterval: BEAT, queueTimeout: 2_000, ...limits });
    const incarnation = Buffer.alloc(8);
    incarnation.writeUInt32BE(simulation.random.integer(0, 0xffff_ffff));
    this.rules = new BrokerRules(
      this.limits,
      {
        send: (message) => {
          const [to, ...frames] = message;
          return network.send(name, String(to), frames) ? "sent" : "gone";
        },
        event: (event) => {
          this.events.push(event);
          simulation.note(`${name}: ${JSON.stringify(event)}`);
        },
      },
      incarnation,
      simulation.random.integer(0, 1_000_000),
      simulation.now,
    );
    network.join(name, (from, frames) => {
      this.rules.receive(Buffer.from(from), parseAtBroker([Buffer.from(from), ...frames]), simulation.now);
      this.check();
      this.#timer.update();
    });
    this.#timer = new SimulatedTimer(simulation, this.rules);
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

  crash(): void {
    this.#timer.stop();
    this.world.network.crash(this.name);
    this.world.brokers.delete(this.name);
    for (const connection of [...this.world.connections])
      if (connection.broker === this.name) connection.reset();
  }
}

export class SimulatedWorker {
  readonly #ends: (() => void)[] = [];
  #up = true;

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
    const session = new WorkerSession(
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
            session.receive(parseAtWorker(frames), simulation.now);
            timer.update();
          };
          const tell = (what: "lost" | "refused"): void => {
            if (what === "lost") session.disconnected(simulation.now);
            timer.update();
          };
          connection = new Connection(world, `${name}.${++world.count}`, broker, receive, tell);
        },
        close: () => connection?.close(),
        send: (message) => connection?.send(message),
        start: (delivery) => this.#handle(session, delivery),
        cancel: () => undefined,
        joined: () => undefined,
        left: () => undefined,
        fault: () => {
          throw new Error(`${name} was sent what no worker understands`);
        },
      },
      () => simulation.random.next(),
    );
    session.start(simulation.now);
    const timer = new SimulatedTimer(simulation, session);
    this.#ends.push(() => {
      timer.stop();
      connection?.close();
    });
  }

  #handle(session: WorkerSession, delivery: Delivery): void {
    const { random } = this.world.simulation;
    const asked = String(delivery.body[0]);
    this.world.simulation.after(random.integer(0, 60), () => {
      if (!this.#up) return;
      const reply = [Buffer.from(`${this.service}:${asked}`)];
      if (asked.endsWith("!") && delivery.dialect === Dialect.Shoal) {
        session.failure(delivery, "worker-failed", asked);
        return;
      }
      if (asked.endsWith("~") && delivery.dialect !== Dialect.Mdp01) session.partial(delivery, reply);
      session.final(delivery, reply);
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
  asked = 0;
  readonly #timer: SimulatedTimer;
  readonly #connections = new Map<number, Connection>();

  constructor(
    readonly world: World,
    readonly name: string,
    brokers: readonly string[],
    dialect: Dialect | undefined,
  ) {
    const { simulation } = world;
    const key = Buffer.alloc(8);
    key.writeUInt32BE(simulation.random.integer(0, 0xffff_ffff));
    this.rules = new ClientRules(
      {
        endpoints: brokers,
        dialect,
        heartbeatInterval: BEAT,
        liveness: 3,
        maxInFlight: 5,
        maxPending: 1_000,
        maxConnections: 3,
      },
      {
        open: (number, endpoint) => {
          const receive = (frames: Buffer[]): void => {
            if (!this.#connections.has(number)) return;
            this.rules.receive(number, parseAtClient(frames), simulation.now);
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
          this.#connections.get(number)?.send(message);
          return true;
        },
        event: (event) => simulation.note(`${name}: ${JSON.stringify(event)}`),
      },
      key,
    );
    this.rules.start(simulation.now);
    this.#timer = new SimulatedTimer(simulation, this.rules);
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
    const call = this.rules.submit(
      this.rules.service(service),
      [asked],
      { all: false, timeout, retries },
      {
        answer: (body, final) => {
          const got = body.map(String);
          if (got.length === 0 || got.some((text) => text !== `${service}:${asked}`)) {
            throw new Error(`${asked} of ${service} was answered ${got.join("|")}`);
          }
          if (final) end("answered", "");
        },
        failed: (error) => end("failed", `${error.code} ${error.message}`),
      },
      simulation.now,
    );
    this.#timer.update();
    return call;
  }
}
