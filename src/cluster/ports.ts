/**
 * Choice of a port: a preferred one, and a range that a firewall lets through (`ports: "20000-20100"`).
 *
 *   port 0, no range    chosen by the system
 *   port, no range      that one, or an error
 *   a range             the port first, if given, then the first free one of the range
 */
import { describe } from "../core/arguments.js";
import { InvalidArgumentError, TransportError } from "../core/errors.js";

/** Both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** @throws InvalidArgumentError `EINVAL` unless the value is "FIRST-LAST" or one port */
export function parsePorts(value: unknown): PortRange {
  const found = typeof value === "string" ? /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(value) : null;
  const first = Number(found?.[1]);
  const last = Number(found?.[2] ?? found?.[1]);
  if (found === null || first < 1 || last > 65_535 || first > last)
    throw new InvalidArgumentError(
      `ports must be "FIRST-LAST", from 1 to 65,535, such as "20000-20100"; got ${describe(value)}`,
    );
  return { first, last };
}

/**
 * Calls `bind` with one port after the other until one is free.
 *
 * @param port preferred port; 0: none
 * @param bind must leave nothing open when it rejects
 * @throws TransportError `EADDRINUSE` if no port is free; the first other error of `bind`
 */
export async function bindFree<T>(
  port: number,
  range: PortRange | undefined,
  bind: (port: number) => Promise<T>,
): Promise<T> {
  let cause: unknown;
  for (const each of candidates(port, range)) {
    try {
      return await bind(each);
    } catch (error) {
      if ((error as { code?: string }).code !== "EADDRINUSE") throw error;
      cause = error;
    }
  }
  if (range === undefined) throw cause;
  throw new TransportError("EADDRINUSE", `no port from ${range.first} to ${range.last} is free`, { cause });
}

/** A port of the system may not be free for all protocols, so there are some attempts. */
function* candidates(port: number, range: PortRange | undefined): Iterable<number> {
  if (port !== 0) yield port;
  if (range !== undefined) for (let each = range.first; each <= range.last; each++) yield each;
  else if (port === 0) for (let attempt = 0; attempt < 16; attempt++) yield 0;
}
