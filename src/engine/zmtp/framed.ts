/**
 * ZMTP over a stream that keeps the borders of frames itself (transport/framing.ts): the handshake's commands as such frames,
 * and after it the pipe's plain frames, through the mechanism's cipher where it has one.
 */
import { allocate } from "../../core/memory.js";
import { COMMAND, LONG_HEADER, MAX_SHORT, SHORT_HEADER, writeHeader } from "../frame.js";
import { FrameReader } from "./codec/frame-reader.js";
import type { InStream, StreamFault } from "./codec/in-stream.js";
import type { Segment } from "./codec/out-queue.js";
import { type HandshakeSide, MAX_HANDSHAKE_COMMAND, NOT_A_COMMAND } from "./handshake.js";
import type { Fault, FrameCipher, Mechanism, Step, Verdict } from "./mechanism/mechanism.js";
import type { WireCodec } from "./sealer.js";
import type { Framing } from "./transport/framing.js";

/** What sealing adds to a body at most. */
const OVERHEAD = 64;

const NOTHING = Buffer.alloc(0);

interface Frame {
  readonly flags: number;
  readonly body: Buffer;
}

/** One side of a handshake. */
export class FramedHandshake implements HandshakeSide {
  readonly mechanism: Mechanism;
  /** All that is spoken so is of version 3.1. */
  readonly minor = 1;
  readonly greeting = undefined;
  readonly #framing: Framing;
  /** What came before `start`, or while nothing is read. */
  #early: Buffer = NOTHING;
  #started = false;
  #asking = false;
  #over = false;

  constructor(mechanism: Mechanism, framing: Framing) {
    this.mechanism = mechanism;
    this.#framing = framing;
  }

  get phase(): string {
    return `${this.mechanism.name} handshake`;
  }

  start(): Step[] {
    this.#started = true;
    const agreed = this.#framing.mechanism;
    if (agreed !== this.mechanism.name) {
      const message = `the transport agreed on the mechanism ${agreed}, this socket has ${this.mechanism.name}`;
      return [this.#note({ failed: { kind: "protocol", code: "ERR_ZMTP_MECHANISM_MISMATCH", message } })];
    }
    return this.#read([this.#note(this.mechanism.start())]);
  }

  receive(bytes: Buffer): Step[] {
    this.#early = this.#early.length === 0 ? bytes : Buffer.concat([this.#early, bytes]);
    return this.#read([]);
  }

  authenticated(verdict: Verdict): Step[] {
    this.#asking = false;
    return this.#read([this.#note(this.mechanism.authenticated(verdict))]);
  }

  encode(body: Uint8Array): Buffer {
    return encodeFrame(this.#framing, COMMAND, body);
  }

  /** What comes behind the handshake stays in the framing. */
  #read(steps: Step[]): Step[] {
    if (!this.#started || this.#asking || this.#over) return steps;
    const onFrame = (flags: number, body: Buffer): boolean => {
      // A copy: a mechanism may keep parts of it.
      const isCommand = (flags & COMMAND) !== 0;
      const step = isCommand ? this.mechanism.receive(Buffer.from(body)) : { failed: NOT_A_COMMAND };
      steps.push(this.#note(step));
      return !this.#asking && !this.#over;
    };
    const bytes = this.#early;
    this.#early = NOTHING;
    const failed = this.#framing.read(bytes, bytes.length, MAX_HANDSHAKE_COMMAND, onFrame);
    if (failed !== undefined && !this.#over) steps.push(this.#note({ failed }));
    return steps;
  }

  #note(step: Step): Step {
    if (step.ask !== undefined) this.#asking = true;
    if (step.done !== undefined || step.failed !== undefined) this.#over = true;
    return step;
  }
}

function encodeFrame(framing: Framing, flags: number, body: Uint8Array): Buffer {
  const wire = Buffer.allocUnsafeSlow(framing.headerLength(body.length) + body.length);
  const from = framing.writeHeader(wire, 0, flags, body.length);
  wire.set(body, from);
  framing.finish(wire, from, wire.length);
  return wire;
}

/** The frames after the handshake. */
export class FramedCodec implements WireCodec {
  readonly #framing: Framing;
  readonly #cipher: FrameCipher | undefined;
  readonly #plain = new FrameReader();

  constructor(framing: Framing, cipher: FrameCipher | undefined) {
    this.#framing = framing;
    this.#cipher = cipher;
  }

  get unfinished(): number {
    return this.#framing.unfinished;
  }

  seal(segments: readonly Segment[]): Buffer {
    const framing = this.#framing;
    const cipher = this.#cipher;
    const frames = this.#plain.read(segments);
    let size = 0;
    for (const { body } of frames) {
      const length = cipher === undefined ? body.length : cipher.sealedLength(body.length);
      size += framing.headerLength(length) + length;
    }
    const wire = Buffer.allocUnsafeSlow(size);
    let position = 0;
    for (const { flags, body } of frames) {
      const length = cipher === undefined ? body.length : cipher.sealedLength(body.length);
      const from = framing.writeHeader(wire, position, cipher === undefined ? flags : 0, length);
      if (cipher === undefined) wire.set(body, from);
      else cipher.seal(flags, body, wire, from);
      position = from + length;
      framing.finish(wire, from, position);
    }
    return wire;
  }

  open(bytes: Uint8Array, stream: InStream, length = bytes.length): StreamFault | Fault | undefined {
    const { maxMessageSize } = stream;
    const limit = this.#cipher === undefined ? maxMessageSize : maxMessageSize + OVERHEAD;
    const frames: Frame[] = [];
    stream.outer = this;
    let broken: Fault | undefined;
    const fault = this.#framing.read(bytes, length, limit, (flags, body) => {
      const opened = this.#open(flags, body);
      if ("code" in opened) broken = opened;
      else frames.push(opened);
      return broken === undefined;
    });
    return push(frames, stream) ?? broken ?? fault;
  }

  #open(flags: number, body: Buffer): Frame | Fault {
    return this.#cipher === undefined ? { flags, body } : this.#cipher.open(body);
  }
}

/** Plain frames with headers of ZMTP's, as the pipe takes them: a copy. */
function push(frames: readonly Frame[], stream: InStream): StreamFault | undefined {
  let size = 0;
  for (const { body } of frames) size += headerSize(body.length) + body.length;
  if (size === 0) return undefined;
  const plain = allocate(size);
  let position = 0;
  for (const { flags, body } of frames) {
    position = writeHeader(plain, position, (flags & COMMAND) !== 0 ? COMMAND : flags, body.length);
    plain.set(body, position);
    position += body.length;
  }
  return stream.push(plain);
}

function headerSize(length: number): number {
  return length <= MAX_SHORT ? SHORT_HEADER : LONG_HEADER;
}
