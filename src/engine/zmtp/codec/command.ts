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
