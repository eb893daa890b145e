/** Routes that announce services: internal filters among those of topics. */

/** Starts with `$`, which no wildcard matches; the second character cannot occur in a program's topics. */
const PREFIX = "$\u0001service/";

/** Filter and topic of a service. */
export function serviceRoute(service: string): string {
  return PREFIX + service;
}

/** Service of a filter; `undefined`: a program's filter. */
export function serviceOfRoute(filter: string): string | undefined {
  return filter.startsWith(PREFIX) ? filter.slice(PREFIX.length) : undefined;
}
