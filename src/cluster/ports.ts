/**
 * Choice of a port: a preferred one, and a range that a firewall lets through (`ports: "20000-20100"`).
 *
 *   port 0, no range    chosen by the system
 *   port, no range      that one, or an error
 *   a range             the port first, if given, then the first free one of the range
 */
import { invalidArgument } from "../core/arguments.js";
import { TransportError } from "../core/errors.js";

/** Both included. @throws InvalidArgumentError `EINVAL` unless the value is "FIRST-LAST" or one port */
function rangeOf(value: unknown): readonly [first: number, last: number] {
  const found = typeof value === "string" ? /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(value) : null;
  const first = Number(found?.[1]);
  const last = Number(found?.[2] ?? found?.[1]);
  if (found === null || first < 1 || last > 65_535 || first > last)
    throw invalidArgument('ports must be "FIRST-LAST", from 1 to 65,535, such as "20000-20100"', value);
  return [first, last];
}

/** @returns "FIRST-LAST", also for one port @throws as `rangeOf` */
export function checkPorts(value: string | undefined): string | undefined {
  return value === undefined ? undefined : rangeOf(value).join("-");
}

/**
 * Calls `bind` with one port after the other until one is free.
 *
 * @param port preferred port; 0: none
 * @param ports "FIRST-LAST"
 * @param bind must leave nothing open when it rejects
 * @throws TransportError `EADDRINUSE` if no port is free; the first other error of `bind`
 */
export async function bindFree<T>(
  port: number,
  ports: string | undefined,
  bind: (port: number) => Promise<T>,
): Promise<T> {
  let cause: unknown;
  for (const each of candidates(port, ports)) {
    try {
      return await bind(each);
    } catch (error) {
      if ((error as { code?: string }).code !== "EADDRINUSE") throw error;
      cause = error;
    }
  }
  if (ports === undefined) throw cause;
  throw new TransportError("EADDRINUSE", `no port of ${ports} is free`, { cause });
}

/** A port of the system may not be free for all protocols, so there are some attempts. */
function* candidates(port: number, ports: string | undefined): Iterable<number> {
  if (port !== 0) yield port;
  if (ports !== undefined) {
    const [first, last] = rangeOf(ports);
    for (let each = first; each <= last; each++) if (each !== port) yield each;
  } else if (port === 0) for (let attempt = 0; attempt < 16; attempt++) yield 0;
}
