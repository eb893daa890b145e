/** A clone's ports: all of them in a row, or none. */
import { endpointAt } from "./endpoints.js";

/** Times that five free ports in a row are looked for. */
const PORT_TRIES = 50;
const FIRST_PORT = 10_240;
const LAST_PORT = 32_000;

/** A socket that has a place in the row. */
export interface PortOwner {
  readonly offset: number;
  readonly socket: { bind(endpoint: string): Promise<void>; unbind(endpoint: string): Promise<void> };
}

/**
 * @param endpoint of the first, or `tcp://HOST:*`
 * @returns the endpoint of the first
 * @throws TransportError as `bind` does
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
    await Promise.all(bound.map(({ socket, offset }) => socket.unbind(endpointAt(base, offset))));
    throw error;
  }
}
