/**
 * A router's routing ids in text.
 *
 *   text    UTF-8 without spaces, control characters or the separator, as it is: alice
 *   other   0x and the bytes in hexadecimal, such as the ids libzmq makes up:    0x006b8b4567
 *
 * A text id that itself begins with 0x is written in hexadecimal, so that the
 * form tells which it is.
 */
import { isUtf8 } from "node:buffer";
import { FormatError } from "./failure.js";

const UNPRINTABLE = /[\s\p{C}]/u;

/** @returns the id as one word without `separator` in it */
export function encodeRoutingId(id: Buffer, separator: Buffer): Buffer {
  const text = isUtf8(id) ? id.toString() : "";
  const plain = text !== "" && !UNPRINTABLE.test(text) && !text.startsWith("0x") && !id.includes(separator);
  return plain ? id : Buffer.from(`0x${id.toString("hex")}`);
}

/** @throws FormatError for an empty id, one above 255 bytes, or bad hexadecimal */
export function decodeRoutingId(word: Buffer): Buffer {
  if (word.length === 0) throw new FormatError("a routing id is not empty");
  let id = word;
  if (word.subarray(0, 2).toString("latin1") === "0x") {
    const digits = word.toString("latin1").slice(2);
    if (!/^(?:[0-9a-f]{2})+$/i.test(digits)) {
      throw new FormatError("a routing id that begins with 0x has pairs of hexadecimal digits");
    }
    id = Buffer.from(digits, "hex");
  }
  if (id.length > 255) throw new FormatError(`a routing id has at most 255 bytes; got ${id.length}`);
  return id;
}
