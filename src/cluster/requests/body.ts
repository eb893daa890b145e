/** Bodies of requests and replies: a program's values as bytes, and back. */

import { isUtf8 } from "node:buffer";
import { describe } from "../../core/arguments.js";
import { bytesOf } from "../../core/bytes.js";
import { InvalidArgumentError, InvalidMessageError } from "../../core/errors.js";
import { BodyForm, type EncodedBody } from "./wire.js";

const NONE: EncodedBody = { form: BodyForm.NONE, data: "" };

/**
 * Texts arrive as what they were, bytes in any form (a view, a buffer) as a Buffer, any other value as what JSON makes of it, and `undefined` as `undefined`.
 *
 * @throws InvalidArgumentError `EINVAL` for a value that JSON has no form for
 */
export function encodeBody(value: unknown): EncodedBody {
  if (value === undefined) return NONE;
  if (typeof value === "string") return { form: BodyForm.TEXT, data: value };
  const bytes = bytesOf(value);
  if (bytes !== undefined) return { form: BodyForm.BYTES, data: bytes };
  let data: string | undefined;
  try {
    data = JSON.stringify(value);
  } catch (cause) {
    throw new InvalidArgumentError(`a body is bytes, a text, or a value that JSON has a form for`, { cause });
  }
  if (data === undefined)
    throw new InvalidArgumentError(
      `a body is bytes, a text, or a value that JSON has a form for; got ${describe(value)}`,
    );
  return { form: BodyForm.JSON, data };
}

/** @throws InvalidMessageError `ERR_INVALID_MESSAGE` for a text that is not UTF-8, and for what is not JSON */
export function decodeBody(form: BodyForm, body: Buffer): unknown {
  switch (form) {
    case BodyForm.NONE:
      return undefined;
    case BodyForm.BYTES:
      return owned(body);
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

/** Bytes that a program may keep: those of a much larger frame are copied out of it. */
export function owned(body: Buffer): Buffer {
  return body.buffer.byteLength <= 4 * body.length ? body : Buffer.from(body);
}

export function sizeOfBody({ data, headers }: EncodedBody): number {
  let size = typeof data === "string" ? Buffer.byteLength(data) : data.length;
  if (headers !== undefined)
    for (const [name, value] of Object.entries(headers))
      size += Buffer.byteLength(name) + Buffer.byteLength(value);
  return size;
}
