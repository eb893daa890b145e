/**
 * What a security mechanism is to a connection: a state machine that gets the
 * peer's commands and says what to do next (37/ZMTP, Security Mechanisms).
 * Pure: no socket, no clock; random bytes come in through the constructor.
 *
 *   greeting of the peer -> start() -> Step
 *   command of the peer  -> receive(body) -> Step
 *   answer of the hook   -> authenticated(verdict) -> Step  after a Step with `ask`
 *
 * Each Step is carried out in the order send, ask or done or failed. Nothing is
 * received while an `ask` is unanswered.
 */
import type { ErrorCode } from "../../../core/errors.js";
import { encodeCommand } from "../codec/command.js";

/** The peer's properties, by lower-case name (37/ZMTP, Connection Metadata). */
export type Metadata = ReadonlyMap<string, Buffer>;

/** What the peer presents to the socket's hook. */
export interface Credentials {
  readonly mechanism: "NULL" | "PLAIN" | "CURVE";
  readonly username?: string;
  readonly password?: string;
  /** Z85, 40 characters. */
  readonly publicKey?: string;
}

/** What became of the question about a peer; nothing but `true` lets it in. */
export type Verdict = boolean | Refusal;

/** Why a hook or a ZAP service does not let a peer in: its status, or what is wrong with its reply (27/ZAP, The Reply). */
export type Refusal =
  | {
      readonly status: 300 | 400 | 500;
      /** What the hook threw. */
      readonly cause?: unknown;
    }
  | { readonly code: ErrorCode; readonly message: string };

/** Why a handshake failed. */
export interface Fault {
  /** `refused`: by this side; `auth`: the peer refused us (`status` from its ERROR); `protocol`: it broke the rules. */
  readonly kind: "refused" | "auth" | "protocol" | "other";
  readonly code: ErrorCode;
  readonly message: string;
  /** What the program's hook threw. */
  readonly cause?: unknown;
  /** A ZAP status: 300, 400 or 500. */
  readonly status?: number;
}

/** What is to be done next. */
export interface Step {
  /** Bodies of command frames, without their frame header. */
  readonly send?: readonly Uint8Array[];
  /** Wait for this promise, then call `start`. When it rejects, the handshake has failed. */
  readonly wait?: Promise<void>;
  /** Ask the hook; then call `authenticated`. */
  readonly ask?: Credentials;
  /** The handshake is complete. */
  readonly done?: Metadata;
  /** It failed: once `send` went out, the connection closes. */
  readonly failed?: Fault;
}

/**
 * Memory in which a cipher works fastest. Frames are copied into its input, sealed or opened into its output, and copied out,
 * many at once. All connections of the thread share it: what is in it stays no longer than the caller's turn.
 */
export interface CipherMemory {
  readonly bytes: Uint8Array;
  readonly input: number;
  readonly inputSize: number;
  readonly output: number;
  readonly outputSize: number;
}

/** Protects frames after the handshake. */
export interface FrameCipher {
  /** How many bytes the sealed frame's body has for a plain body of `length`. */
  sealedLength(length: number): number;
  /**
   * Seals the plain frame whose body is at `from` to `to`.
   *
   * @param flags of the plain frame: MORE 1, COMMAND 4
   * @param plain where it is the cipher's own memory, the byte in front of `from` is written
   * @param target where the sealed body goes, `sealedLength` bytes at `at`; the cipher's own memory where `plain` is that
   */
  seal(flags: number, plain: Uint8Array, from: number, to: number, target: Uint8Array, at: number): void;
  /** Bytes of the plain body in a sealed one of `length`; negative: it cannot be one. */
  plainLength(length: number): number;
  /**
   * Opens the sealed body at `from` to `to`.
   *
   * @param plain other memory, or the cipher's own where `sealed` is that: gets a byte that is worthless at `at`, and the
   *   plain body of `plainLength` bytes behind it
   * @returns the plain frame's flags (MORE 1, COMMAND 4), or the fault for which the connection closes; then what `plain`
   *   got is worthless
   */
  open(sealed: Uint8Array, from: number, to: number, plain: Uint8Array, at: number): number | Fault;
  /** Bytes of the longest plain body that its own memory is for; one with all that sealing adds fits there. Negative: none. */
  readonly mostShort: number;
  /** Its own memory, for the frames that are sealed next, or opened. `undefined`: it has none. */
  memory(use: "seal" | "open"): CipherMemory | undefined;
}

/** One side of one handshake. */
export interface Mechanism {
  readonly name: "NULL" | "PLAIN" | "CURVE";
  /** The greeting's as-server field. */
  readonly asServer: boolean;
  /**
   * What `start` has to send, as frames, where that may go out right behind this side's greeting, whatever the peer's is: the
   * same array for the same properties. If it does, `start` is not called. Absent: the mechanism waits for the peer's greeting.
   */
  readonly early?: Uint8Array | undefined;
  /** Fulfilled when the mechanism's code is loaded, which `start` needs; absent: it is loaded. */
  readonly loading?: Promise<void> | undefined;
  start(): Step;
  receive(body: Buffer): Step;
  authenticated(verdict: Verdict): Step;
  /** Why the peer may have hung up where it gives no reason; absent: nothing is known. Never a secret. */
  readonly suspicion?: string | undefined;
  /** After `done`; `undefined` where frames travel as they are. */
  readonly cipher: FrameCipher | undefined;
  /** Present where there are no commands: each side's first message is its routing id, and `receive` gets the peer's. */
  readonly routingId?: Uint8Array;
}

/** What a mechanism has to know of its socket. */
export interface MechanismOptions {
  /** This side's properties, encoded (metadata.ts). */
  readonly properties: Uint8Array;
  /** Whether the hook is to be asked. PLAIN servers refuse everybody without it, as libzmq does without a ZAP handler. */
  readonly asks: boolean;
  readonly plainUsername: string;
  readonly plainPassword: string;
  /**
   * 32 bytes each, or undefined. What CURVE finds out about a key is kept with its array: pass the same one for
   * every connection. Each side's own public key is derived from its secret key; the one given here is not used.
   */
  readonly curvePublicKey: Uint8Array | undefined;
  readonly curveSecretKey: Uint8Array | undefined;
  readonly curveServerKey: Uint8Array | undefined;
}

// How handshakes fail: the faults that the mechanisms share, and the ERROR command
// (37/ZMTP, The NULL Security Mechanism; 27/ZAP, The Reply).
//
//   ERROR = 05 "ERROR" | reason length 1 | reason
//
// A reason of 300, 400 or 500 is a ZAP status; any other is text for a log.

/** The peer broke the rules of the handshake, or of the frames after it. */
export function protocolFault(code: ErrorCode, message: string): Fault {
  return { kind: "protocol", code, message };
}

/** The same as the step that ends a handshake. Nothing is sent: libzmq, too, closes silently. */
export function failed(code: ErrorCode, message: string): Step {
  return { failed: protocolFault(code, message) };
}

/** A command that does not belong where it came. */
export function unexpected(mechanism: string, expected: string): Step {
  return failed("ERR_ZMTP_UNEXPECTED_COMMAND", `${mechanism}: expected ${expected}, got another command`);
}

/**
 * The step after a peer was refused: it gets an ERROR, as from libzmq, and the connection ends. A failure that is temporary
 * (status 300) sends no ERROR, so that the peer tries again (27/ZAP); nor does one of the service itself.
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

/** The text of an ERROR. It ends up in logs and terminals: at most 255 characters, all of them printable. */
export function errorText(data: Buffer): string {
  return data.toString("latin1", 1, 256).replace(/[^\x20-\x7e]/g, "?");
}

/**
 * The step after the peer's ERROR.
 *
 * @param data what follows the command's name
 */
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
  const text = errorText(data);
  return {
    failed: {
      kind: "other",
      code: "ERR_HANDSHAKE",
      message: `${mechanism}: the peer ended the handshake: "${text}"`,
    },
  };
}
