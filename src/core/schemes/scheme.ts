/** The grammar of endpoints, listed in schemes.ts. */
import { invalidArgument, quoted } from "../arguments.js";
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

const MAX_INPROC_NAME = 255;

export const INPROC: Scheme = {
  name: "inproc",
  form: "inproc://NAME",
  reachesProcesses: false,
  check: (endpoint, address) => checkLength(endpoint, address, MAX_INPROC_NAME, "inproc name"),
};

/**
 * @param transports the engine's @param find the schemes of this platform @param otherwise what to do about another transport
 * @throws InvalidArgumentError `EINVAL` for a malformed endpoint; TransportError `EPROTONOSUPPORT` for an
 * unknown transport, `ENAMETOOLONG` for a long ipc path
 */
export function checkForm(
  endpoint: unknown,
  use: EndpointUse,
  transports: readonly string[],
  find: (name: string) => Scheme | undefined,
  otherwise = "",
): asserts endpoint is string {
  if (typeof endpoint !== "string")
    throw invalidArgument('An endpoint must be a string such as "tcp://127.0.0.1:5555"', endpoint);
  const at = endpoint.indexOf("://");
  if (at <= 0)
    throw badEndpoint(endpoint, `expected TRANSPORT://ADDRESS with one of ${transports.join(", ")}`);
  if (endpoint.includes("\0")) throw badEndpoint(endpoint, "must not contain a zero byte");
  const name = endpoint.slice(0, at);
  const address = endpoint.slice(at + 3);
  if (!transports.includes(name)) {
    throw new TransportError(
      "EPROTONOSUPPORT",
      `Endpoint ${quoted(endpoint)}: the transport must be one of ${transports.join(", ")}; got ${quoted(name)}${otherwise}`,
      { endpoint },
    );
  }
  if (address === "") throw badEndpoint(endpoint, `expected an address after ${name}://`);
  find(name)?.check(endpoint, address, use);
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
