/** Checks streams that programs hand over. */
import type { Duplex } from "node:stream";
import { invalidArgument } from "./arguments.js";
import { InvalidArgumentError } from "./errors.js";

const CALLS = ["on", "once", "off", "write", "end", "cork", "uncork", "pause", "resume", "destroy"] as const;
const given = new WeakSet<Duplex>();

/**
 * Takes a stream that has not been given before, by any call.
 *
 * @throws InvalidArgumentError `EINVAL` also for a stream with an encoding or in object mode
 */
export function takeDuplex(duplex: Duplex): void {
  if (CALLS.some((call) => typeof duplex?.[call] !== "function"))
    throw invalidArgument("the stream must be a Duplex", duplex);
  const { readableObjectMode, writableObjectMode, readableEncoding } = duplex;
  if (readableObjectMode || writableObjectMode || readableEncoding)
    throw new InvalidArgumentError("the stream must be of bytes, without an encoding or objectMode");
  if (given.has(duplex)) throw new InvalidArgumentError("the stream has been given before");
  given.add(duplex);
}
