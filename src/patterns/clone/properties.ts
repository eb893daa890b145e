/**
 * The properties of an update: lines `name=value`, each with its line feed
 * (12/CHP, Server-to-Client Updates).
 *
 * `ttl` is a time to live in seconds, 0 for none. A client always sends it: servers
 * of the Guide in C read it without looking whether it is there. Whole seconds are
 * what those understand; parts of a second only servers that read decimals.
 */
const LINE_FEED = 0x0a;
const EQUALS = 0x3d;
const T = 0x74;

/** Seconds from which on a time to live cannot be one: the Guide's servers mean a date by such a number. */
const ABSOLUTE = 1_000_000_000;
const NONE = Buffer.from("ttl=0\n");

/** The value of a property, the first of its name; `undefined` when there is none. */
export function property(properties: Buffer, name: string): string | undefined {
  let start = 0;
  while (start < properties.length) {
    let end = properties.indexOf(LINE_FEED, start);
    if (end < 0) end = properties.length;
    const equals = properties.indexOf(EQUALS, start);
    if (equals >= start && equals < end && properties.toString("latin1", start, equals) === name)
      return properties.toString("latin1", equals + 1, end);
    start = end + 1;
  }
  return undefined;
}

/** ms of the time to live; 0: none; `undefined`: it is no time to live. */
export function timeToLive(properties: Buffer): number | undefined {
  const { length } = properties;
  // What every client without a time to live sends.
  if (length === 0 || (length === NONE.length && properties[0] === T && NONE.equals(properties))) return 0;
  const text = property(properties, "ttl");
  if (text === undefined || text === "") return 0;
  if (!/^[0-9]{1,12}(\.[0-9]{1,9})?$/.test(text)) return undefined;
  const seconds = Number(text);
  return seconds < ABSOLUTE ? Math.ceil(seconds * 1_000) : undefined;
}

/** @param ttl ms; 0: none */
export function encodeTimeToLive(ttl: number): Buffer {
  return ttl === 0 ? NONE : Buffer.from(`ttl=${ttl / 1_000}\n`);
}
