/** The grammar of endpoints, listed in schemes.ts. */
import { quoted } from "../arguments.js";
import { InvalidArgumentError, TransportError } from "../errors.js";

export type EndpointUse = "bind" | "connect";

export interface Scheme {
  /** The part before `://`. */
  readonly name: string;
  /** Such as `tcp://HOST:PORT`. */
  readonly form: string;
  readonly reachesProcesses: boolean;
  /** @param address the part after `://`, not empty @throws InvalidArgumentError `EINVAL`; TransportError `ENAMETOOLONG` (ipc) */
  check(endpoint: string, address: string, use: EndpointUse): void;
}

export function badEndpoint(endpoint: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(`Endpoint ${quoted(endpoint)}: ${what}`, { endpoint });
}

export function schemeOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.indexOf(":"));
}

export function addressOf(endpoint: string): string {
  return endpoint.slice(endpoint.indexOf("://") + 3);
}

/** @throws InvalidArgumentError `EINVAL` for an address of more than `max` bytes */
export function checkLength(endpoint: string, address: string, max: number, what: string): void {
  const length = Buffer.byteLength(address);
  if (length > max) throw badEndpoint(endpoint, `an ${what} has at most ${max} bytes; got ${length}`);
}

const MAX_IPC_PATH = 107;

/** libuv would cut a longer path off. @throws TransportError `ENAMETOOLONG` */
export function checkIpcPath(endpoint: string, path: string): void {
  const length = Buffer.byteLength(path);
  if (length <= MAX_IPC_PATH) return;
  const message = `Endpoint ${quoted(endpoint)}: an ipc path has at most ${MAX_IPC_PATH} bytes; got ${length}`;
  throw new TransportError("ENAMETOOLONG", message, { endpoint });
}
