/**
 * Reference for Clone: the same processes with plain sockets, without detection of gaps and without a map.
 *
 *   updates   XPUB server ── key | value ──> SUB clients; full queues make it wait (XPUB_NODROP)
 *   sets      DEALER client ── value ──> ROUTER server, which returns it
 */
import { setImmediate } from "node:timers/promises";
import { Bodies, Checker } from "../../../bodies.js";
import type { Kit } from "../kit.js";
import { Receiving, type Stream } from "../receiving.js";
import type { Side } from "../side.js";
import { askOnSchedule } from "./asking.js";
import { caseOptions } from "./case-options.js";
import { keysOf } from "./clone.js";
import { some } from "./feed.js";
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
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) side.begin();
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

/** Checks the order of all messages, and the values that a map would hold at the end. */
class Held {
  readonly #order: Checker;
  readonly #values: Checker;
  readonly #first: number;
  #seen = 0;

  constructor(side: Side) {
    const total = side.warmup + side.count;
    this.#first = total - keysOf(side).length;
    this.#order = new Checker(side.size, total);
    this.#values = new Checker(side.size, 0, this.#first);
  }

  get ordered(): boolean {
    return this.#order.ordered && this.#values.ordered;
  }

  get checksum(): string {
    return this.#values.checksum;
  }

  take(value: Uint8Array): void {
    this.#order.take(value);
    if (this.#seen >= this.#first) this.#values.take(value);
    this.#seen++;
  }
}

async function subscribe(side: Side, kit: Kit): Promise<void> {
  const sockets = Array.from({ length: side.number("sockets", 1) }, () => {
    const socket = new kit.Subscriber(caseOptions(side, "in"));
    socket.subscribe();
    socket.connect(side.endpoint);
    return socket;
  });
  const receiving = new Receiving(
    side,
    sockets.map(() => new Held(side)),
  );
  await side.ready();
  const read = async (socket: InstanceType<Kit["Subscriber"]>, at: number) => {
    const stream = receiving.streams[at] as Stream;
    for (let isOver = false; !isOver; )
      for (const [, value] of await some(kit, socket, stream.room)) isOver = stream.take(value as Buffer);
  };
  await Promise.all(sockets.map(read));
  const outcome = receiving.outcome();
  await side.done({ ...outcome, extra: { updates: outcome.messages, sockets: sockets.length } });
  await Promise.all(sockets.map((socket) => socket.close()));
}

const isOfSets = (side: Side): boolean => side.scenario === "clone-set";

const server: Role = (side, kit) => (isOfSets(side) ? echo(side, kit) : publish(side, kit));
const client: Role = (side, kit) =>
  isOfSets(side) ? askOnSchedule(side, plainAsker(side, kit)) : subscribe(side, kit);

export const roles: Roles = { server, client };
