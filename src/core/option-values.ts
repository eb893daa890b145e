/**
 * Option values of one socket, shared with its engine and its transports. Defaults are inherited, so iterate
 * over `OPTIONS` to get all.
 */
import { INT32 } from "./option-spec.js";
import { isSecret, OPTIONS, type OptionName, type OptionValues } from "./option-table.js";

/** Includes other types' options: they also bound its peers. */
const DEFAULTS: OptionValues = Object.freeze(
  Object.fromEntries(Object.entries(OPTIONS).map(([name, spec]) => [name, spec.default])),
) as unknown as OptionValues;

/** Heartbeat intervals of silence until a peer is lost, by default. */
const SILENT_INTERVALS = 6;

/** Values by name; `undefined` counts as absent. */
export type GivenOptions = Readonly<Record<string, unknown>>;

export function optionValues(given: GivenOptions): OptionValues {
  const options = Object.create(DEFAULTS) as OptionValues;
  for (const name of Object.keys(given)) {
    const value = given[name];
    if (value !== undefined) setOption(options, name, value);
  }
  return options;
}

/** The same object if it already inherits the defaults. */
export function completeOptions(given: GivenOptions): OptionValues {
  return Object.getPrototypeOf(given) === DEFAULTS ? (given as OptionValues) : optionValues(given);
}

export function copyOptions(options: Readonly<OptionValues>): OptionValues {
  const copy = Object.create(DEFAULTS) as OptionValues;
  for (const name of Object.getOwnPropertyNames(options)) setOption(copy, name, options[name as OptionName]);
  return copy;
}

/** Secrets are not enumerable, and so not shown. */
export function setOption(options: OptionValues, name: string, value: unknown): void {
  // The inherited default is read-only.
  Object.defineProperty(options, name, {
    value,
    writable: true,
    enumerable: !isSecret(name),
    configurable: true,
  });
}

/** ms from a PING until a silent peer is lost; 0 for never. */
export function heartbeatTimeoutOf(options: {
  readonly heartbeatInterval: number;
  readonly heartbeatTimeout: number;
}): number {
  const { heartbeatInterval, heartbeatTimeout } = options;
  return heartbeatTimeout >= 0 ? heartbeatTimeout : Math.min(INT32, SILENT_INTERVALS * heartbeatInterval);
}
