/** Errors between threads: structured clone loses the class and the code. */
import { type ErrorCode, InvalidArgumentError, TransportError } from "../../core/errors.js";
import { messageOf } from "./errors.js";

export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
}

/** Converts an error for posting. */
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
    // Unreadable errors keep only their message.
  }
  return { name: "Error", message, stack: undefined, code: undefined };
}

/** Restores an error with its name, code and stack. */
export function fromPlain({ name, message, stack, code }: PlainError): Error {
  const error = new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  if (code !== undefined) Object.assign(error, { code });
  return error;
}

export function toError(plain: PlainError): Error {
  const cause = fromPlain(plain);
  if (plain.code === undefined) return cause;
  if (plain.code === "EINVAL") return new InvalidArgumentError(plain.message, { cause });
  return new TransportError(plain.code as ErrorCode, plain.message, { cause });
}
