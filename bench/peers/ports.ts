/**
 * Ports for servers that cannot choose one themselves.
 *
 * They lie below those that the system hands out: one of these may be some connection's by the time that a server has started, or has
 * started again after it was killed. Agents of a cluster take a port for streams and for datagrams.
 */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

const FIRST = 10_000;
/** Linux hands out 32,768 and above, others 49,152 and above. */
const END = 32_000;
/** More than can be taken at the same time. */
const MAX_ATTEMPTS = 1_000;

/** Given by this process: a server may not have bound its port yet. */
const given = new Set<number>();

/** A port that nothing was bound to a moment ago, for streams or datagrams; another one each time. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const port = randomInt(FIRST, END);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port in ${MAX_ATTEMPTS} attempts`);
}

/** Whether nothing is bound to a port, on any address. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const socket = createSocket("udp4");
  const results = await Promise.all([
    new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false)).listen(port, () => resolve(true));
    }),
    new Promise<boolean>((resolve) => {
      socket.once("error", () => resolve(false)).bind(port, () => resolve(true));
    }),
  ]);
  await Promise.all([
    new Promise((resolve) => server.close(resolve)),
    new Promise<void>((resolve) => socket.close(resolve)),
  ]);
  return results.every(Boolean);
}
