/**
 * Defaults of a pattern for socket options that not every engine has. An engine without one refuses any value but the
 * socket's own default (`NOT_SUPPORTED`): right for what a program asks for, wrong for what it left open.
 */
import { describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { Context, context as processContext } from "../../sockets/context.js";

/**
 * @param context of the sockets; `undefined`: the process-wide one. Its engine is loaded, as the first socket would
 * @param defaults by the names of the socket options
 * @returns those that the engine can set
 * @throws InvalidArgumentError `EINVAL` for what is not a Context
 */
export function supportedDefaults<T extends object>(context: Context | undefined, defaults: T): Partial<T> {
  if (context !== undefined && !(context instanceof Context))
    throw new InvalidArgumentError(`Option context is a Context; got ${describe(context)}`);
  const { unsupportedOptions } = (context ?? processContext).load().capabilities;
  const supported = Object.entries(defaults).filter(([name]) => !unsupportedOptions.includes(name));
  return Object.fromEntries(supported) as Partial<T>;
}
