/** Internal filters announce services. */

/** No wildcard matches `$`, and programs' topics have no U+0001. */
const PREFIX = "$\u0001service/";

export function serviceRoute(service: string): string {
  return PREFIX + service;
}

/** `undefined`: a program's filter. */
export function serviceOfRoute(filter: string): string | undefined {
  return filter.startsWith(PREFIX) ? filter.slice(PREFIX.length) : undefined;
}
