/**
 * The address part of a request (28/REQREP, The ROUTER Socket Type).
 *
 *   id of the nearest hop | … | id of the farthest hop | "" | body…      delimited
 *   id | body…                                                           a DEALER peer without delimiter
 */
import { invalidArgument } from "../core/arguments.js";
import { isBytes } from "../core/bytes.js";
import { InvalidArgumentError } from "../core/errors.js";
import { type MessageLike, toFrame } from "./message.js";

const EMPTY = Buffer.alloc(0);

/**
 * A request's origin, and its reply's destination: routing ids of one or more hops. Immutable; bodies are never copied.
 *
 * @example
 * ```ts
 * import { Envelope } from "shoal";
 *
 * const { envelope, body } = Envelope.parse([Buffer.from("boat 7"), Buffer.alloc(0), Buffer.from("position?")]);
 * console.log(`${envelope.routingId}: ${body}`); // boat 7: position?
 * ```
 */
export class Envelope {
  /** Routing ids, nearest hop first. */
  readonly hops: readonly Buffer[];
  /** Whether an empty frame separates hops and body. */
  readonly delimited: boolean;

  /**
   * @param hops one or more routing ids, nearest first, none empty
   * @throws InvalidArgumentError `EINVAL` without hops, or for an empty one
   */
  constructor(hops: readonly (Uint8Array | string)[], delimited = true) {
    checkList(hops, "An envelope has at least one hop");
    this.hops = hops.map(toHop);
    this.delimited = delimited;
    Object.freeze(this.hops);
    Object.freeze(this);
  }

  /**
   * Splits a message that a ROUTER received. The frames up to the first empty one are the envelope; without an empty
   * frame, which a DEALER may omit, the first frame alone is. With a codec the body ends with the decoded value.
   *
   * @throws InvalidArgumentError `EINVAL` for no frames, or an empty first frame
   */
  static parse<T = Buffer>(frames: readonly (Buffer | T)[]): { envelope: Envelope; body: (Buffer | T)[] } {
    checkList(frames, "A message to parse has at least one frame");
    const end = frames.findIndex((frame) => isBytes(frame) && frame.length === 0);
    if (end === 0) throw new InvalidArgumentError("An envelope begins with a routing id; got an empty frame");
    // Only the last frame can be a codec's value.
    const hops = (count: number): Buffer[] => frames.slice(0, count) as Buffer[];
    if (end > 0) return { envelope: new Envelope(hops(end)), body: frames.slice(end + 1) };
    return { envelope: new Envelope(hops(1), false), body: frames.slice(1) };
  }

  /** The ROUTER's direct peer. */
  get routingId(): Buffer {
    return this.hops[0] as Buffer;
  }

  /** The message to send: hops, delimiter if any, body (0 or more frames). */
  wrap(body: MessageLike | readonly MessageLike[]): MessageLike[] {
    const frames = Array.isArray(body) ? (body as readonly MessageLike[]) : [body as MessageLike];
    return this.delimited ? [...this.hops, EMPTY, ...frames] : [...this.hops, ...frames];
  }
}

function checkList(list: unknown, expected: string): void {
  if (!Array.isArray(list)) throw invalidArgument(`${expected}, in an array`, list);
  if (list.length === 0) throw new InvalidArgumentError(expected);
}

function toHop(hop: Uint8Array | string): Buffer {
  const frame = toFrame(hop);
  let bytes: Buffer;
  if (Buffer.isBuffer(frame)) bytes = frame;
  else if (typeof frame === "string") bytes = Buffer.from(frame);
  else bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (bytes.length === 0)
    throw new InvalidArgumentError("A hop must be a routing id of at least one byte; got an empty one");
  return bytes;
}
