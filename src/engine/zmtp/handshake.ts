/**
 * One side of a handshake (37/ZMTP, Connection), without I/O.
 *
 *   open()                    -> this side's greeting, and commands that need not wait for the peer
 *   greeting of the peer      -> the mechanism's first commands
 *   its commands, one by one  -> Steps, until one is done or failed
 *   bytes after the handshake -> takeRemaining(): the first traffic
 *
 * A transport that agrees on the mechanism omits greetings (transport/transport.ts).
 */
import { COMMAND, LONG, LONG_HEADER, messageFrame, readLongSize, SHORT_HEADER } from "../frame.js";
import {
  encodeGreeting,
  GREETING_SIZE,
  type Greeting,
  type GreetingFault,
  parseGreeting,
} from "./codec/command.js";
import {
  type Fault,
  type Mechanism,
  type MechanismName,
  protocolFault,
  type Step,
  type Verdict,
} from "./mechanism/mechanism.js";

export const MAX_HANDSHAKE_COMMAND = 8_192;

const NOTHING = Buffer.alloc(0);

const MAX_RECENT = 4;

/**
 * First bytes of peers, a greeting and a READY without a routing id, which many send alike, and what NULL made of them.
 * In a new process, a hundred connections at once take 6 to 12 % less processor time at both ends.
 */
const recent: { readonly bytes: Buffer; readonly greeting: Greeting; readonly step: Step }[] = [];

export class Handshake {
  readonly mechanism: Mechanism;
  /** Agreed on by the transport. */
  readonly #agreed: MechanismName | undefined;
  #input: Buffer;
  #greeting: Greeting | undefined;
  #started = false;
  #waiting = false;
  #over = false;

  /** @param first traffic before the peer's */
  constructor(mechanism: Mechanism, agreed?: MechanismName, first: Buffer = NOTHING) {
    this.mechanism = mechanism;
    this.#agreed = agreed;
    this.#input = first;
  }

  /** Read-only. Call it before carrying out the steps of `receive`. */
  open(): Buffer {
    const { mechanism } = this;
    if (mechanism.routingId !== undefined) return messageFrame(mechanism.routingId);
    if (this.#agreed !== undefined) return NOTHING;
    return mechanism.opening ?? encodeGreeting(mechanism.name, mechanism.asServer);
  }

  start(): Step[] {
    if (this.#agreed === undefined) return [];
    this.#started = true;
    return this.#proceed([this.#note(this.#begin(this.#agreed))]);
  }

  /** The peer's. */
  get greeting(): Greeting | undefined {
    return this.#greeting;
  }

  get phase(): string {
    const greets = this.#agreed === undefined && this.#greeting === undefined;
    return greets ? "greeting" : `${this.mechanism.name} handshake`;
  }

  receive(bytes: Buffer, length = bytes.length): Step[] {
    // NULL alone has an opening.
    const isFirst =
      !this.#started &&
      this.#agreed === undefined &&
      this.#input.length === 0 &&
      this.mechanism.opening !== undefined;
    const known = isFirst ? recent.find((each) => isSame(each.bytes, bytes, length)) : undefined;
    if (known !== undefined) {
      this.#greeting = known.greeting;
      this.#started = true;
      return [this.#note(known.step)];
    }
    const copy = Buffer.from(bytes.subarray(0, length));
    this.#input = this.#input.length === 0 ? copy : Buffer.concat([this.#input, copy]);
    const steps = this.#proceed([]);
    if (isFirst && this.#input.length === 0) remember(copy, this.#greeting, steps.at(-1));
    return steps;
  }

  authenticated(verdict: Verdict): Step[] {
    this.#waiting = false;
    return this.#proceed([this.#note(this.mechanism.authenticated(verdict))]);
  }

  loaded(): Step[] {
    this.#waiting = false;
    return this.#proceed([this.#note(this.mechanism.start())]);
  }

  takeRemaining(): Buffer {
    const rest = this.#input;
    this.#input = NOTHING;
    return rest;
  }

  #proceed(steps: Step[]): Step[] {
    while (!this.#waiting && !this.#over) {
      const step = this.#started
        ? this.#readCommand()
        : this.#agreed === undefined
          ? this.#readGreeting()
          : undefined;
      if (step === undefined) break;
      steps.push(this.#note(step));
    }
    return steps;
  }

  #note(step: Step): Step {
    if (step.ask !== undefined || step.wait !== undefined) this.#waiting = true;
    if (step.done !== undefined || step.failed !== undefined) this.#over = true;
    return step;
  }

  #readGreeting(): Step | undefined {
    const greeting = parseGreeting(this.#input.subarray(0, GREETING_SIZE));
    if (greeting === undefined) return undefined;
    if (typeof greeting === "string") return { failed: GREETING_FAULTS[greeting] };
    this.#input = this.#input.subarray(GREETING_SIZE);
    this.#greeting = greeting;
    this.#started = true;
    return this.#begin(greeting.mechanism);
  }

  #begin(mechanism: string): Step {
    const isEarly = this.#agreed === undefined && this.mechanism.opening !== undefined;
    if (mechanism === this.mechanism.name) {
      if (isEarly) return {};
      const { loading } = this.mechanism;
      return loading === undefined ? this.mechanism.start() : { wait: loading };
    }
    return {
      failed: protocolFault(
        "ERR_ZMTP_MECHANISM_MISMATCH",
        `the peer uses the mechanism ${mechanism}, this socket ${this.mechanism.name}`,
      ),
    };
  }

  #readCommand(): Step | undefined {
    const input = this.#input;
    if (input.length < SHORT_HEADER) return undefined;
    const flags = input[0] as number;
    const long = (flags & LONG) !== 0;
    const header = long ? LONG_HEADER : SHORT_HEADER;
    const kind = this.mechanism.routingId === undefined ? COMMAND : 0;
    if ((flags & ~LONG) !== kind) return { failed: kind === 0 ? NO_ROUTING_ID : NO_COMMAND };
    if (input.length < header) return undefined;
    const size = long ? readLongSize(input, 1) : (input[1] as number);
    if (size > MAX_HANDSHAKE_COMMAND) return { failed: COMMAND_TOO_LONG };
    if (input.length < header + size) return undefined;
    this.#input = input.subarray(header + size);
    return this.mechanism.receive(input.subarray(header, header + size));
  }
}

function isSame(known: Buffer, bytes: Buffer, length: number): boolean {
  return known.length === length && known.compare(bytes, 0, length) === 0;
}

function remember(bytes: Buffer, greeting: Greeting | undefined, step: Step | undefined): void {
  // Sockets keep the memory of routing ids.
  if (greeting === undefined || step?.done === undefined || (step.done.get("identity")?.length ?? 0) > 0)
    return;
  recent.push({ bytes, greeting, step });
  if (recent.length > MAX_RECENT) recent.shift();
}

const NO_COMMAND = protocolFault(
  "ERR_ZMTP_UNEXPECTED_COMMAND",
  "the peer sent something else than a command before the handshake's end",
);

const NO_ROUTING_ID = protocolFault(
  "ERR_ZMTP_UNSPECIFIED",
  "the peer's first message is not a routing id of one frame",
);

export const COMMAND_TOO_LONG = protocolFault(
  "ERR_ZMTP_MALFORMED_COMMAND_UNSPECIFIED",
  `the peer sent a handshake command of more than ${MAX_HANDSHAKE_COMMAND} bytes`,
);

const GREETING_FAULTS: Record<GreetingFault, Fault> = {
  signature: protocolFault("ERR_ZMTP_UNSPECIFIED", "the peer does not speak ZMTP 3"),
  version: protocolFault("ERR_ZMTP_UNSPECIFIED", "the peer speaks a ZMTP older than version 3"),
  mechanism: protocolFault("ERR_ZMTP_MECHANISM_MISMATCH", "the peer's greeting names no mechanism"),
};
