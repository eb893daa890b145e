/**
 * One side of a handshake (37/ZMTP, Connection), as bytes: what comes goes in,
 * what is to be done comes out. Pure.
 *
 *   greeting of the peer      -> the mechanism's first commands
 *   its commands, one by one  -> Steps, until one is done or failed
 *   what comes behind         -> takeRemaining(): the first traffic
 *
 * Everything a peer can make us keep here is bounded by MAX_HANDSHAKE_COMMAND.
 */
import { COMMAND, commandFrame, LONG, LONG_HEADER, readLongSize, SHORT_HEADER } from "../frame.js";
import {
  encodeGreeting,
  GREETING_SIZE,
  type Greeting,
  type GreetingFault,
  parseGreeting,
} from "./codec/greeting.js";
import type { Fault, Mechanism, Step, Verdict } from "./mechanism/mechanism.js";

/** Bytes of one handshake command at most. */
export const MAX_HANDSHAKE_COMMAND = 8_192;

const NOTHING = Buffer.alloc(0);

/** One side of a handshake, on a byte stream, or on one that keeps the borders of frames (framed.ts). */
export interface HandshakeSide {
  readonly mechanism: Mechanism;
  /** What this side sends first, unasked; `undefined`: there is no greeting, and `start` has the first steps. */
  readonly greeting: Buffer | undefined;
  /** Of ZMTP 3: whether the peer's subscriptions and pings are those of version 3.1. */
  readonly minor: number;
  /** "greeting", or the mechanism's name: for errors. */
  readonly phase: string;
  /** Bytes of the peer. @returns what is to be done, in order */
  receive(bytes: Buffer): Step[];
  /** The answer to a Step with `ask`. */
  authenticated(verdict: Verdict): Step[];
  /** A command on the wire. @param body of the command */
  encode(body: Uint8Array): Buffer;
}

export class Handshake implements HandshakeSide {
  readonly mechanism: Mechanism;
  #input: Buffer = NOTHING;
  #greeting: Greeting | undefined;
  #asking = false;
  #over = false;

  constructor(mechanism: Mechanism) {
    this.mechanism = mechanism;
  }

  get greeting(): Buffer {
    return encodeGreeting(this.mechanism.name, this.mechanism.asServer);
  }

  get minor(): number {
    return this.#greeting?.minor ?? 0;
  }

  get phase(): string {
    return this.#greeting === undefined ? "greeting" : `${this.mechanism.name} handshake`;
  }

  receive(bytes: Buffer): Step[] {
    this.#input = this.#input.length === 0 ? bytes : Buffer.concat([this.#input, bytes]);
    return this.#proceed([]);
  }

  encode(body: Uint8Array): Buffer {
    return commandFrame(body);
  }

  authenticated(verdict: Verdict): Step[] {
    this.#asking = false;
    return this.#proceed([this.#note(this.mechanism.authenticated(verdict))]);
  }

  /** What came behind the handshake. */
  takeRemaining(): Buffer {
    const { length } = this.#input;
    const rest = this.#input;
    this.#input = NOTHING;
    return length === 0 ? NOTHING : rest;
  }

  #proceed(steps: Step[]): Step[] {
    while (!this.#asking && !this.#over) {
      const step = this.#greeting === undefined ? this.#readGreeting() : this.#readCommand();
      if (step === undefined) break;
      steps.push(this.#note(step));
    }
    return steps;
  }

  #note(step: Step): Step {
    if (step.ask !== undefined) this.#asking = true;
    if (step.done !== undefined || step.failed !== undefined) this.#over = true;
    return step;
  }

  #readGreeting(): Step | undefined {
    const greeting = parseGreeting(this.#input.subarray(0, GREETING_SIZE));
    if (greeting === undefined) return undefined;
    if (typeof greeting === "string") return { failed: GREETING_FAULTS[greeting] };
    this.#input = this.#input.subarray(GREETING_SIZE);
    this.#greeting = greeting;
    if (greeting.mechanism !== this.mechanism.name) {
      return {
        failed: {
          kind: "protocol",
          code: "ERR_ZMTP_MECHANISM_MISMATCH",
          message: `the peer uses the mechanism ${greeting.mechanism}, this socket ${this.mechanism.name}`,
        },
      };
    }
    return this.mechanism.start();
  }

  #readCommand(): Step | undefined {
    const input = this.#input;
    if (input.length < SHORT_HEADER) return undefined;
    const flags = input[0] as number;
    const long = (flags & LONG) !== 0;
    const header = long ? LONG_HEADER : SHORT_HEADER;
    if ((flags & ~(LONG | COMMAND)) !== 0 || (flags & COMMAND) === 0) return { failed: NOT_A_COMMAND };
    if (input.length < header) return undefined;
    const size = long ? readLongSize(input, 1) : (input[1] as number);
    if (size > MAX_HANDSHAKE_COMMAND) return { failed: TOO_LONG };
    if (input.length < header + size) return undefined;
    this.#input = input.subarray(header + size);
    return this.mechanism.receive(input.subarray(header, header + size));
  }
}

/** A frame before the handshake's end that is not a command. */
export const NOT_A_COMMAND: Fault = {
  kind: "protocol",
  code: "ERR_ZMTP_UNEXPECTED_COMMAND",
  message: "the peer sent something else than a command before the handshake's end",
};

const TOO_LONG: Fault = {
  kind: "protocol",
  code: "ERR_ZMTP_MALFORMED_COMMAND_UNSPECIFIED",
  message: `the peer sent a handshake command of more than ${MAX_HANDSHAKE_COMMAND} bytes`,
};

const GREETING_FAULTS: Record<GreetingFault, Fault> = {
  signature: { kind: "protocol", code: "ERR_ZMTP_UNSPECIFIED", message: "the peer does not speak ZMTP 3" },
  version: {
    kind: "protocol",
    code: "ERR_ZMTP_UNSPECIFIED",
    message: "the peer speaks a ZMTP older than version 3",
  },
  mechanism: {
    kind: "protocol",
    code: "ERR_ZMTP_MECHANISM_MISMATCH",
    message: "the peer's greeting names no mechanism",
  },
};
