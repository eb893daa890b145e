import { bodyAt, frameEnd, LONG, MORE, messageEnd, SHORT_HEADER } from "../../sockets/internal.js";
import { isReservedKey, MAX_SEQUENCE_BYTE, readSequence, SEQUENCE_BYTES, UUID_BYTES } from "./protocol.js";
import type { EntryBytes } from "./table.js";

const LINE_FEED = 0x0a;
/** The first letter of `revision`, the only property that matters to a client of the whole map. */
const R = 0x72;

/**
 * Finds the parts of an update in received bytes, without an object for each: 140 ns for an update of 64 B, frame by frame
 * 320.
 *
 *   key | sequence | uuid | properties | value         five frames of a KVPUB (protocol.ts)
 *
 * A *plain* update sets a key, without a property `revision`. Others are read frame by frame elsewhere.
 */
export class UpdateView implements EntryBytes {
  readonly bytes: Uint8Array;
  readonly memory: ArrayBufferLike;
  readonly base: number;
  end = 0;
  /** The fields below are set and checked. */
  isPlain = false;
  key = 0;
  keyEnd = 0;
  sequence = 0;
  /** -1: none. */
  uuid = -1;
  value = 0;
  valueEnd = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.memory = bytes.buffer;
    this.base = bytes.byteOffset;
  }

  read(position: number): void {
    const { bytes } = this;
    this.isPlain = this.#readFrames(bytes, position);
    this.end = this.isPlain ? this.valueEnd : (messageEnd(bytes, position, bytes.length) as number);
  }

  #readFrames(bytes: Uint8Array, position: number): boolean {
    // A frame follows MORE, so nothing is read past the message.
    if (bytes[position] !== MORE) return false;
    const key = position + SHORT_HEADER;
    const keyEnd = key + (bytes[position + 1] as number);
    if (keyEnd === key || isReservedKey(bytes, key, keyEnd)) return false;

    let at = keyEnd;
    if (bytes[at] !== MORE || bytes[at + 1] !== SEQUENCE_BYTES) return false;
    const sequence = at + SHORT_HEADER;
    if (bytes[sequence] !== 0 || (bytes[sequence + 1] as number) > MAX_SEQUENCE_BYTE) return false;

    at = sequence + SEQUENCE_BYTES;
    const ofUuid = bytes[at + 1] as number;
    if (bytes[at] !== MORE || (ofUuid !== 0 && ofUuid !== UUID_BYTES)) return false;
    const uuid = at + SHORT_HEADER;

    at = uuid + ofUuid;
    if (bytes[at] !== MORE) return false;
    const properties = at + SHORT_HEADER;
    const propertiesEnd = properties + (bytes[at + 1] as number);
    if (!arePlain(bytes, properties, propertiesEnd)) return false;

    if (((bytes[propertiesEnd] as number) & ~LONG) !== 0) return false;
    this.value = bodyAt(bytes, propertiesEnd);
    this.valueEnd = frameEnd(bytes, propertiesEnd);
    this.key = key;
    this.keyEnd = keyEnd;
    this.sequence = readSequence(bytes, sequence);
    this.uuid = ofUuid === 0 ? -1 : uuid;
    return this.value < this.valueEnd;
  }
}

/** Whether no line between two positions may be `revision=`. */
function arePlain(bytes: Uint8Array, start: number, end: number): boolean {
  let before = LINE_FEED;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (before === LINE_FEED && byte === R) return false;
    before = byte;
  }
  return true;
}
