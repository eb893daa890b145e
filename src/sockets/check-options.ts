/** Checks a program's options, and completes them. */
import { quoted, suggest } from "../core/arguments.js";
import { isBytes } from "../core/bytes.js";
import { InvalidArgumentError, NotSupportedError } from "../core/errors.js";
import {
  type GivenOptions,
  hasOption,
  isSecret,
  OPTIONS,
  type OptionName,
  type OptionSpec,
  type OptionValues,
  optionValues,
  setOption,
} from "../core/option-table.js";
import type { SocketTypeName } from "../core/socket-type.js";
import { whyNoOption } from "../core/system-options.js";
import { isKey } from "../core/z85.js";

export function expected(spec: OptionSpec): string {
  const unit = spec.unit === undefined ? "" : ` (${spec.unit})`;
  switch (spec.kind) {
    case "boolean":
      return "true or false";
    case "integer":
      return `a whole number from ${spec.min} to ${spec.max}${unit}`;
    case "string":
      return `a string of at most ${spec.max} bytes without a zero byte, or null`;
    case "key":
      return "a CURVE key: 40 characters of Z85, or 32 bytes, or null";
    case "bytes":
      return `a string or bytes, at most ${spec.max} bytes, or null`;
    case "choice":
      return `one of ${spec.choices?.map((choice) => JSON.stringify(choice)).join(", ")}`;
  }
}

export function isValid(spec: OptionSpec, value: unknown): boolean {
  switch (spec.kind) {
    case "boolean":
      return typeof value === "boolean";
    case "integer":
      // A bit mask may exceed exact integers, of which the engine warns.
      return (
        Number.isInteger(value) && Number(value) >= Number(spec.min) && Number(value) <= Number(spec.max)
      );
    case "string":
      return (
        value === null ||
        (typeof value === "string" && !value.includes("\0") && Buffer.byteLength(value) <= Number(spec.max))
      );
    case "key":
      return value === null || (isBytes(value) ? value.length === 32 : isKey(value));
    case "bytes": {
      if (value === null) return true;
      if (typeof value !== "string" && !isBytes(value)) return false;
      return Buffer.byteLength(value) <= Number(spec.max);
    }
    case "choice":
      return spec.choices?.includes(value as string | null) === true;
  }
}

/** @throws InvalidArgumentError `EINVAL` with the expected and the actual value */
export function checkOption(type: SocketTypeName, name: string, value: unknown): void {
  if (!hasOption(type, name)) throw unknownOption(type, name);
  const spec: OptionSpec = OPTIONS[name];
  if (!isValid(spec, value)) {
    const got = isSecret(name) ? `a ${typeof value}` : quoted(value);
    const bytes = typeof value === "string" && spec.kind !== "integer" ? Buffer.byteLength(value) : 0;
    const size = bytes > Number(spec.max) ? ` of ${bytes} bytes` : "";
    throw new InvalidArgumentError(`Option ${name} of ${type} must be ${expected(spec)}; got ${got}${size}`);
  }
  if (name === "routingId" && value !== null && Buffer.from(value as string)[0] === 0) {
    // 37/ZMTP, The Identity Property: ids made by a ROUTER begin with zero.
    throw new InvalidArgumentError(`Option routingId must not begin with a zero byte; got ${quoted(value)}`);
  }
}

function unknownOption(type: SocketTypeName, name: string): Error {
  const why = whyNoOption(name);
  if (why !== undefined) return new NotSupportedError(`${type}: ${why}`);
  if (Object.hasOwn(OPTIONS, name)) {
    const on = (OPTIONS[name as OptionName] as OptionSpec).on;
    return new InvalidArgumentError(`${type} has no option ${name}; ${on?.join(", ")} have it`);
  }
  const known = Object.keys(OPTIONS).filter((each) => hasOption(type, each));
  const near = suggest(name, [...known, "context", "authenticate", "codec"]);
  return new InvalidArgumentError(`${type} has no option ${name}${near}`);
}

/** Options other than defaults, without secrets. */
export function readableOptions(options: Readonly<OptionValues>): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const name of Object.keys(OPTIONS) as OptionName[]) {
    const value = options[name];
    if (value !== OPTIONS[name].default)
      shown[name] = isSecret(name) && value !== null ? "[redacted]" : value;
  }
  return shown;
}

/** The program may change its bytes later. */
export function owned(value: unknown): unknown {
  return isBytes(value) ? Buffer.from(value) : value;
}

/**
 * @param given `undefined` values count as absent
 * @param base the context's values, in place of defaults
 * @throws InvalidArgumentError `EINVAL`
 */
export function resolveOptions(
  type: SocketTypeName,
  given: GivenOptions,
  base: Readonly<Partial<OptionValues>> = {},
): OptionValues {
  const resolved = optionValues(base);
  for (const name of Object.keys(given)) {
    const value = given[name];
    if (value === undefined) continue;
    checkOption(type, name, value);
    setOption(resolved, name, owned(value));
  }
  return resolved;
}

/**
 * Checks security options that depend on each other.
 *
 * @throws InvalidArgumentError `EINVAL` that names the missing option, never a key
 */
export function checkSecurity(options: Readonly<Record<string, unknown>>): void {
  const fault = securityFault(options);
  if (fault !== undefined) throw new InvalidArgumentError(fault.message);
}

export function securityFault(options: Readonly<Record<string, unknown>>): SecurityFault | undefined {
  const has = (name: string): boolean => options[name] !== null && options[name] !== undefined;
  const fault = (option: string, message: string): SecurityFault => ({ option, message });
  if (options.curveServer === true && !has("curveSecretKey"))
    return fault("curveServer", "A CURVE server needs the option curveSecretKey");
  if (options.curveServer === true && has("curveServerKey"))
    return fault(
      "curveServerKey",
      "A socket is a CURVE server or a client: curveServer and curveServerKey exclude each other",
    );
  if (has("curveServerKey") && !(has("curvePublicKey") && has("curveSecretKey")))
    return fault(
      "curveServerKey",
      "A CURVE client needs curvePublicKey and curveSecretKey in addition to curveServerKey; curveKeyPair() makes a pair",
    );
  if (options.plainServer === true && has("plainUsername"))
    return fault(
      "plainUsername",
      "A socket is a PLAIN server or a client: plainServer and plainUsername exclude each other",
    );
  if (has("plainPassword") && !has("plainUsername"))
    return fault("plainPassword", "A PLAIN client needs plainUsername in addition to plainPassword");
  if (has("tlsCert") && !has("tlsKey")) return fault("tlsCert", "TLS needs tlsKey in addition to tlsCert");
  if (has("tlsKey") && !has("tlsCert")) return fault("tlsKey", "TLS needs tlsCert in addition to tlsKey");
  return undefined;
}

interface SecurityFault {
  readonly option: string;
  readonly message: string;
}
