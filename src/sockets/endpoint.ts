/**
 * Endpoints: what a program may pass to bind and connect, checked before an
 * engine sees it, so that every engine refuses the same things with the same words.
 *
 *   tcp://HOST:PORT   bind: HOST is *, an address, [v6] or an interface; PORT 0…65535 or *
 *                     connect: HOST is a name or address; PORT 1…65535; SOURCE; before HOST binds the source
 *   ipc://PATH        a path of at most 107 bytes; * makes a temporary one; @NAME is abstract (Linux)
 *   inproc://NAME     any name of 1 to 255 bytes
 */
import { InvalidArgumentError, TransportError } from "../core/errors.js";

const MAX_IPC_PATH = 107;
const MAX_INPROC_NAME = 255;

function bad(endpoint: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(`Endpoint ${JSON.stringify(endpoint)}: ${what}`, { endpoint });
}

/**
 * Checks an endpoint's form.
 *
 * @param transports what the engine can do
 * @throws InvalidArgumentError `EINVAL` with what was expected and what came
 * @throws TransportError `EPROTONOSUPPORT` for a transport the engine does not have
 */
export function checkEndpoint(
  endpoint: unknown,
  use: "bind" | "connect",
  transports: readonly string[],
): void {
  if (typeof endpoint !== "string") {
    throw new InvalidArgumentError(
      `An endpoint is a string such as "tcp://127.0.0.1:5555"; got ${endpoint === null ? "null" : typeof endpoint}`,
    );
  }
  const at = endpoint.indexOf("://");
  if (at <= 0) throw bad(endpoint, `expected TRANSPORT://ADDRESS with one of ${transports.join(", ")}`);
  if (endpoint.includes("\0")) throw bad(endpoint, "must not contain a zero byte");
  const transport = endpoint.slice(0, at);
  const address = endpoint.slice(at + 3);
  if (!transports.includes(transport)) {
    throw new TransportError(
      "EPROTONOSUPPORT",
      `Endpoint ${JSON.stringify(endpoint)}: this engine's transports are ${transports.join(", ")}; got ${JSON.stringify(transport)}`,
      { endpoint },
    );
  }
  if (address === "") throw bad(endpoint, `expected an address after ${transport}://`);
  if (transport === "tcp") checkTcp(endpoint, address, use);
  else if (transport === "ipc") checkLength(endpoint, address, MAX_IPC_PATH, "ipc path");
  else if (transport === "inproc") checkLength(endpoint, address, MAX_INPROC_NAME, "inproc name");
  if (use === "connect" && transport === "ipc" && address === "*")
    throw bad(endpoint, "only bind takes the path *");
}

function checkLength(endpoint: string, address: string, max: number, what: string): void {
  const length = Buffer.byteLength(address);
  if (length > max) throw bad(endpoint, `an ${what} has at most ${max} bytes; got ${length}`);
}

function checkTcp(endpoint: string, address: string, use: "bind" | "connect"): void {
  const source = address.indexOf(";");
  if (source >= 0 && use === "bind") throw bad(endpoint, "only connect takes a source address");
  const target = source < 0 ? address : address.slice(source + 1);
  const colon = target.lastIndexOf(":");
  if (colon <= 0 || target.endsWith("]")) throw bad(endpoint, "expected tcp://HOST:PORT");
  const host = target.slice(0, colon);
  const port = target.slice(colon + 1);
  if (host.includes(":") && !(host.startsWith("[") && host.endsWith("]"))) {
    throw bad(endpoint, "an IPv6 address stands in brackets, tcp://[ADDRESS]:PORT");
  }
  if (use === "connect" && host === "*") throw bad(endpoint, "connect needs a host; * is for bind");
  if (port === "*") {
    if (use === "connect") throw bad(endpoint, "connect needs a port; * is for bind");
    return;
  }
  const number = Number(port);
  const min = use === "bind" ? 0 : 1;
  if (!/^\d{1,5}$/.test(port) || number > 65_535 || number < min) {
    throw bad(
      endpoint,
      `the port is a number from ${min} to 65535${use === "bind" ? " or *" : ""}; got ${JSON.stringify(port)}`,
    );
  }
}
