/**
 * Maps shoal's options to the package's, which have the same names. Only changed values are set: each costs a
 * native call.
 */
import { NotSupportedError } from "../../core/errors.js";
import { hasOption, OPTIONS, type OptionName, type OptionSpec } from "../../core/option-table.js";
import { heartbeatTimeoutOf } from "../../core/option-values.js";
import { type SocketType, type SocketTypeName, socketTypeName } from "../../core/socket-type.js";
import type { EngineOptions } from "../engine.js";

/** Options that libzmq lacks, with their defaults. */
const UNSUPPORTED: Readonly<Record<string, unknown>> = Object.fromEntries(
  Object.entries<OptionSpec>(OPTIONS)
    .filter(([, { only }]) => only !== undefined)
    .map(([name, spec]) => [name, spec.default]),
);

export const UNSUPPORTED_OPTIONS: readonly string[] = Object.keys(UNSUPPORTED);

export function assertSupported(name: string, value: unknown): void {
  if (!Object.hasOwn(UNSUPPORTED, name) || value === undefined || value === UNSUPPORTED[name]) return;
  throw new NotSupportedError(
    `The libzmq engine cannot set the option ${name}: libzmq has none like it; the zmtp engine can`,
  );
}

const NOT_NATIVE = new Set([
  "sendTimeout",
  "receiveTimeout",
  "zapDomain",
  "mandatory",
  "noDrop",
  ...UNSUPPORTED_OPTIONS,
]);

/**
 * libzmq adds no jitter to a doubling interval. Each socket starts at 1 to 1.5 times the interval, so that
 * clients of a restarted server do not reconnect in step.
 */
export function nativeValue(name: string, value: unknown, options: EngineOptions): unknown {
  if (
    name === "reconnectInterval" &&
    typeof value === "number" &&
    value > 0 &&
    Number(options.reconnectMaxInterval) > 0
  ) {
    return Math.round(value * (1 + Math.random() / 2));
  }
  if (name === "heartbeatTimeout")
    return heartbeatTimeoutOf({
      heartbeatInterval: Number(options.heartbeatInterval),
      heartbeatTimeout: Number(value),
    });
  return value;
}

export function optionNames(type: SocketType): OptionName[] {
  const typeName = socketTypeName(type) as SocketTypeName;
  return (Object.keys(OPTIONS) as OptionName[]).filter((name) => {
    const { local }: OptionSpec = OPTIONS[name];
    return local !== true && hasOption(typeName, name);
  });
}

export function nativeOptions(options: EngineOptions, type: SocketType): Record<string, unknown> {
  const chosen: Record<string, unknown> = {};
  for (const name of optionNames(type)) {
    const value = options[name];
    if (value === undefined || value === null || NOT_NATIVE.has(name)) continue;
    const actual = nativeValue(name, value, options);
    const spec: OptionSpec = OPTIONS[name];
    if (actual !== (spec.zeromqDefault ?? spec.default ?? false)) chosen[name] = actual;
  }
  return chosen;
}

export function isNativeOption(name: string): boolean {
  return !NOT_NATIVE.has(name);
}
