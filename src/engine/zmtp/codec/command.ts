/**
 * The body of a command frame (37/ZMTP, Commands).
 *
 *   body = name length 1 | name | data, to the end of the frame
 *
 * Names are 1 to 255 bytes. They are neither padded nor ended by a null byte,
 * whatever the prose of some RFCs says: the grammar and every peer agree.
 */
import { InvalidArgumentError } from "../../../core/errors.js";

/** A command frame's body, taken apart. */
export interface Command {
  /** As on the wire; case counts. */
  readonly name: string;
  /** A view of the body. */
  readonly data: Buffer;
}

/**
 * The body of a command frame.
 *
 * @param name 1 to 255 Latin-1 characters
 * @param data what the command carries; default none
 */
export function encodeCommand(name: string, data?: Uint8Array): Buffer {
  if (name.length === 0 || name.length > 255) {
    throw new InvalidArgumentError(`A command's name has 1 to 255 characters; got ${name.length}`);
  }
  const body = Buffer.allocUnsafe(1 + name.length + (data?.length ?? 0));
  body.writeUInt8(name.length);
  body.write(name, 1, "latin1");
  if (data !== undefined) body.set(data, 1 + name.length);
  return body;
}

/**
 * Takes a command frame's body apart.
 *
 * @returns `undefined` where the body has no name, or one longer than itself
 */
export function parseCommand(body: Buffer): Command | undefined {
  const nameLength = body[0];
  if (nameLength === undefined || nameLength === 0 || nameLength >= body.length) return undefined;
  return { name: body.toString("latin1", 1, 1 + nameLength), data: body.subarray(1 + nameLength) };
}
