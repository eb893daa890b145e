/** A clone's server that sets keys as fast as its clients read, and processes with many clients. */
import { setImmediate } from "node:timers/promises";
import { CloneClient, CloneServer } from "shoal/patterns";
import { Bodies, Checker } from "../../../bodies.js";
import { sumOfChecksums } from "../../../sequences.js";
import type { Side } from "../side.js";
import { CreditGiver, CreditTaker } from "./credit.js";
import type { Role, Roles } from "./role.js";

/** Updates between two reports of a reader, which polls each ms. A client's queue holds two of them, and 16 MiB. */
const windowOf = ({ size }: Side): number => Math.min(10_000, Math.ceil(4_194_304 / size));
/** Updates of the program per turn. */
const BATCH = 500;

/** Update k sets key k mod n; a run of fewer updates than keys has as many keys as updates. */
export function keysOf(side: Side): string[] {
  const count = Math.min(side.number("keys", 1_000), side.warmup + side.count);
  return Array.from({ length: count }, (_, i) => `/bench/${String(i).padStart(8, "0")}`);
}

const totalOf = (side: Side): number => side.warmup + side.count;

const server: Role = async (side, kit) => {
  const clone = new CloneServer({ socketOptions: { backlog: side.number("backlog", 511) } });
  const endpoint = await clone.bind(side.endpoint);
  const own = side.endpoint.startsWith("tcp:") ? "tcp://127.0.0.1:*" : `${side.endpoint}-credit`;
  const credit = await CreditTaker.bind(kit, own, side.number("processes", 1), windowOf(side));
  await side.ready(endpoint, credit.endpoint);
  const keys = keysOf(side).map((key) => Buffer.from(key));
  const bodies = new Bodies(side.size);
  for (let k = 0; k < totalOf(side); k++) {
    if (k === side.warmup) side.begin();
    while (k >= credit.allowed) await credit.more();
    if (!clone.set(keys[k % keys.length] as Buffer, bodies.make(k)))
      throw new Error(`the server did not take update ${k}`);
    if (k % BATCH === BATCH - 1) await setImmediate();
  }
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await credit.close();
  await clone.close();
};

/**
 * Checks the map: the last value of every key.
 * @throws Error for a wrong map
 */
function checked(client: CloneClient, side: Side, keys: readonly string[]): Checker {
  const first = totalOf(side) - keys.length;
  const checker = new Checker(side.size, 0, first);
  for (let k = first; k < totalOf(side); k++) {
    const value = client.get(keys[k % keys.length] as string);
    if (value === undefined) throw new Error(`a map has no value of update ${k}`);
    checker.take(value);
  }
  const { gaps, old, faults, snapshots } = client.stats();
  if (gaps !== 0 || old !== 0 || faults !== 0 || snapshots !== 1 || client.size !== keys.length)
    throw new Error(`a map is not right: ${JSON.stringify(client.stats())}`);
  return checker;
}

const client: Role = async (side, kit) => {
  const clients = Array.from({ length: side.number("sockets", 1) }, () => new CloneClient(side.endpoint));
  await Promise.all(clients.map((client) => client.ready()));
  const credit = new CreditGiver(kit, side.endpointOf("server/backend"), side.index, windowOf(side));
  const sum = (): number => clients.reduce((all, { sequence }) => all + sequence, 0);
  let before = 0;
  await side.ready();
  credit.hello();
  await new Promise<void>((resolve) => {
    // Polling, since a watch would add a cost to each update, which is not part of the question.
    const timer = setInterval(() => {
      const least = Math.min(...clients.map(({ sequence }) => sequence));
      credit.has(least);
      if (before === 0 && least >= Math.max(1, side.warmup)) {
        before = sum();
        side.begin();
      }
      if (least < totalOf(side)) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  side.end();
  const updates = sum() - before;
  const keys = keysOf(side);
  const checkers = clients.map((one) => checked(one, side, keys));
  const messages = side.count * clients.length;
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(checkers.map(({ checksum }) => checksum)),
    ordered: checkers.every(({ ordered }) => ordered),
    // The clock runs between two polls, and these updates arrived between them.
    extra: { updates, sockets: clients.length },
  });
  await Promise.all([credit.close(), ...clients.map((one) => one.close())]);
};

export const roles: Roles = { server, client };
