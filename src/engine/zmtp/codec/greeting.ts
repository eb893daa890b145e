/**
 * The greeting, 64 bytes (37/ZMTP, Greeting):
 *
 *   FF | padding 8 | 7F | major | minor | mechanism 20, NUL-padded | as-server 1 | filler 31
 *
 * The peer's padding and filler are not checked: libzmq puts its routing id's length plus one in the padding.
 */

export const GREETING_SIZE = 64;
export const MAJOR = 3;
const MINOR = 1;

const MECHANISM_OFFSET = 12;
const MECHANISM_SIZE = 20;
const AS_SERVER_OFFSET = 32;

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
