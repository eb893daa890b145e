/** A client in a simulation: its rules, and its links to both servers. */
import type { UpdateResult } from "../../../src/patterns/clone/client-calls.js";
import { ClientRules } from "../../../src/patterns/clone/client-rules.js";
import { encodeSetProperties } from "../../../src/patterns/clone/properties.js";
import { encodeRequest } from "../../../src/patterns/clone/protocol.js";
import { RulesTimer } from "../../../src/testing/rules-timer.js";
import type { Server, World } from "./world.js";
import { type Connection, HEARTBEAT, MAX_DELAY } from "./world-link.js";

/** A call whose result is given at once, as a simulation has no microtasks between its events. */
export function resultOf(
  done: (sequence: number) => void = () => undefined,
  fail: (error: Error) => void = () => undefined,
): UpdateResult {
  return {
    settled: false,
    resolve(sequence) {
      Object.assign(this, { settled: true });
      done(sequence);
    },
    reject(error) {
      Object.assign(this, { settled: true });
      fail(error);
    },
    abandon(error) {
      this.reject(error);
    },
  };
}

export interface Watched {
  readonly key: string;
  readonly value: string | undefined;
}

export class Client {
  readonly rules: ClientRules;
  readonly subtree: string;
  onChange: ((change: Watched) => void) | undefined;
  onSynced: (() => void) | undefined;
  gone = false;
  #connection: Connection | undefined;
  #server: Server | undefined;
  #collector: Connection | undefined;
  readonly #timer: RulesTimer;

  constructor(
    readonly name: string,
    subtree: string,
    readonly world: World,
    number: number,
  ) {
    this.subtree = subtree;
    const { simulation } = world;
    const self = this;
    this.rules = new ClientRules(
      {
        subtree: Buffer.from(subtree),
        heartbeatInterval: HEARTBEAT,
        liveness: 2,
        attemptTimeout: 3 * HEARTBEAT,
        random: () => simulation.random.next(),
        maxPending: 1_000,
        maxBytes: 1_000_000,
        token: Buffer.from([9, 0, 0, 0, 0, 0, number >> 8, number]),
      },
      {
        open: (attempt, server) =>
          this.#open(attempt, world.servers.find((each) => each.name === server) as Server),
        ask: () => {
          const connection = this.#connection;
          const server = world.servers.find(({ connections }) => connection && connections.has(connection));
          connection?.send(() => server?.request(connection, encodeRequest(Buffer.from(subtree))));
        },
        sendSet: (frames) => {
          const target = this.#server;
          if (!simulation.random.chance(world.loss)) this.#collector?.send(() => target?.collect(frames));
        },
        unsent: 0,
        get watching() {
          return self.onChange !== undefined;
        },
        changed: ({ key, value }) => this.onChange?.({ key: String(key), value: value && String(value) }),
        synced: () => this.onSynced?.(),
        event: (event) => simulation.note(() => `${name}: ${JSON.stringify(event)}`),
      },
      simulation.now,
    );
    this.rules.setServers(["primary", "backup"], simulation.now);
    this.#timer = new RulesTimer(simulation, this.rules);
  }

  /** The servers that it knows are these now. */
  list(names: readonly string[]): void {
    if (this.gone) return;
    this.rules.setServers(names, this.world.simulation.now);
    this.#timer.update();
  }

  /** Sets a key. The callbacks are called at once: a simulation has no microtasks between its events. */
  call(
    key: string,
    value: string,
    ttl: number,
    done: (sequence: number) => void,
    fail: (error: Error) => void,
    revision?: number,
  ): void {
    const update = {
      key: Buffer.from(key),
      properties: encodeSetProperties(ttl, revision),
      value: Buffer.from(value),
      conditional: revision !== undefined,
      timeout: 20_000,
    };
    this.rules.set(update, resultOf(done, fail), this.world.simulation.now);
    this.#timer.update();
  }

  leave(): void {
    this.gone = true;
    for (const connection of [this.#connection, this.#collector]) this.#end(connection);
    this.rules.close(this.world.simulation.now);
    this.#timer.stop();
  }

  #end(connection: Connection | undefined): void {
    if (connection === undefined) return;
    connection.end();
    for (const { connections } of this.world.servers) connections.delete(connection);
  }

  #open(attempt: number, server: Server): void {
    const { world } = this;
    const { simulation } = world;
    for (const before of [this.#connection, this.#collector]) {
      if (before === undefined) continue;
      for (const { connections } of world.servers) connections.delete(before);
      before.alive = false;
    }
    this.#collector = undefined;
    this.#server = server;
    const told = (action: () => void): void => {
      if (this.gone) return;
      action();
      this.#timer.update();
    };
    if (!server.up || world.unreachable.has(server.name)) {
      this.#connection = undefined;
      simulation.after(5, () => told(() => this.rules.disconnected(attempt, true, simulation.now)));
      return;
    }
    const connection = world.connect(
      this.subtree,
      (kind, frames) =>
        told(() => {
          if (kind === "snapshot") this.rules.snapshot(attempt, frames, simulation.now);
          else this.rules.update(attempt, frames, simulation.now);
        }),
      () => told(() => this.rules.disconnected(attempt, false, simulation.now)),
    );
    this.#connection = connection;
    server.connections.add(connection);
    simulation.after(simulation.random.next() * MAX_DELAY, () =>
      told(() => this.rules.connected(attempt, simulation.now)),
    );
    const collector = world.connect(
      "\0",
      () => undefined,
      () => told(() => this.rules.collector(attempt, false, simulation.now)),
    );
    this.#collector = collector;
    server.connections.add(collector);
    simulation.after(simulation.random.next() * MAX_DELAY, () =>
      told(() => this.rules.collector(attempt, true, simulation.now)),
    );
  }
}
