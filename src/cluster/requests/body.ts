/** Bodies of requests and replies: text, bytes, JSON, or none. */
import { isUtf8 } from "node:buffer";
import { describe, isAsyncIterable } from "../../core/arguments.js";
import { bytesOf } from "../../core/bytes.js";
import { InvalidArgumentError, InvalidMessageError } from "../../core/errors.js";
import { BodyForm, type EncodedBody } from "./wire.js";

/**
 * Encodes a body. Strings arrive as strings, bytes (views, buffers) as a Buffer, `undefined` as `undefined`, other
 * values as JSON.
 * @throws InvalidArgumentError `EINVAL` for an async iterable, a value without a JSON form, or transferred memory
 */
export function encodeBody(value: unknown): EncodedBody {
  if (value === undefined) return { form: BodyForm.NONE, data: "" };
  if (typeof value === "string") return { form: BodyForm.TEXT, data: value };
  const bytes = bytesIn(value);
  if (bytes !== undefined) return { form: BodyForm.BYTES, data: bytes };
  if (isAsyncIterable(value))
    throw new InvalidArgumentError("a body must be one value; got an async iterable, such as a stream");
  let cause: unknown;
  try {
    const data = JSON.stringify(value) as string | undefined;
    if (data !== undefined) return { form: BodyForm.JSON, data };
  } catch (error) {
    cause = error;
  }
  const text = `a body must be bytes, a text, or a value that JSON has a form for; got ${describe(value)}`;
  throw new InvalidArgumentError(text, { cause });
}

function bytesIn(value: unknown): Uint8Array | undefined {
  try {
    const bytes = bytesOf(value);
    // Throws for transferred memory, whose views are empty.
    if (bytes?.length === 0) new Uint8Array(bytes.buffer);
    return bytes;
  } catch (cause) {
    throw new InvalidArgumentError("a body has memory that was transferred, or cannot be read", { cause });
  }
}

/** @throws InvalidMessageError `ERR_INVALID_MESSAGE` for invalid UTF-8 or JSON */
export function decodeBody(form: BodyForm, body: Buffer): unknown {
  switch (form) {
    case BodyForm.NONE:
      return undefined;
    case BodyForm.BYTES:
      return body;
    default: {
      if (!isUtf8(body)) throw new InvalidMessageError("the body is not UTF-8");
      const text = body.toString();
      if (form === BodyForm.TEXT) return text;
      try {
        return JSON.parse(text);
      } catch (cause) {
        throw new InvalidMessageError("the body is not JSON", { cause });
      }
    }
  }
}
