/**
 * Ports that a firewall lets through: one that is well known, tried first, and a range (`ports: "20000-20100"`).
 *
 *   port 0, no range    by the system
 *   port, no range      that one, or an error
 *   a range             the port first where one is given, then the range from its beginning; the first that is free
 */
import { describe } from "../core/arguments.js";
import { InvalidArgumentError, TransportError } from "../core/errors.js";

/** Ports that the system is asked for until one is free for everything. */
const PORT_ATTEMPTS = 16;

/** Ports from the first to the last. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** @throws InvalidArgumentError `EINVAL` for what is not "FIRST-LAST" or one port */
export function parsePorts(value: unknown): PortRange {
  const found = typeof value === "string" ? /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(value) : null;
  const first = Number(found?.[1]);
  const last = Number(found?.[2] ?? found?.[1]);
  if (found === null || first < 1 || last > 65_535 || first > last)
    throw new InvalidArgumentError(
      `ports is "FIRST-LAST", from 1 to 65,535, such as "20000-20100"; got ${describe(value)}`,
    );
  return { first, last };
}

/**
 * Calls `bind` with a port after the other until one is free.
 *
 * @param port 0: none is preferred
 * @param bind leaves nothing open where it rejects
 * @throws TransportError `EADDRINUSE` where none is; the first other error of `bind`
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

function* candidates(port: number, range: PortRange | undefined): Iterable<number> {
  if (port !== 0) yield port;
  if (range !== undefined) for (let each = range.first; each <= range.last; each++) yield each;
  else if (port === 0) for (let attempt = 0; attempt < PORT_ATTEMPTS; attempt++) yield 0;
}
