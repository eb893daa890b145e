/**
 * The content of a datagram (libzmq, zmq_udp(7)), by socket type:
 *
 *   RADIO to DISH   length of the group, 1 byte | group | body
 *   DGRAM           body; the peer's HOST:PORT is the message's first frame on each side
 *
 * At most 8,192 bytes, as in libzmq.
 */
import { MAX_DATAGRAM } from "../../frame.js";

export function encodeGroupDatagram(group: Uint8Array, body: Uint8Array): Uint8Array[] {
  return [Uint8Array.of(group.length), group, body];
}

/** @returns views; `undefined`: shorter than its group, or too long */
export function parseGroupDatagram(
  datagram: Buffer,
): { readonly group: Buffer; readonly body: Buffer } | undefined {
  const length = datagram[0];
  if (length === undefined || datagram.length < 1 + length || datagram.length > MAX_DATAGRAM)
    return undefined;
  return { group: datagram.subarray(1, 1 + length), body: datagram.subarray(1 + length) };
}
