/**
 * The greeting, 64 bytes (37/ZMTP, Greeting):
 *
 *   FF | padding 8 | 7F | major | minor | mechanism 20, NUL-padded | as-server 1 | filler 31
 *
 * All 64 go out at once. Of the peer's, the padding is never checked (libzmq's
 * own is its routing id's length and one), and neither is the filler.
 */

/** Bytes of a greeting. */
export const GREETING_SIZE = 64;
/** The protocol we speak. */
export const MAJOR = 3;
const MINOR = 1;

const MECHANISM_OFFSET = 12;
const MECHANISM_SIZE = 20;
const AS_SERVER_OFFSET = 32;

/** What a peer's greeting says. */
export interface Greeting {
  readonly minor: number;
  readonly mechanism: string;
  readonly asServer: boolean;
}

/** Why a peer's first bytes are not a greeting that this side accepts. */
export type GreetingFault =
  /** Not ZMTP at all, or its version 1. */
  | "signature"
  /** ZMTP 2 or older. */
  | "version"
  /** The mechanism's name is malformed. */
  | "mechanism";

export function encodeGreeting(mechanism: string, asServer: boolean): Buffer {
  const greeting = Buffer.alloc(GREETING_SIZE);
  greeting[0] = 0xff;
  greeting[8] = 0x01; // As libzmq's: to a ZMTP 1 peer the ten bytes are an empty identity.
  greeting[9] = 0x7f;
  greeting[10] = MAJOR;
  greeting[11] = MINOR;
  greeting.write(mechanism, MECHANISM_OFFSET, MECHANISM_SIZE, "latin1");
  greeting[AS_SERVER_OFFSET] = asServer ? 1 : 0;
  return greeting;
}

/** The last greeting that was accepted, and what it says: as a rule the next peer's is the same. */
let lastBytes: Buffer | undefined;
let lastGreeting: Greeting | undefined;

/**
 * Looks at the first bytes of a peer.
 *
 * @param bytes what has come, up to 64 bytes
 * @returns the greeting, what is wrong with it (as soon as that shows), or `undefined` while more is needed
 */
export function parseGreeting(bytes: Buffer): Greeting | GreetingFault | undefined {
  if (lastBytes?.equals(bytes) === true) return lastGreeting;
  if (bytes.length > 0 && bytes[0] !== 0xff) return "signature";
  if (bytes.length > 9 && ((bytes[9] as number) & 1) === 0) return "signature";
  if (bytes.length > 10 && (bytes[10] as number) < MAJOR) return "version";
  if (bytes.length < GREETING_SIZE) return undefined;
  const field = bytes.toString("latin1", MECHANISM_OFFSET, MECHANISM_OFFSET + MECHANISM_SIZE);
  const match = /^([A-Z0-9\-_.+]+)\0*$/.exec(field);
  if (match === null) return "mechanism";
  lastGreeting = {
    // A higher major version speaks ours to us (37/ZMTP, Version Negotiation).
    minor: (bytes[10] as number) > MAJOR ? MINOR : (bytes[11] as number),
    mechanism: match[1] as string,
    asServer: bytes[AS_SERVER_OFFSET] === 1,
  };
  lastBytes = Buffer.from(bytes);
  return lastGreeting;
}
