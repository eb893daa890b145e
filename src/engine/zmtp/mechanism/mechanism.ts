/**
 * Security mechanisms (37/ZMTP, Security Mechanisms): pure state machines.
 *
 *   greeting of the peer -> start() -> Step
 *   command of the peer  -> receive(body) -> Step
 *   answer of the hook   -> authenticated(verdict) -> Step  after a Step with `ask`
 *
 * A step sends, then asks or ends. No command is received during an `ask`.
 */
import type { ErrorCode } from "../../../core/errors.js";
import type { OptionValues } from "../../../core/option-table.js";
import type { FramePiece } from "../../frame.js";
import { type Command, decodeMetadata, encodeCommand, parseCommand } from "../codec/command.js";
import type { InStream, StreamFault } from "../codec/in-stream.js";

/** By lower-case name (37/ZMTP, Connection Metadata). */
export type Metadata = ReadonlyMap<string, Buffer>;

export interface Credentials {
  readonly mechanism: "NULL" | "PLAIN" | "CURVE";
  readonly username?: string;
  readonly password?: string;
  /** Z85, 40 characters. */
  readonly publicKey?: string;
}

/** Only `true` admits the peer. */
export type Verdict = boolean | Refusal;

/** A status, or the fault of a ZAP reply (27/ZAP, The Reply). */
export type Refusal =
  | {
      readonly status: 300 | 400 | 500;
      readonly cause?: unknown;
    }
  | { readonly code: ErrorCode; readonly message: string };

export interface Fault {
  /** `refused`: by this side; `auth`: by the peer, `status` from its ERROR. */
  readonly kind: "refused" | "auth" | "protocol" | "other";
  readonly code: ErrorCode;
  readonly message: string;
  readonly cause?: unknown;
  /** A ZAP status: 300, 400 or 500. */
  readonly status?: number;
}

export interface Step {
  /** Bodies of command frames. */
  readonly send?: readonly Uint8Array[];
  /** Call `start` once fulfilled; a rejection fails the handshake. */
  readonly wait?: Promise<void>;
  readonly ask?: Credentials;
  readonly done?: Metadata;
  /** Close the connection after `send`. */
  readonly failed?: Fault;
}

export interface FrameSealer {
  /** @returns whole frames; may be more pieces */
  seal(pieces: readonly FramePiece[]): readonly FramePiece[];
  open(bytes: Uint8Array, stream: InStream, length?: number): StreamFault | Fault | undefined;
}

export type MechanismName = "NULL" | "PLAIN" | "CURVE";

export interface Mechanism {
  readonly name: MechanismName;
  readonly asServer: boolean;
  /** This side's greeting with the frames of `start`, sent before the peer's; `start` is not called then. */
  readonly opening?: Buffer | undefined;
  /** Call `start` once fulfilled. */
  readonly loading?: Promise<void> | undefined;
  start(): Step;
  receive(body: Buffer): Step;
  authenticated(verdict: Verdict): Step;
  /** Likely reason for a peer's silent hang-up, without secrets. */
  readonly suspicion?: string | undefined;
  /** Set with `done`; absent if frames stay plain. */
  readonly sealer?: FrameSealer | undefined;
  /** Without commands, each side's first message is its routing id, and `receive` gets the peer's. */
  readonly routingId?: Uint8Array;
}

export interface MechanismOptions {
  readonly properties: Uint8Array;
  /** Whether there is a hook; without it PLAIN servers refuse all peers, as libzmq. */
  readonly asks: boolean;
  /** At most 255 bytes each. */
  readonly plainUsername: string;
  readonly plainPassword: string;
  /** 32 bytes each. Results are cached by array. Public keys are derived. */
  readonly curveSecretKey: Uint8Array | undefined;
  readonly curveServerKey: Uint8Array | undefined;
}

/** A socket's mechanism, and this side's role in it. */
export interface ChosenMechanism {
  readonly name: MechanismName;
  readonly isServer: boolean;
}

const NULL: ChosenMechanism = { name: "NULL", isServer: false };

export function chosenMechanism(options: Readonly<OptionValues>): ChosenMechanism {
  if (options.curveServer) return { name: "CURVE", isServer: true };
  if (options.curveServerKey !== null) return { name: "CURVE", isServer: false };
  if (options.plainServer) return { name: "PLAIN", isServer: true };
  if (options.plainUsername !== null) return { name: "PLAIN", isServer: false };
  return NULL;
}

export interface CurveParts {
  server(options: MechanismOptions): Mechanism;
  client(options: MechanismOptions): Mechanism;
}

// Failed handshakes (37/ZMTP, The NULL Security Mechanism; 27/ZAP, The Reply):
//
//   ERROR = 05 "ERROR" | reason length 1 | reason
//
// A reason of 300, 400 or 500 is a ZAP status; any other is text for a log.

export function protocolFault(code: ErrorCode, message: string): Fault {
  return { kind: "protocol", code, message };
}

/** Neither the peer's protocol nor its credentials are at fault. */
export function handshakeFault(message: string): Fault {
  return { kind: "other", code: "ERR_HANDSHAKE", message };
}

/** Without an ERROR, as libzmq. */
export function failed(code: ErrorCode, message: string): Step {
  return { failed: protocolFault(code, message) };
}

function unexpected(mechanism: string, expected: string): Step {
  return failed("ERR_ZMTP_UNEXPECTED_COMMAND", `${mechanism}: expected ${expected}, got another command`);
}

/**
 * As libzmq, sends an ERROR, except for status 300 (27/ZAP: the peer tries again) and faults of the ZAP
 * service.
 */
export function refused(mechanism: string, why: false | Refusal): Step {
  if (why !== false && "code" in why) return failed(why.code, `${mechanism}: ${why.message}`);
  const { status, cause }: Exclude<Refusal, { code: ErrorCode }> = why === false ? { status: 400 } : why;
  return {
    ...(status === 300 ? {} : { send: [encodeCommand("ERROR", Buffer.from(`\u0003${status}`, "latin1"))] }),
    failed: {
      kind: "refused",
      code: "ERR_AUTHENTICATION",
      message: `${mechanism}: refused the peer with status ${status}`,
      status,
      cause,
    },
  };
}

/** At most 255 printable characters. */
function errorText(data: Buffer): string {
  return data.toString("latin1", 1, 256).replace(/[^\x20-\x7e]/g, "?");
}

/** @param data behind the command's name */
export function errorReceived(mechanism: string, data: Buffer): Step {
  if (data.length === 0 || data[0] !== data.length - 1) {
    return failed(
      "ERR_ZMTP_MALFORMED_COMMAND_ERROR",
      `${mechanism}: ERROR's reason does not fill the command`,
    );
  }
  const reason = data.toString("latin1", 1);
  if (reason === "300" || reason === "400" || reason === "500") {
    const message = `${mechanism}: the peer refused the credentials with status ${reason}`;
    return { failed: { kind: "auth", code: "ERR_AUTHENTICATION", message, status: Number(reason) } };
  }
  return { failed: handshakeFault(`${mechanism}: the peer ended the handshake: "${errorText(data)}"`) };
}

/** What the sides of all mechanisms with commands share. A side is over once it is done or has failed. */
export abstract class MechanismSide<Options = MechanismOptions> {
  abstract readonly name: MechanismName;
  protected readonly options: Options;
  #at: "open" | "asking" | "over" = "open";

  constructor(options: Options) {
    this.options = options;
  }

  protected get isOver(): boolean {
    return this.#at === "over";
  }

  receive(body: Buffer): Step {
    const command = this.#at === "open" ? parseCommand(body) : undefined;
    if (command?.name === "ERROR") return this.end(errorReceived(this.name, command.data));
    const step = command === undefined ? undefined : this.on(command, body);
    return step ?? this.end(unexpected(this.name, this.expected));
  }

  authenticated(verdict: Verdict): Step {
    if (this.#at !== "asking") return this.end(unexpected(this.name, "no verdict"));
    if (verdict !== true) return this.end(refused(this.name, verdict));
    this.#at = "open";
    return this.admitted();
  }

  /** Name of the command that is due. */
  protected abstract readonly expected: string;

  /** @returns `undefined` if the command is not due */
  protected abstract on(command: Command, body: Buffer): Step | undefined;

  /** Goes on after the verdict on a peer. */
  protected admitted(): Step {
    return {};
  }

  protected ask(credentials: Omit<Credentials, "mechanism">): Step {
    this.#at = "asking";
    return { ask: { mechanism: this.name, ...credentials } };
  }

  protected end(step: Step): Step {
    this.#at = "over";
    return step;
  }

  protected fail(code: ErrorCode, what: string): Step {
    return this.end(failed(code, `${this.name}: ${what}`));
  }

  /** @param command with the peer's metadata @param bytes the metadata @param send commands for the peer */
  protected done(command: string, bytes: Buffer, ...send: Uint8Array[]): Step {
    const metadata = decodeMetadata(bytes);
    if (typeof metadata !== "string") return this.end({ send, done: metadata });
    return this.fail("ERR_ZMTP_INVALID_METADATA", `${command} has ${metadata}`);
  }
}
