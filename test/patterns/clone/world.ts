/**
 * A clone in a simulation: two servers with their Binary Star, clients, and connections between them. A connection
 * keeps its order and loses nothing but what was on its way when it ended; publications and updates of clients may be
 * lost, as at a full queue.
 */

import { BinaryStarState, encodeState, parseState } from "../../../src/patterns/binary-star/protocol.js";
import {
  type BinaryStarReplica,
  type BinaryStarRole,
  BinaryStarRules,
} from "../../../src/patterns/binary-star/rules.js";

import type { Operation } from "../../../src/patterns/clone/operation.js";
import { conflictMark, type LoadedMap, uuidsOf } from "../../../src/patterns/clone/server-map.js";
import { ServerRules } from "../../../src/patterns/clone/server-rules.js";
import type { SendResult } from "../../../src/patterns/clone/server-state.js";
import { adopted, encodeStanding } from "../../../src/patterns/clone/standing.js";
import type { CloneTable } from "../../../src/patterns/clone/table.js";
import { RulesTimer } from "../../../src/testing/rules-timer.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { Client } from "./world-client.js";
import { Connection, HEARTBEAT, MAX_DELAY } from "./world-link.js";

/** Messages of a snapshot that fit into a queue; few, so that a snapshot is cut up. */
const QUEUE = 2;

/** What is on a server's disk. */
class Disk {
  map = new Map<string, { value: Buffer; sequence: number; expires: number }>();
  uuids: Buffer[] = [];
  sequence = 0;
  standing: Buffer | undefined;
  /** When what is under way is done: one thing after the other. */
  busyUntil = 0;

  apply(operations: readonly Operation[]): void {
    for (const { kind, key, value, sequence, uuid, expires } of operations) {
      const name = key.toString("latin1");
      if (kind === "set") this.map.set(name, { value: Buffer.from(value), sequence, expires });
      else if (kind === "delete") this.map.delete(name);
      if (kind === "announce") continue;
      if (uuid.length > 0) this.uuids.push(kind === "conflict" ? conflictMark(uuid) : Buffer.from(uuid));
      this.sequence = sequence;
    }
  }
}

export class Server {
  rules: ServerRules | undefined;
  star: BinaryStarRules | undefined;
  peer!: Server;
  readonly connections = new Set<Connection>();
  readonly disk: Disk | undefined;
  #timers: RulesTimer[] = [];
  #voters: [Connection, Buffer][] = [];
  #link: Connection | undefined;
  #life = 0;
  #stateArrives = 0;

  constructor(
    readonly name: string,
    readonly role: BinaryStarRole,
    readonly world: World,
    store: boolean,
  ) {
    this.disk = store ? new Disk() : undefined;
  }

  get up(): boolean {
    return this.rules !== undefined;
  }

  get serving(): boolean {
    return this.rules?.active === true && this.star?.serving === true;
  }

  start(): void {
    if (this.up) return;
    const { simulation } = this.world;
    simulation.note(`${this.name} is up`);
    const life = ++this.#life;
    const mine = (action: () => void) => (): void => {
      if (this.#life === life && this.up) action();
    };
    const options = {
      heartbeatInterval: HEARTBEAT,
      liveness: 2,
      hasStore: this.disk !== undefined,
      role: this.role,
      maxPending: 1_000,
      maxBytes: 1_000_000,
      maxSnapshots: 3,
      random: () => simulation.random.next(),
      token: Buffer.from([this.role === "primary" ? 1 : 2, 0, 0, 0, 0, 0, life >> 8, life]),
    };
    const rules = new ServerRules(
      options,
      {
        publish: (frames) => this.#publish(frames),
        reply: (id, frames) => this.#reply("snapshot", id, frames),
        replicate: (id, frames) => this.#reply("link", id, frames),
        follow: (frames) => this.#follow(frames),
        commit: (operations) => {
          const copied = [...operations];
          this.#write(simulation.random.integer(1, 10), () => {
            // A process that is killed may or may not have got its commit onto the disk.
            if (this.#life !== life || !this.up) {
              if (simulation.random.chance(0.5) && this.#life === life) this.disk?.apply(copied);
              return;
            }
            if (simulation.random.chance(this.world.diskFaults))
              rules.commitFailed(new Error("disk"), simulation.now);
            else {
              this.disk?.apply(copied);
              rules.committed(simulation.now);
            }
            this.#update();
          });
        },
        replace: (loaded, wanted) =>
          this.#write(
            simulation.random.integer(5, 60),
            mine(() => this.#replace(loaded, wanted)),
          ),
        mark: (standing) =>
          this.#write(simulation.random.integer(1, 10), () => {
            if (this.#life !== life || !this.up) {
              if (simulation.random.chance(0.5) && this.#life === life && this.disk)
                this.disk.standing = standing;
              return;
            }
            if (simulation.random.chance(this.world.diskFaults))
              rules.markFailed(new Error("disk"), simulation.now);
            else {
              (this.disk as Disk).standing = standing;
              rules.marked(simulation.now);
            }
            this.#update();
          }),
        announce: () => this.star?.publishNow(simulation.now),
        event: (event) => {
          simulation.note(() => `${this.name}: ${JSON.stringify(event)}`);
          if (event.type === "map:diverged") this.world.diverged += 1;
        },
      },
      simulation.now,
    );
    this.rules = rules;
    if (this.disk !== undefined) {
      const { map, uuids, sequence, standing } = this.disk;
      for (const [name, { value, sequence: at, expires }] of map)
        rules.map.restore({ key: Buffer.from(name, "latin1"), value, sequence: at, expires });
      rules.restored({ sequence, uuids, damaged: 0, standing });
    }
    const replica: BinaryStarReplica = {
      position: () => rules.standing.position(),
      compare: (state, told, own) => rules.hear(state, told, own, simulation.now),
      mayTakeOver: (own) => rules.standing.mayTakeOver(own),
      resolved: (choice) => rules.standing.resolved(choice),
    };
    this.star = new BinaryStarRules(
      { role: this.role, heartbeatInterval: HEARTBEAT, liveness: 2, replica },
      {
        publish: (state) => {
          const { peer } = this;
          const told = rules.standing.position();
          const arrival = simulation.now + simulation.random.next() * MAX_DELAY;
          this.#stateArrives = Math.max(this.#stateArrives, arrival); // A connection keeps its order.
          simulation.at(this.#stateArrives, () => {
            if (this.world.cut || !peer.up) return;
            peer.star?.receive(parseState([encodeState(state)]) as BinaryStarState, simulation.now, told);
            peer.#update();
          });
        },
        changed: (reason) => {
          const { state, fence, doubting } = this.star as BinaryStarRules;
          simulation.note(`${this.name}: star ${state}, ${reason}`);
          if (doubting) rules.suspend();
          else if (state === BinaryStarState.ACTIVE && fence === undefined) {
            if (reason === "stalled") rules.resume(simulation.now);
            else rules.activate(simulation.now, reason === "resolved");
            for (const [connection, subtree] of this.#voters.splice(0))
              rules.request(connection.id, subtree, simulation.now);
          } else {
            this.#voters = [];
            rules.deactivate(state === BinaryStarState.PASSIVE && fence === undefined, simulation.now);
          }
        },
        votesDropped: () => {
          this.#voters = [];
        },
        sameRole: () => undefined,
      },
      simulation.now,
    );
    this.#timers = [new RulesTimer(simulation, rules), new RulesTimer(simulation, this.star)];
  }

  kill(): void {
    if (!this.up) return;
    this.world.simulation.note(`${this.name} is killed`);
    for (const timer of this.#timers) timer.stop();
    this.rules = undefined;
    this.star = undefined;
    this.#voters = [];
    for (const connection of this.connections) connection.end();
    this.connections.clear();
    this.#link?.end();
    this.#link = undefined;
  }

  request(connection: Connection, frames: Buffer[]): void {
    const subtree = this.rules?.checkRequest(frames);
    if (subtree === undefined) return;
    const admission = this.star?.request(this.world.simulation.now);
    if (admission === "serve") this.rules?.request(connection.id, subtree, this.world.simulation.now);
    else if (admission === "hold") this.#voters.push([connection, subtree]);
    this.#update();
  }

  collect(frames: Buffer[]): void {
    const { now } = this.world.simulation;
    this.rules?.update(frames, now);
    this.rules?.flush(now);
    this.#update();
  }

  operate(action: (star: BinaryStarRules, now: number) => void): boolean {
    try {
      if (this.star === undefined) return false;
      action(this.star, this.world.simulation.now);
      this.#update();
      return true;
    } catch {
      return false;
    }
  }

  /** Something goes to the disk, after all that went there before. */
  #write(ms: number, done: () => void): void {
    const { simulation } = this.world;
    const disk = this.disk as Disk;
    disk.busyUntil = Math.max(disk.busyUntil, simulation.now) + ms;
    simulation.at(disk.busyUntil, done);
  }

  #update(): void {
    for (const timer of this.#timers) timer.update();
  }

  #publish(frames: Buffer[]): void {
    const { simulation, loss } = this.world;
    if (String(frames[0]) !== "HUGZ") this.world.acknowledges(this, this.rules?.stats().term ?? 0);
    for (const connection of this.connections) {
      if (connection === this.peer.#link) continue;
      const topic = (frames[0] as Buffer).toString("latin1");
      if (topic !== "HUGZ" && !topic.startsWith(connection.subtree)) continue;
      if (simulation.random.chance(loss)) continue;
      connection.send(() => connection.receive("update", frames));
    }
  }

  #reply(kind: "snapshot" | "link", id: Buffer, frames: Buffer[]): SendResult {
    for (const connection of this.connections) {
      if (!connection.id.equals(id)) continue;
      if (kind === "snapshot" && connection.queued >= QUEUE) return "full";
      connection.send(() => connection.receive(kind, frames));
      return "sent";
    }
    return "gone";
  }

  #follow(frames: Buffer[]): void {
    const { world, peer } = this;
    const { simulation } = world;
    if (this.#link?.alive !== true) {
      if (!peer.up || world.cut) return;
      const life = this.#life;
      this.#link = world.connect(
        "\0",
        (_, received) => {
          if (this.#life !== life || !this.up) return;
          this.rules?.follow(received, simulation.now);
          this.rules?.flush(simulation.now);
          this.#update();
        },
        () => undefined,
      );
      peer.connections.add(this.#link);
    }
    const link = this.#link;
    link.send(() => {
      peer.rules?.replica(link.id, frames, simulation.now);
      peer.rules?.flush(simulation.now);
      peer.#update();
    });
  }

  /** The link between the servers is cut. */
  cutLink(): void {
    const link = this.#link;
    if (link === undefined) return;
    link.end();
    this.peer.connections.delete(link);
  }

  #replace(loaded: LoadedMap, wanted: () => boolean): void {
    const disk = this.disk as Disk;
    const { simulation, diskFaults } = this.world;
    if (simulation.random.chance(diskFaults)) {
      this.rules?.replaceFailed(loaded, new Error("disk"), simulation.now);
      this.#update();
      return;
    }
    if (wanted()) {
      disk.standing = encodeStanding(adopted(loaded.standing));
      disk.map = new Map();
      for (const { key, ...entry } of loaded.map.entries(0)) disk.map.set(key.toString("latin1"), entry);
      disk.uuids = uuidsOf(loaded.map.seen());
      disk.sequence = loaded.map.sequence;
    }
    this.rules?.replaced(loaded, this.world.simulation.now);
    this.#update();
  }
}

export class World {
  readonly servers: readonly [Server, Server];
  readonly clients: Client[] = [];
  /** Between the servers. */
  cut = false;
  /** Servers that clients do not reach. */
  readonly unreachable = new Set<string>();
  /** How often a server reported that its map was replaced by a newer one, which may lack updates. */
  diverged = 0;
  #number = 0;
  /** Who acknowledged in each term. */
  readonly #authors = new Map<number, string>();

  constructor(
    readonly simulation: Simulation,
    /** Of publications and updates. */
    public loss: number,
    store: boolean,
    public diskFaults = 0,
  ) {
    const primary = new Server("primary", "primary", this, store);
    const backup = new Server("backup", "backup", this, store);
    primary.peer = backup;
    backup.peer = primary;
    this.servers = [primary, backup];
  }

  get active(): Server | undefined {
    return this.servers.find(({ serving }) => serving);
  }

  /** One serves, and the other has all that it has. */
  get inStep(): boolean {
    // Both have to say so: the one that serves notices after a while only that the other has started again.
    const { active } = this;
    return active?.rules?.stats().replicated === true && active.peer.rules?.stats().replicated === true;
  }

  /** A server publishes an update, which acknowledges it. */
  acknowledges({ name }: Server, term: number): void {
    const author = this.#authors.get(term) ?? name;
    if (author !== name) throw new Error(`${author} and ${name} acknowledge in term ${term}`);
    this.#authors.set(term, author);
  }

  connect(
    subtree: string,
    receive: (kind: "snapshot" | "update" | "link", frames: Buffer[]) => void,
    ended: () => void,
  ): Connection {
    return new Connection(this, subtree, receive, ended, ++this.#number);
  }

  join(subtree = ""): Client {
    const number = ++this.#number;
    const client = new Client(`client-${number}`, subtree, this, number);
    this.clients.push(client);
    return client;
  }

  leave(client: Client): void {
    client.leave();
    this.clients.splice(this.clients.indexOf(client), 1);
  }

  cutServers(): void {
    this.simulation.note("the servers are cut");
    this.cut = true;
    for (const server of this.servers) server.cutLink();
  }
}

/** A table as text, for comparing. */
export function contents(table: CloneTable, prefix = ""): string {
  const lines: string[] = [];
  for (let id = 0; id < table.high; id++) {
    if (!table.isLive(id)) continue;
    const key = table.key(id).toString();
    if (key.startsWith(prefix)) lines.push(`${key}=${table.value(id)}@${table.sequence(id)}`);
  }
  return lines.sort().join("\n");
}
