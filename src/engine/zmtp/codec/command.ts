/** What a peer sends besides messages (37/ZMTP): the greeting, commands, and the metadata in a handshake's commands. */

export const GREETING_SIZE = 64;
export const MAJOR = 3;
const MINOR = 1;

const MECHANISM_OFFSET = 12;
const MECHANISM_SIZE = 20;
const AS_SERVER_OFFSET = 32;

/**
 * The greeting, 64 bytes (37/ZMTP, Greeting):
 *
 *   FF | padding 8 | 7F | major | minor | mechanism 20, NUL-padded | as-server 1 | filler 31
 *
 * The peer's padding and filler are not checked: libzmq puts its routing id's length plus one in the padding.
 */
export interface Greeting {
  readonly minor: number;
  readonly mechanism: string;
  readonly asServer: boolean;
}

export type GreetingFault =
  /** Another protocol, or ZMTP 1. */
  | "signature"
  /** ZMTP 2 or older. */
  | "version"
  /** A malformed mechanism name. */
  | "mechanism";

export function encodeGreeting(mechanism: string, asServer: boolean): Buffer {
  const greeting = Buffer.alloc(GREETING_SIZE);
  greeting[0] = 0xff;
  greeting[8] = 0x01; // As libzmq: a ZMTP 1 peer reads the ten bytes as an empty identity.
  greeting[9] = 0x7f;
  greeting[10] = MAJOR;
  greeting[11] = MINOR;
  greeting.write(mechanism, MECHANISM_OFFSET, MECHANISM_SIZE, "latin1");
  greeting[AS_SERVER_OFFSET] = asServer ? 1 : 0;
  return greeting;
}

/**
 * @param bytes received so far @returns a fault as soon as it shows; `undefined` while more bytes are needed
 */
export function parseGreeting(bytes: Buffer): Greeting | GreetingFault | undefined {
  if (bytes.length > 0 && bytes[0] !== 0xff) return "signature";
  if (bytes.length > 9 && ((bytes[9] as number) & 1) === 0) return "signature";
  if (bytes.length > 10 && (bytes[10] as number) < MAJOR) return "version";
  if (bytes.length < GREETING_SIZE) return undefined;
  const field = bytes.toString("latin1", MECHANISM_OFFSET, MECHANISM_OFFSET + MECHANISM_SIZE);
  const match = /^([A-Z0-9\-_.+]+)\0*$/.exec(field);
  if (match === null) return "mechanism";
  return {
    // Peers with a higher major version speak ours to us (37/ZMTP, Version Negotiation).
    minor: (bytes[10] as number) > MAJOR ? MINOR : (bytes[11] as number),
    mechanism: match[1] as string,
    asServer: bytes[AS_SERVER_OFFSET] === 1,
  };
}

/**
 * The body of a command frame (37/ZMTP, Commands).
 *
 *   body = name length 1 | name | data, to the end of the frame
 *
 * Names have 1 to 255 bytes, without padding or a final null byte, in spite of some RFCs' prose.
 */
export interface Command {
  readonly name: string;
  readonly data: Buffer;
}

/** @param name 1 to 255 Latin-1 characters */
export function encodeCommand(name: string, data?: Uint8Array): Buffer {
  const body = Buffer.allocUnsafe(1 + name.length + (data?.length ?? 0));
  body.writeUInt8(name.length);
  body.write(name, 1, "latin1");
  if (data !== undefined) body.set(data, 1 + name.length);
  return body;
}

/** @returns `undefined` if the name is empty or longer than the body; `data` is a view */
export function parseCommand(body: Buffer): Command | undefined {
  const nameLength = body[0];
  if (nameLength === undefined || nameLength === 0 || nameLength >= body.length) return undefined;
  return { name: body.toString("latin1", 1, 1 + nameLength), data: body.subarray(1 + nameLength) };
}

/** Of a peer. */
export const MAX_PROPERTIES = 256;

/**
 * Encodes the properties in READY and INITIATE (37/ZMTP, Connection Metadata).
 *
 *   property = name length 1 | name | value length 4 | value
 *   metadata = property…, to the end of the bytes
 *
 * @param properties names of 1 to 255 Latin-1 characters
 */
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
 * Names are case-insensitive. All bytes are accepted, since libzmq sends any text behind `X-`. Duplicate names are
 * refused: two readers could see two identities.
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
