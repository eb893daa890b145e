/** Keys and values as bytes; invalid ones are reported. */

import { isUtf8 } from "node:buffer";
import { invalidArgument } from "../../core/arguments.js";
import { isBytes } from "../../core/bytes.js";
import { InvalidArgumentError, InvalidMessageError } from "../../core/errors.js";
import type { Codec } from "../../sockets/codec.js";
import { encodeValue } from "../../sockets/shape.js";
import { keyFault, MAX_KEY } from "./protocol.js";

/** Bytes, or a text in `keyEncoding`. */
export type CloneKey = string | Uint8Array;

export class ClientCoder {
  readonly #codec: Codec<unknown> | undefined;
  readonly #encoding: "utf8" | "latin1";
  readonly #onInvalid: (key: Buffer, error: unknown) => void;

  /** @param onInvalid called for a key that is not text, and an unreadable value */
  constructor(
    codec: Codec<unknown> | undefined,
    encoding: "utf8" | "latin1",
    onInvalid: (key: Buffer, error: unknown) => void,
  ) {
    this.#codec = codec;
    this.#encoding = encoding;
    this.#onInvalid = onInvalid;
  }

  /** @throws InvalidArgumentError `EINVAL` */
  bytes(key: CloneKey): Buffer {
    if (typeof key === "string") return Buffer.from(key, this.#encoding);
    if (isBytes(key)) return Buffer.from(key);
    throw invalidArgument("A key must be text or bytes", key);
  }

  /** @throws InvalidArgumentError `EINVAL` for an invalid key */
  key(key: CloneKey): Buffer {
    const bytes = this.bytes(key);
    const fault = keyFault(bytes);
    if (fault === undefined) return bytes;
    const what =
      fault === "key"
        ? `a key must have 1 to ${MAX_KEY} bytes; got ${bytes.length}`
        : `${String(key)} is a command`;
    throw new InvalidArgumentError(`No key: ${what}`);
  }

  /** @returns a copy. @throws InvalidMessageError `ERR_INVALID_MESSAGE` */
  encode(value: unknown): Buffer {
    if (this.#codec === undefined) {
      // The program may change it before a repetition.
      if (typeof value === "string" || isBytes(value)) return Buffer.from(value as string);
      throw invalidArgument("A value must be text, bytes or what a codec encodes", value);
    }
    return Buffer.from(encodeValue(this.#codec, value) as string);
  }

  decode<V>(key: Buffer, bytes: Buffer): V | undefined {
    if (this.#codec === undefined) return bytes as V;
    try {
      return this.#codec.decode(bytes) as V;
    } catch (error) {
      this.#onInvalid(key, error);
      return undefined;
    }
  }

  /** `undefined` for invalid UTF-8. */
  text(key: Buffer): string | undefined {
    if (this.#encoding === "latin1" || isUtf8(key)) return key.toString(this.#encoding);
    this.#onInvalid(key, new InvalidMessageError("The key is no UTF-8 text; see the option keyEncoding"));
    return undefined;
  }
}
