/** Options unsupported by this engine, and options set too late. */
import { NotSupportedError } from "../../core/errors.js";
import { OPTIONS, type OptionName, type OptionSpec, type OptionValues } from "../../core/option-table.js";

const warned = new Set<string>();

/** Options that decide who connects or through what: only the default is accepted. */
export const UNSUPPORTED_OPTIONS: readonly string[] = Object.entries<OptionSpec>(OPTIONS)
  .filter(([, { zmtp }]) => zmtp === "refused")
  .map(([name]) => name);

/** Warns once per process. @throws NotSupportedError `NOT_SUPPORTED` */
export function assertSupported(name: string, value: unknown): void {
  const spec: OptionSpec | undefined = OPTIONS[name as OptionName];
  if (spec?.zmtp === undefined || value === undefined || value === null || value === spec.default) return;
  if (spec.zmtp === "refused")
    throw new NotSupportedError(
      `The zmtp engine cannot set the option ${name}: Node.js has no call for it; the libzmq engine can`,
    );
  if (warned.has(name)) return;
  warned.add(name);
  process.emitWarning(`The option ${name} has no effect: Node.js has no call for it; the libzmq engine has`, {
    type: "ShoalWarning",
    code: "SHOAL_NO_EFFECT",
  });
}

export function assertAllSupported(options: Readonly<OptionValues>): void {
  for (const name of Object.getOwnPropertyNames(options)) assertSupported(name, options[name as OptionName]);
}

/** Warns of an option set too late, and of an inexact number, in the texts of the package `zeromq`. */
export function warnOfOption(name: string, value: unknown, attached: boolean): void {
  if (typeof value === "number" && value > Number.MAX_SAFE_INTEGER)
    process.emitWarning(
      "Value is larger than Number.MAX_SAFE_INTEGER and may have been rounded inaccurately.",
    );
  const spec: OptionSpec | undefined = OPTIONS[name as OptionName];
  if (attached && spec?.live !== true)
    process.emitWarning("Socket option will not take effect until next connect/bind.");
}
