/** A client in a simulation: its rules, and its links to both servers. */
import { ClientRules } from "../../../src/patterns/clone/client-rules.js";
import { encodeSetProperties } from "../../../src/patterns/clone/properties.js";
import { encodeRequest } from "../../../src/patterns/clone/protocol.js";
import { RulesTimer } from "../../../src/testing/rules-timer.js";
import type { Server, World } from "./world.js";
import { type Connection, HEARTBEAT, MAX_DELAY } from "./world-link.js";

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
  readonly #collectors: (Connection | undefined)[] = [undefined, undefined];
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
        servers: ["primary", "backup"],
        subtree: Buffer.from(subtree),
        heartbeatInterval: HEARTBEAT,
        liveness: 2,
        attemptTimeout: 3 * HEARTBEAT,
        retryDelay: 50,
        maxRetryDelay: HEARTBEAT,
        random: () => simulation.random.next(),
        maxPending: 1_000,
        maxPendingBytes: 1_000_000,
        maxBytes: 1_000_000,
        token: Buffer.from([9, 0, 0, 0, 0, 0, number >> 8, number]),
      },
      {
        open: (attempt, server) => this.#open(attempt, world.servers[server] as Server),
        ask: () => {
          const connection = this.#connection;
          const server = world.servers.find(({ connections }) => connection && connections.has(connection));
          connection?.send(() => server?.request(connection, encodeRequest(Buffer.from(subtree))));
        },
        sendSet: (server, frames) => {
          const target = world.servers[server] as Server;
          if (!simulation.random.chance(world.loss))
            this.#collectors[server]?.send(() => target.collect(frames));
          return true;
        },
        get watching() {
          return self.onChange !== undefined;
        },
        changed: (key, _, value) => this.onChange?.({ key: String(key), value: value && String(value) }),
        synced: () => this.onSynced?.(),
        event: (event) => simulation.note(() => `${name}: ${JSON.stringify(event)}`),
      },
      simulation.now,
    );
    this.rules.start(simulation.now);
    this.#timer = new RulesTimer(simulation, this.rules);
    this.#collect();
  }

  set(key: string, value: string, ttl = 0): Promise<number> {
    return new Promise((resolve, reject) => {
      this.call(key, value, ttl, resolve, reject);
    });
  }

  /** As `set`, but with callbacks, called at once: a simulation has no microtasks between its events. */
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
    this.rules.set(update, done, fail, this.world.simulation.now);
    this.#timer.update();
  }

  leave(): void {
    this.gone = true;
    this.#connection?.end();
    for (const connection of this.#collectors) connection?.end();
    for (const { connections } of this.world.servers)
      for (const connection of [this.#connection, ...this.#collectors])
        if (connection) connections.delete(connection);
    this.rules.close(this.world.simulation.now);
    this.#timer.stop();
  }

  #open(attempt: number, server: Server): void {
    const { world } = this;
    const { simulation } = world;
    const before = this.#connection;
    if (before !== undefined) for (const { connections } of world.servers) connections.delete(before);
    if (before !== undefined) before.alive = false;
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
  }

  /** Connects to the collectors, again and again. */
  #collect(): void {
    const { world } = this;
    if (this.gone) return;
    for (const [index, server] of world.servers.entries()) {
      if (this.#collectors[index] !== undefined || !server.up || world.unreachable.has(server.name)) continue;
      const connection = world.connect(
        "\0",
        () => undefined,
        () => {
          this.#collectors[index] = undefined;
          this.rules.collectorLost(index);
        },
      );
      this.#collectors[index] = connection;
      server.connections.add(connection);
      this.rules.collectorReady(index, world.simulation.now);
    }
    world.simulation.after(50, () => this.#collect());
  }
}
