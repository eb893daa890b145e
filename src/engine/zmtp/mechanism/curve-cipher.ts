/**
 * CURVE's MESSAGE, the form of every frame after the handshake (26/CURVEZMQ, The MESSAGE Command).
 *
 *   07 "MESSAGE" | counter 8 @8 | Box[flags 1, body] @16          33 bytes longer than body
 *   flags = 01 MORE, 02 COMMAND
 *   nonce of the box = "CurveZMQMESSAGE" | "C" from the client, "S" from the server | counter
 *
 * Differences from RFC 26, as libzmq expects: MESSAGE is the body of a message frame without MORE (libzmq
 * drops a command frame). PING, SUBSCRIBE and the like go inside with flag 02. The nonce's text is not
 * "CurveZMQMESSAGE-".
 */
import { readUint32, writeUint32 } from "../../../core/bytes.js";
import { slice } from "../../../core/memory.js";
import { COMMAND, MORE } from "../../frame.js";
import { type CurveBox, type FrameMemory, TAG_LENGTH } from "./curve-box.js";
import { type CipherMemory, type Fault, type FrameCipher, protocolFault } from "./mechanism.js";

const NAME = Buffer.from("\u0007MESSAGE", "latin1");
const COUNTER = 8;
const BOX = 16;
const FLAGS = BOX + TAG_LENGTH;
const OVERHEAD = FLAGS + 1;

const INNER_MORE = 1;
const INNER_COMMAND = 2;

const NONCE_COUNTER = 16;
const NAME_BEGIN = readUint32(NAME, 0);
const NAME_END = readUint32(NAME, 4);

function nonceOf(side: "C" | "S"): Buffer {
  return Buffer.concat([Buffer.from(`CurveZMQMESSAGE${side}`, "latin1"), Buffer.alloc(8)]);
}

export class CurveCipher implements FrameCipher {
  readonly #box: CurveBox;
  readonly #key: Uint8Array;
  readonly #sendNonce: Buffer;
  readonly #receiveNonce: Buffer;
  /** Each of 8 bytes as two words. */
  #sentHigh = 0;
  #sentLow: number;
  #receivedHigh: number;
  #receivedLow: number;
  readonly #frames: FrameMemory | undefined;
  readonly mostShort: number;

  /** @param sent this side's counter in its last handshake command @param received the peer's */
  constructor(box: CurveBox, key: Uint8Array, isServer: boolean, sent: number, received: Buffer) {
    this.#box = box;
    this.#frames = box.frames;
    this.mostShort = box.mostShort;
    this.#key = key;
    this.#sendNonce = nonceOf(isServer ? "S" : "C");
    this.#receiveNonce = nonceOf(isServer ? "C" : "S");
    this.#sentLow = sent;
    this.#receivedHigh = received.readUInt32BE(0);
    this.#receivedLow = received.readUInt32BE(4);
  }

  sealedLength(length: number): number {
    return OVERHEAD + length;
  }

  plainLength(length: number): number {
    return length - OVERHEAD;
  }

  memory(use: "seal" | "open"): CipherMemory | undefined {
    this.#frames?.use(this.#key, use === "seal" ? this.#sendNonce : this.#receiveNonce);
    return this.#frames;
  }

  seal(flags: number, plain: Uint8Array, from: number, to: number, target: Uint8Array, at: number): void {
    const low = (this.#sentLow + 1) >>> 0;
    if (low === 0) this.#sentHigh += 1;
    this.#sentLow = low;
    const high = this.#sentHigh;
    writeUint32(target, at, NAME_BEGIN);
    writeUint32(target, at + 4, NAME_END);
    writeUint32(target, at + COUNTER, high);
    writeUint32(target, at + COUNTER + 4, low);
    const inner = (flags & MORE ? INNER_MORE : 0) | (flags & COMMAND ? INNER_COMMAND : 0);
    const frames = this.#frames;
    if (frames !== undefined && target === frames.bytes) {
      // The flags overwrite the last byte of the frame's own header.
      target[from - 1] = inner;
      frames.seal(from - 1, 1 + to - from, at + BOX, high, low);
      return;
    }
    writeUint32(this.#sendNonce, NONCE_COUNTER, high);
    writeUint32(this.#sendNonce, NONCE_COUNTER + 4, low);
    target[at + FLAGS] = inner;
    const length = to - from;
    target.set(slice(plain.buffer, plain.byteOffset + from, length), at + OVERHEAD);
    const memory = target.buffer;
    const base = target.byteOffset + at;
    const text = slice(memory, base + FLAGS, 1 + length);
    const sealed = slice(memory, base + BOX, TAG_LENGTH + 1 + length);
    this.#box.seal(sealed, text, this.#sendNonce, this.#key);
  }

  open(sealed: Uint8Array, from: number, to: number, plain: Uint8Array, at: number): number | Fault {
    const length = to - from;
    for (let i = 0; i < NAME.length; i++) {
      if (i >= length || sealed[from + i] !== NAME[i])
        return protocolFault("ERR_ZMTP_UNEXPECTED_COMMAND", "CURVE: a frame that is not a MESSAGE");
    }
    if (length < OVERHEAD) {
      return protocolFault("ERR_ZMTP_MALFORMED_COMMAND_MESSAGE", "CURVE: MESSAGE is too short");
    }
    const high = readUint32(sealed, from + COUNTER);
    const low = readUint32(sealed, from + COUNTER + 4);
    // Gaps are allowed; a repeated counter is a replay.
    if (high < this.#receivedHigh || (high === this.#receivedHigh && low <= this.#receivedLow)) {
      return protocolFault("ERR_ZMTP_INVALID_SEQUENCE", "CURVE: MESSAGE's counter did not grow");
    }
    if (!this.#opens(sealed, from, to, plain, at, high, low)) {
      return protocolFault("ERR_ZMTP_CRYPTOGRAPHIC", "CURVE: MESSAGE does not open");
    }
    this.#receivedHigh = high;
    this.#receivedLow = low;
    const flags = plain[at] as number;
    if ((flags & ~(INNER_MORE | INNER_COMMAND)) !== 0) {
      return protocolFault("ERR_ZMTP_MALFORMED_COMMAND_MESSAGE", "CURVE: MESSAGE has reserved flags");
    }
    return (flags & INNER_MORE ? MORE : 0) | (flags & INNER_COMMAND ? COMMAND : 0);
  }

  #opens(
    sealed: Uint8Array,
    from: number,
    to: number,
    plain: Uint8Array,
    at: number,
    high: number,
    low: number,
  ): boolean {
    const frames = this.#frames;
    if (frames !== undefined && sealed === frames.bytes)
      return frames.open(from + BOX, to - from - BOX, at, high, low);
    writeUint32(this.#receiveNonce, NONCE_COUNTER, high);
    writeUint32(this.#receiveNonce, NONCE_COUNTER + 4, low);
    const box = slice(sealed.buffer, sealed.byteOffset + from + BOX, to - from - BOX);
    const opened = slice(plain.buffer, plain.byteOffset + at, to - from - FLAGS);
    return this.#box.open(opened, box, this.#receiveNonce, this.#key);
  }
}
