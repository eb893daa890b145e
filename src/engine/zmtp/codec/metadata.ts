/**
 * Connection metadata: the properties that each side declares of itself in READY
 * and INITIATE (37/ZMTP, Connection Metadata).
 *
 *   property = name length 1 | name | value length 4 | value
 *   metadata = property…, to the end of the bytes
 *
 * Names are compared without case. The RFC allows letters, digits and `-_.+`;
 * libzmq sends whatever follows an application's `X-`, so any byte is taken.
 */
import { InvalidArgumentError } from "../../../core/errors.js";

/** How many properties a peer may have. libzmq has no limit but the command's size. */
export const MAX_PROPERTIES = 256;

/** What libzmq reads as the sign bit of a value's length. */
const MAX_VALUE = 0x7fff_ffff;

/**
 * Encodes properties in their order.
 *
 * @param properties names of 1 to 255 Latin-1 characters, spelt as they shall go out
 * @throws InvalidArgumentError `EINVAL` for a name or value that has no encoding
 */
export function encodeMetadata(properties: Iterable<readonly [string, Uint8Array]>): Buffer {
  const parts: Uint8Array[] = [];
  for (const [name, value] of properties) {
    if (name.length === 0 || name.length > 255) {
      throw new InvalidArgumentError(`A property's name has 1 to 255 characters; got ${name.length}`);
    }
    if (value.length > MAX_VALUE) {
      throw new InvalidArgumentError(
        `A property's value has at most ${MAX_VALUE} bytes; got ${value.length}`,
      );
    }
    const head = Buffer.alloc(1 + name.length + 4);
    head.writeUInt8(name.length);
    head.write(name, 1, "latin1");
    head.writeUInt32BE(value.length, 1 + name.length);
    parts.push(head, value);
  }
  return Buffer.concat(parts);
}

/**
 * Decodes all of `bytes`.
 *
 * A name that comes twice is refused: nothing says which of the two counts, and
 * two readers that choose differently would see two identities.
 *
 * @returns copies of the values by lower-case name, or what is wrong
 */
export function decodeMetadata(bytes: Buffer): Map<string, Buffer> | string {
  const properties = new Map<string, Buffer>();
  let at = 0;
  while (at < bytes.length) {
    if (properties.size === MAX_PROPERTIES) return `more than ${MAX_PROPERTIES} properties`;
    const nameLength = bytes.readUInt8(at);
    if (nameLength === 0) return "a property without a name";
    const nameEnd = at + 1 + nameLength;
    if (nameEnd + 4 > bytes.length) return "a property that is cut short";
    const name = bytes.toString("latin1", at + 1, nameEnd).toLowerCase();
    const valueLength = bytes.readUInt32BE(nameEnd);
    const valueAt = nameEnd + 4;
    if (valueLength > bytes.length - valueAt) return "a property whose value is longer than the metadata";
    if (properties.has(name)) return "a property that comes twice";
    at = valueAt + valueLength;
    // A copy: the values live as long as the connection, the chunk that they came in should not.
    properties.set(name, Buffer.from(bytes.subarray(valueAt, at)));
  }
  return properties;
}
