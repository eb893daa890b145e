/** How a command fails: a line on standard error, and exit code 1 (failure, timeouts included) or 2 (bad usage). */
import { InvalidArgumentError, ShoalError } from "../index.js";
import { causeOf } from "../sockets/stalls.js";

/** Exit code 1. */
export class Failure extends Error {}

/** The command line is invalid. Exit code 2. */
export class UsageError extends Error {}

/** A failure that was already reported. */
export class Reported extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`Exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** Standard input is invalid. Exit code 1, after everything before the fault is delivered. */
export class InputError extends Failure {}

/** A line is not a message. {@link InputError} adds its number. */
export class FormatError extends Error {}

/** An error in one line. */
export function describe(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.trim().replaceAll(/\s*\n\s*/g, " ");
}

/** With the error's cause in parentheses. */
export function describeDeep(error: unknown): string {
  const { cause } = error as Error;
  return cause === undefined ? describe(error) : `${describe(error)} (${describe(cause)})`;
}

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}

/**
 * The failure of a wait that ended early, with the library's reason; any other error unchanged.
 * @param late at its timeout @param stopped after a signal
 */
export function waitFailed(
  error: unknown,
  late: string,
  stopped = "stopped before every message was delivered",
): unknown {
  if (hasCode(error, "ABORT_ERR")) return new Failure(stopped);
  if (!hasCode(error, "EAGAIN") && !hasCode(error, "ETIMEDOUT")) return error;
  const { cause } = error as Error;
  if (!(cause instanceof ShoalError)) return new Failure(late);
  const at = cause.endpoint === undefined ? "" : `${cause.endpoint}: `;
  return new Failure(`${late} (${at}${causeOf(cause)})`);
}

/** Runs an action with arguments of the command line. Errors for invalid arguments become bad usage. */
export async function asUsage<T>(action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const usage =
      error instanceof InvalidArgumentError ||
      (error instanceof ShoalError && ["EPROTONOSUPPORT", "ENAMETOOLONG"].includes(error.code));
    throw usage ? new UsageError(error.message) : error;
  }
}
