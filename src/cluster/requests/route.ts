/** The routes by which nodes know who serves what: filters that no program subscribes to, among those of topics. */

/** It begins with `$`, so that no wildcard matches it, and a program's topics have no such character. */
const PREFIX = "$\u0001service/";

/** The filter, and the topic, of a service. */
export function serviceRoute(service: string): string {
  return PREFIX + service;
}

/** The service of a filter; `undefined`: it is one of a program. */
export function serviceOfRoute(filter: string): string | undefined {
  return filter.startsWith(PREFIX) ? filter.slice(PREFIX.length) : undefined;
}
