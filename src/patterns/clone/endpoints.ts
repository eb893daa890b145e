/**
 * A clone's ports: P and those after it.
 *
 *   P      snapshots    ROUTER
 *   P + 1  publisher    PUB
 *   P + 2  collector    SUB
 *   P + 3  the pair's states (Binary Star), PUB        only of two servers
 *   P + 4  replication  ROUTER                         only of two servers
 *
 * Over ipc and inproc they are NAME, NAME-1 … NAME-4.
 */
import { InvalidArgumentError } from "../../core/errors.js";

const MAX_PORT = 65_535;

/** The endpoints of a server, from its first one. */
export interface CloneEndpoints {
  readonly snapshot: string;
  readonly publisher: string;
  readonly collector: string;
  /** The server's public key with CURVE, over that in `socketOptions`: for two servers with a certificate each. */
  readonly curveServerKey?: string | Uint8Array;
}

/** @param offset of the port. @throws InvalidArgumentError `EINVAL` */
export function endpointAt(base: string, offset: number): string {
  if (typeof base !== "string" || base === "")
    throw new InvalidArgumentError(`A clone's endpoint is such as tcp://HOST:5556; got ${String(base)}`);
  if (!base.startsWith("tcp://")) return offset === 0 ? base : `${base}-${offset}`;
  const [, host = "", text = ""] = /^(.*):([0-9]+)$/.exec(base) ?? [];
  const port = Number(text);
  if (host === "" || port < 1 || port + 4 > MAX_PORT) {
    const message = `Endpoint ${JSON.stringify(base)}: a clone's port is a number from 1 to ${MAX_PORT - 4}`;
    throw new InvalidArgumentError(message, { endpoint: base });
  }
  return `${host}:${port + offset}`;
}

/** @throws InvalidArgumentError `EINVAL` */
export function endpointsOf(server: string | CloneEndpoints): CloneEndpoints {
  if (typeof server === "string") {
    return {
      snapshot: endpointAt(server, 0),
      publisher: endpointAt(server, 1),
      collector: endpointAt(server, 2),
    };
  }
  const { snapshot, publisher, collector, curveServerKey } = server ?? {};
  for (const endpoint of [snapshot, publisher, collector]) {
    if (typeof endpoint !== "string" || endpoint === "")
      throw new InvalidArgumentError("A server has the endpoints snapshot, publisher and collector");
  }
  return { snapshot, publisher, collector, ...(curveServerKey === undefined ? {} : { curveServerKey }) };
}
