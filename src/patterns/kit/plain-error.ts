/** Errors on their way from one thread to another: a clone has neither the class nor the code. */
import { type ErrorCode, InvalidArgumentError, TransportError } from "../../core/errors.js";
import { messageOf } from "./errors.js";

/** An error on its way to another thread. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
}

/** An error as it can be posted. */
export function toPlain(error: unknown): PlainError {
  const message = messageOf(error);
  try {
    if (error instanceof Error) {
      const { code, stack, name } = error as NodeJS.ErrnoException;
      return {
        name: String(name),
        message,
        stack: typeof stack === "string" ? stack : undefined,
        code: typeof code === "string" ? code : undefined,
      };
    }
  } catch {
    // What cannot be read has its message alone.
  }
  return { name: "Error", message, stack: undefined, code: undefined };
}

/** An error again, with the name, code and stack that it had. */
export function fromPlain({ name, message, stack, code }: PlainError): Error {
  const error = new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  if (code !== undefined) Object.assign(error, { code });
  return error;
}

/** What a socket in the other thread threw, as it would have been thrown here. */
export function toError(plain: PlainError): Error {
  const cause = fromPlain(plain);
  if (plain.code === undefined) return cause;
  if (plain.code === "EINVAL") return new InvalidArgumentError(plain.message, { cause });
  return new TransportError(plain.code as ErrorCode, plain.message, { cause });
}
