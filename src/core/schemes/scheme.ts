/** What an endpoint of a transport looks like: one file per scheme, listed in schemes.ts. The engines' transports are apart. */
import { quoted } from "../arguments.js";
import { InvalidArgumentError } from "../errors.js";

/** What an endpoint is given for. */
export type EndpointUse = "bind" | "connect";

/** The grammar of the endpoints of one transport. */
export interface Scheme {
  /** What stands before `://`. */
  readonly name: string;
  /** How an endpoint is written, such as `tcp://HOST:PORT`. */
  readonly form: string;
  /** Whether other processes can reach what is bound there. */
  readonly reachesProcesses: boolean;
  /**
   * Checks an endpoint that has an address and no zero byte.
   *
   * @param address what follows `://`
   * @throws InvalidArgumentError `EINVAL` with what was expected and what came
   */
  check(endpoint: string, address: string, use: EndpointUse): void;
}

/** The error for an endpoint that is not well formed. */
export function badEndpoint(endpoint: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(`Endpoint ${quoted(endpoint)}: ${what}`, { endpoint });
}

/** The part of an endpoint before `://`. */
export function schemeOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.indexOf(":"));
}

/** What follows `://`. */
export function addressOf(endpoint: string): string {
  return endpoint.slice(endpoint.indexOf("://") + 3);
}

/** @throws InvalidArgumentError for an address of more than `max` bytes */
export function checkLength(endpoint: string, address: string, max: number, what: string): void {
  const length = Buffer.byteLength(address);
  if (length > max) throw badEndpoint(endpoint, `an ${what} has at most ${max} bytes; got ${length}`);
}
