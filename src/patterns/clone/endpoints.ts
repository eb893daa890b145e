/**
 * Ports of a server. Over ipc and inproc: NAME, NAME-1 … NAME-4.
 *
 *   P      snapshots    ROUTER
 *   P + 1  publisher    PUB
 *   P + 2  collector    SUB
 *   P + 3  the pair's states (Binary Star), PUB        only in a pair
 *   P + 4  replication  ROUTER                         only in a pair
 */
import { invalidArgument, quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";

const MAX_PORT = 65_535;

/** The endpoints of a server for clients. */
export interface CloneEndpoints {
  readonly snapshot: string;
  readonly publisher: string;
  readonly collector: string;
}

/** @throws InvalidArgumentError `EINVAL` */
export function endpointAt(base: string, offset: number): string {
  if (typeof base !== "string" || base === "")
    throw invalidArgument("A clone's endpoint must be such as tcp://HOST:5556", base);
  if (/^(?:tls|wss?):/.test(base))
    throw new InvalidArgumentError(
      `A clone's endpoint must be tcp://HOST:PORT, ipc://PATH or inproc://NAME; got ${quoted(base)}`,
      { endpoint: base },
    );
  if (!base.startsWith("tcp://")) return offset === 0 ? base : `${base}-${offset}`;
  const [, host = "", text = ""] = /^(.*):([0-9]+)$/.exec(base) ?? [];
  const port = Number(text);
  if (host === "" || port < 1 || port + 4 > MAX_PORT) {
    const message = `Endpoint ${quoted(base)}: a clone's port must be a number from 1 to ${MAX_PORT - 4}`;
    throw new InvalidArgumentError(message, { endpoint: base });
  }
  return `${host}:${port + offset}`;
}

/** @throws InvalidArgumentError `EINVAL` */
export function endpointsOf(server: string): CloneEndpoints {
  return {
    snapshot: endpointAt(server, 0),
    publisher: endpointAt(server, 1),
    collector: endpointAt(server, 2),
  };
}

const PORT_TRIES = 50;
const FIRST_PORT = 10_240;
const LAST_PORT = 32_000;

export interface PortOwner {
  readonly offset: number;
  /** One without `unbind` is bound last. */
  readonly socket: { bind(endpoint: string): Promise<unknown>; unbind?(endpoint: string): Promise<void> };
}

/**
 * @param endpoint of the first, or `tcp://HOST:*`
 * @returns the endpoint of the first
 */
export async function bindRow(endpoint: string, owners: readonly PortOwner[]): Promise<string> {
  const found = /^(tcp:\/\/.*):\*$/.exec(endpoint);
  if (found === null) {
    await bindAt(endpoint, owners);
    return endpoint;
  }
  for (let tries = PORT_TRIES; ; tries--) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    const base = `${found[1]}:${port}`;
    try {
      await bindAt(base, owners);
      return base;
    } catch (error) {
      if ((error as { code?: string }).code !== "EADDRINUSE" || tries <= 1) throw error;
    }
  }
}

async function bindAt(base: string, owners: readonly PortOwner[]): Promise<void> {
  const bound: PortOwner[] = [];
  try {
    for (const owner of owners) {
      await owner.socket.bind(endpointAt(base, owner.offset));
      bound.push(owner);
    }
  } catch (error) {
    await Promise.all(bound.map(({ socket, offset }) => socket.unbind?.(endpointAt(base, offset))));
    throw error;
  }
}

export const HANDSHAKE_ERRORS = [
  "handshake:error:auth",
  "handshake:error:protocol",
  "handshake:error:other",
] as const;
