/**
 * Connection metadata: the properties in READY and INITIATE (37/ZMTP, Connection Metadata).
 *
 *   property = name length 1 | name | value length 4 | value
 *   metadata = property…, to the end of the bytes
 *
 * Names are case-insensitive. All bytes are accepted, since libzmq sends any text behind `X-`.
 */

/** Of a peer. */
export const MAX_PROPERTIES = 256;

/** @param properties names of 1 to 255 Latin-1 characters */
export function encodeMetadata(properties: Iterable<readonly [string, Uint8Array]>): Buffer {
  const parts: Uint8Array[] = [];
  for (const [name, value] of properties) {
    const head = Buffer.alloc(1 + name.length + 4);
    head.writeUInt8(name.length);
    head.write(name, 1, "latin1");
    head.writeUInt32BE(value.length, 1 + name.length);
    parts.push(head, value);
  }
  return Buffer.concat(parts);
}

/**
 * Refuses duplicate names: two readers could see two identities.
 *
 * @returns copies of the values by lower-case name, or the fault
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
    // The chunk should not live as long as the connection.
    properties.set(name, Buffer.from(bytes.subarray(valueAt, at)));
  }
  return properties;
}
