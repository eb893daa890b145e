/**
 * A pattern's defaults for options that not every engine has. An engine refuses such an option with `NOT_SUPPORTED`,
 * which suits a program's explicit choice but not a default.
 */
import { describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { Context, context as processContext } from "../../sockets/context.js";

/**
 * @param context of the sockets; `undefined`: the process-wide one. Loads its engine, as the first socket would
 * @param defaults by socket option name
 * @returns the defaults that the engine supports
 * @throws InvalidArgumentError `EINVAL` if `context` is not a Context
 */
export function supportedDefaults<T extends object>(context: Context | undefined, defaults: T): Partial<T> {
  if (context !== undefined && !(context instanceof Context))
    throw new InvalidArgumentError(`Option context is a Context; got ${describe(context)}`);
  const { unsupportedOptions } = (context ?? processContext).load().capabilities;
  const supported = Object.entries(defaults).filter(([name]) => !unsupportedOptions.includes(name));
  return Object.fromEntries(supported) as Partial<T>;
}
