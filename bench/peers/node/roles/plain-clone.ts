/**
 * Reference for Clone: the same processes with plain sockets, without detection of gaps. They keep no map, or as
 * `plain-map` a plain one.
 *
 *   updates   XPUB server ── key | value ──> SUB clients; full queues make it wait (XPUB_NODROP)
 *   sets      DEALER client ── value ──> ROUTER server, which returns it
 */
import { setImmediate } from "node:timers/promises";
import { Bodies, Checker } from "../../../bodies.js";
import { sumOfChecksums } from "../../../sequences.js";
import type { Kit } from "../kit.js";
import type { Side } from "../side.js";
import { askOnSchedule } from "./asking.js";
import { caseOptions } from "./case-options.js";
import { keysOf } from "./clone.js";
import { plainAsker, receiveAll, send } from "./plain-broker.js";
import { sendWhenPossible } from "./pub-sub.js";
import type { Role, Roles } from "./role.js";

/** Messages per turn: without pauses, the rest of the process would get no turn. */
const BATCH = 500;

/** Sends updates like those of a clone's server: a key and its value. */
async function publish(side: Side, kit: Kit): Promise<void> {
  const socket = new kit.XPublisher({ ...caseOptions(side, "both"), verbosity: "allSubs", noDrop: true });
  await socket.bind(side.endpoint);
  await side.ready(socket.lastEndpoint);
  for (let i = 0; i < side.number("peers", 1); i++) await socket.receive();
  const keys = keysOf(side).map((key) => Buffer.from(key));
  const bodies = new Bodies(side.size);
  side.begin();
  for (let k = 0; k < side.warmup + side.count; k++) {
    const message = [keys[k % keys.length] as Buffer, bodies.make(k)];
    if (!(kit.shoal && socket.trySend(message))) await sendWhenPossible(socket, message);
    if (k % BATCH === BATCH - 1) await setImmediate();
  }
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await socket.close();
}

async function echo(side: Side, kit: Kit): Promise<void> {
  const socket = new kit.Router(caseOptions(side, "both"));
  await socket.bind(side.endpoint);
  let echoed = 0;
  const echoing = receiveAll(kit, socket, (message) => {
    echoed++;
    return send(kit, socket, message);
  });
  await side.ready(socket.lastEndpoint);
  await side.stopped;
  await side.done({ messages: echoed, bytes: echoed * side.size });
  await socket.close();
  await echoing;
}

/**
 * One subscriber: counters of all messages, and the checksum of the final map or of the values that it would hold.
 */
class Reader {
  readonly #side: Side;
  readonly #order: Checker;
  readonly #held: Checker;
  readonly #total: number;
  readonly #first: number;
  readonly #map: Map<string, Buffer> | undefined;
  seen = 0;

  constructor(side: Side) {
    this.#side = side;
    this.#total = side.warmup + side.count;
    this.#first = this.#total - keysOf(side).length;
    this.#order = new Checker(side.size, this.#total);
    this.#held = new Checker(side.size, 0, this.#first);
    this.#map = side.option("api", "") === "plain-map" ? new Map() : undefined;
  }

  get ordered(): boolean {
    return this.#order.ordered && this.#held.ordered;
  }

  get checksum(): string {
    return this.#held.checksum;
  }

  /** Checks the map. Call it once, after all messages. */
  checkMap(keys: readonly string[]): void {
    if (this.#map === undefined) return;
    for (let k = this.#first; k < this.#total; k++) {
      this.#held.take(this.#map.get(keys[k % keys.length] as string) ?? Buffer.alloc(0));
    }
  }

  /** @param onWarm called with the first message of the measured part */
  async read(socket: InstanceType<Kit["Subscriber"]>, kit: Kit, onWarm: () => void): Promise<void> {
    const warm = Math.max(1, this.#side.warmup);
    while (this.seen < this.#total) {
      const max = Math.min(512, this.seen < warm ? warm - this.seen : this.#total - this.seen);
      const messages = kit.shoal ? await socket.receiveMany({ max }) : [await socket.receive()];
      for (const [key, value] of messages) {
        this.#order.take(value as Buffer);
        if (this.#map !== undefined) this.#map.set(String(key), value as Buffer);
        else if (this.seen >= this.#first) this.#held.take(value as Buffer);
        this.seen++;
      }
      if (this.seen === warm) onWarm();
    }
  }
}

async function subscribe(side: Side, kit: Kit): Promise<void> {
  const sockets = Array.from({ length: side.number("sockets", 1) }, () => {
    const socket = new kit.Subscriber(caseOptions(side, "in"));
    socket.subscribe();
    socket.connect(side.endpoint);
    return socket;
  });
  const readers = sockets.map(() => new Reader(side));
  await side.ready();
  let warm = false;
  const begin = (): void => {
    if (!warm) side.begin();
    warm = true;
  };
  await Promise.all(readers.map((reader, i) => reader.read(sockets[i] as (typeof sockets)[0], kit, begin)));
  side.end();
  const keys = keysOf(side);
  for (const reader of readers) reader.checkMap(keys);
  const messages = side.count * sockets.length;
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(readers.map(({ checksum }) => checksum)),
    ordered: readers.every(({ ordered }) => ordered),
    extra: { updates: messages, sockets: sockets.length },
  });
  await Promise.all(sockets.map((socket) => socket.close()));
}

const isOfSets = (side: Side): boolean => side.scenario === "clone-set";

const server: Role = (side, kit) => (isOfSets(side) ? echo(side, kit) : publish(side, kit));
const client: Role = (side, kit) =>
  isOfSets(side) ? askOnSchedule(side, plainAsker(side, kit)) : subscribe(side, kit);

export const roles: Roles = { server, client };
