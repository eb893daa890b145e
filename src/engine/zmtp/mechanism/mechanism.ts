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
  /** Ask the hook; then call `authenticated`. */
  readonly ask?: Credentials;
  /** The handshake is complete. */
  readonly done?: Metadata;
  /** It failed: once `send` went out, the connection closes. */
  readonly failed?: Fault;
}

/** Protects frames after the handshake. */
export interface FrameCipher {
  /** How many bytes the sealed frame's body has for a plain body of `length`. */
  sealedLength(length: number): number;
  /**
   * Seals one plain frame.
   *
   * @param flags of the plain frame: MORE 1, COMMAND 4
   * @param target where the sealed body goes, `sealedLength` bytes at `offset`
   */
  seal(flags: number, body: Uint8Array, target: Uint8Array, offset: number): void;
  /**
   * Opens one sealed body: the plain frame's flags (MORE 1, COMMAND 4) and body, or the fault for which the connection
   * closes.
   *
   * @param body is overwritten: it is opened in place, and the plain body is a view of it
   */
  open(body: Buffer): { readonly flags: number; readonly body: Buffer } | Fault;
}

/** One side of one handshake. */
export interface Mechanism {
  readonly name: "NULL" | "PLAIN" | "CURVE";
  /** The greeting's as-server field. */
  readonly asServer: boolean;
  start(): Step;
  receive(body: Buffer): Step;
  authenticated(verdict: Verdict): Step;
  /** After `done`; `undefined` where frames travel as they are. */
  readonly cipher: FrameCipher | undefined;
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
