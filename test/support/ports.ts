/**
 * Ports that are chosen before a program binds them: for servers that cannot choose one, and for programs that return
 * to their endpoint.
 *
 * They are below the ephemeral ports, so that no other socket gets one by chance between a kill and the next start.
 * Agents of a cluster use a port for streams and datagrams. Two processes that search at the same time get different
 * ports: each holds an abstract socket name of Linux with the number, which ends with the process.
 */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { createServer, type Server } from "node:net";

const FIRST = 10_000;
/** Linux uses 32,768 and above, other systems 49,152 and above, as ephemeral ports. */
const END = 32_000;
/** More than can be in use at the same time. */
const MAX_ATTEMPTS = 1_000;

/** Ports returned by this process. A server may not have bound its port yet. */
const given = new Set<number>();
/** Held while the process lives. */
const claims: Server[] = [];

/** Ports that are free on all addresses for streams and datagrams, and that no other caller here gets. */
export async function freePorts(count: number): Promise<[number, number, ...number[]]> {
  const ports: number[] = [];
  for (let attempt = 1; ports.length < count; attempt++) {
    if (attempt > MAX_ATTEMPTS) throw new Error(`no free port in ${MAX_ATTEMPTS} attempts`);
    const port = randomInt(FIRST, END);
    if (await isOurs(port)) ports.push(port);
  }
  return ports as [number, number, ...number[]];
}

/** First of consecutive free ports. */
export async function freeRange(count: number): Promise<number> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    const first = randomInt(FIRST, END - count);
    let found = 0;
    while (found < count && (await isOurs(first + found))) found += 1;
    if (found === count) return first;
  }
  throw new Error(`no ${count} free ports in a row in ${MAX_ATTEMPTS} attempts`);
}

async function isOurs(port: number): Promise<boolean> {
  return (await claim(port)) && (await isFree(port));
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port;
}

async function claim(port: number): Promise<boolean> {
  if (given.has(port)) return false;
  given.add(port);
  if (process.platform !== "linux") return true;
  const server = createServer();
  const isClaimed = await listens(server, { path: `\0shoal-port-${port}` });
  if (isClaimed) claims.push(server.unref());
  return isClaimed;
}

/** Whether a port is free on all addresses for streams and datagrams. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  if (!(await listens(server, { port }))) return false;
  const socket = createSocket("udp4");
  const isFree = await new Promise<boolean>((resolve) => {
    socket.once("error", () => resolve(false)).bind(port, () => resolve(true));
  });
  await Promise.all([
    new Promise((resolve) => server.close(resolve)),
    new Promise<void>((resolve) => socket.close(resolve)),
  ]);
  return isFree;
}

function listens(server: Server, where: { path: string } | { port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    server.once("error", () => resolve(false)).listen(where, () => resolve(true));
  });
}

/** Of an endpoint, which may have a path. */
export function portOf(endpoint: string): number {
  return Number(/:(\d+)(?:\/[^:]*)?$/.exec(endpoint)?.[1]);
}
