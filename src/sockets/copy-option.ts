/** Send options about the ownership of memory. */
import { invalidArgument } from "../core/arguments.js";
import { copyOf } from "../core/bytes.js";
import { InvalidArgumentError } from "../core/errors.js";
import { WAIT_OPTIONS } from "../core/waiter.js";
import type { OutgoingMessage } from "../engine/engine.js";

interface WithCopy {
  readonly copy?: boolean | undefined;
}

export const TRY_OPTIONS: readonly string[] = ["copy", "transfer"];
export const SEND_OPTIONS: readonly string[] = [...TRY_OPTIONS, ...WAIT_OPTIONS];

/** @throws InvalidArgumentError `EINVAL` for an invalid `copy` or `transfer`, or both */
export function checkMemory(
  options: { readonly copy?: unknown; readonly transfer?: unknown } | undefined,
): void {
  const copy = options?.copy;
  if (copy !== undefined && typeof copy !== "boolean")
    throw invalidArgument("copy must be true or false", copy);
  if (options?.transfer !== undefined) checkTransfer(options.transfer, copy);
}

function checkTransfer(transfer: unknown, copy: boolean | undefined): void {
  if (typeof transfer !== "boolean") throw invalidArgument("transfer must be true or false", transfer);
  if (transfer && copy === true)
    throw new InvalidArgumentError(
      "What is copied stays the program's: copy and transfer exclude each other",
    );
}

/** Copies a waiting message if the program reuses its memory. */
export function owned(message: OutgoingMessage, options: WithCopy | undefined): OutgoingMessage {
  return options?.copy ? copyOf(message) : message;
}
