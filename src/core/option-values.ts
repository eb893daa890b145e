/**
 * The values of a socket's options, in one object that the socket, its engine and its transports read:
 *
 *   own          what it was given, and what was set since
 *   inherited    the defaults, from one frozen table that all sockets share
 *
 * So a socket that was given nothing has an object of a few words, whatever the number of options, and what a program sets
 * is seen by all who have the object. Loops and spreading see its own values only: go through
 * `OPTIONS` for all of them.
 */
import { INT32 } from "./option-spec.js";
import { isSecret, OPTIONS, type OptionName, type OptionValues } from "./option-table.js";

/** Of all options, those that a socket's type does not have included: they bound what its peers do, too. */
const DEFAULTS: OptionValues = Object.freeze(
  Object.fromEntries(Object.entries(OPTIONS).map(([name, spec]) => [name, spec.default])),
) as unknown as OptionValues;

/** Intervals of heartbeats that a silent peer has by default. */
const SILENT_INTERVALS = 6;

/** Values by name; `undefined` counts as absent. */
export type GivenOptions = Readonly<Record<string, unknown>>;

/** @param given values that were checked (sockets/options.ts) */
export function optionValues(given: GivenOptions): OptionValues {
  const options = Object.create(DEFAULTS) as OptionValues;
  for (const name of Object.keys(given)) {
    const value = given[name];
    if (value !== undefined) setOption(options, name, value);
  }
  return options;
}

/** The same object where it has all options already. */
export function completeOptions(given: GivenOptions): OptionValues {
  return Object.getPrototypeOf(given) === DEFAULTS ? (given as OptionValues) : optionValues(given);
}

/** What they are now: what is set later does not change the copy. */
export function copyOptions(options: Readonly<OptionValues>): OptionValues {
  const copy = Object.create(DEFAULTS) as OptionValues;
  for (const name of Object.getOwnPropertyNames(options)) setOption(copy, name, options[name as OptionName]);
  return copy;
}

/** Sets an option to a value that was checked. `util.inspect`, loops and spreading see no secrets. */
export function setOption(options: OptionValues, name: string, value: unknown): void {
  // Not assigned: the default that it inherits is read-only.
  Object.defineProperty(options, name, {
    value,
    writable: true,
    enumerable: !isSecret(name),
    configurable: true,
  });
}

/** ms from a PING until a peer that nothing is heard of is lost; 0: never. */
export function heartbeatTimeoutOf(options: {
  readonly heartbeatInterval: number;
  readonly heartbeatTimeout: number;
}): number {
  const { heartbeatInterval, heartbeatTimeout } = options;
  return heartbeatTimeout >= 0 ? heartbeatTimeout : Math.min(INT32, SILENT_INTERVALS * heartbeatInterval);
}
