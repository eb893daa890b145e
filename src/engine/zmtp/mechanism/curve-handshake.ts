/**
 * What both sides of CURVE's handshake share: its commands (26/CURVEZMQ, CurveZMQ Commands), and the class CurveSide. C
 * and S are the permanent keys of client and server, C' and S' those of one connection. Box[x](A->B) is x sealed with the
 * shared key of A and B, 16 bytes longer than x.
 *
 *   HELLO     05 "HELLO" | version 01 00 | 72 x 00 | C' @80 | nonce @112 | Box[64 x 00](C'->S) @120        200 bytes
 *   WELCOME   07 "WELCOME" | long nonce @8 | Box[S', cookie](S->C') @24                                   168 bytes
 *   INITIATE  08 "INITIATE" | cookie @9 | nonce @105 | Box[C, vouch, metadata](C'->S') @113              257 bytes +
 *   READY     05 "READY" | nonce @6 | Box[metadata](S'->C') @14                                           30 bytes +
 *
 *   cookie = 96 bytes that a client sends back: in RFC 26 the server's state, sealed; here random (curve-server.ts)
 *   vouch  = long nonce | Box[C', S](C->S')                                   96 bytes
 *
 * A box's nonce is a text, then the sender's counter of 8 bytes (nonce) or 16 random bytes (long nonce). The
 * counter starts at 1 and spans all commands and messages. HELLO's padding has 70 bytes in RFC 26's prose;
 * all implementations send 72.
 */
import { randomBytes } from "../../../core/bytes.js";
import { type ErrorCode, InvalidArgumentError } from "../../../core/errors.js";
import {
  type CurveBox,
  type CurvePrimitives,
  KEY_LENGTH,
  type KeyPair,
  keyPairOf,
  newKeyPair,
  TAG_LENGTH,
} from "./curve-box.js";
import { type FrameCipher, failed, type MechanismOptions, type Step } from "./mechanism.js";
import { Sealer } from "./sealer.js";

export const LONG_NONCE_LENGTH = 16;
export const COOKIE_LENGTH = LONG_NONCE_LENGTH + TAG_LENGTH + 2 * KEY_LENGTH;
export const VOUCH_LENGTH = LONG_NONCE_LENGTH + TAG_LENGTH + 2 * KEY_LENGTH;

export const Hello = { length: 200, version: 6, padding: 8, publicKey: 80, nonce: 112, box: 120 } as const;
export const Welcome = { length: 168, nonce: 8, box: 24 } as const;
export const Initiate = { minLength: 257, cookie: 9, nonce: 105, box: 113 } as const;
export const Ready = { minLength: 30, nonce: 6, box: 14 } as const;

/** HELLO from the version to C': version 1.0 and padding. */
export const HELLO_HEAD = Buffer.alloc(Hello.publicKey - Hello.version);
HELLO_HEAD.writeUInt8(1);
/** The content of HELLO's box. */
export const SIGNATURE = Buffer.alloc(64);

/** 16 bytes before a counter, 8 before random bytes. */
export const NonceText = {
  hello: "CurveZMQHELLO---",
  welcome: "WELCOME-",
  initiate: "CurveZMQINITIATE",
  vouch: "VOUCH---",
  ready: "CurveZMQREADY---",
} as const;

export interface CurveRandom {
  bytes(length: number): Buffer;
  keyPair(box: CurveBox): KeyPair;
}

export const SYSTEM_RANDOM: CurveRandom = {
  bytes: randomBytes,
  keyPair: newKeyPair,
};

export function counter(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(value, 4);
  return bytes;
}

export function nonce(text: string, rest: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(text, "latin1"), rest]);
}

export function sealBox(box: CurveBox, plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): Buffer {
  const sealed = Buffer.allocUnsafe(plain.length + TAG_LENGTH);
  box.seal(sealed, plain, nonce, key);
  return sealed;
}

/** `undefined` if the box is not genuine. */
export function openBox(
  box: CurveBox,
  sealed: Uint8Array,
  nonce: Uint8Array,
  key: Uint8Array,
): Buffer | undefined {
  const plain = Buffer.allocUnsafe(sealed.length - TAG_LENGTH);
  return box.open(plain, sealed, nonce, key) ? plain : undefined;
}

/** @throws InvalidArgumentError `EINVAL` unless the key has 32 bytes; its message never has the key */
export function needKey(key: Uint8Array | undefined, name: string): Uint8Array {
  if (key?.length === KEY_LENGTH) return key;
  throw new InvalidArgumentError(`CURVE needs ${name} of ${KEY_LENGTH} bytes; got ${key?.length ?? "none"}`);
}

/** The common part of curve-client.ts and curve-server.ts. */
export abstract class CurveSide<State> {
  readonly name = "CURVE";
  /** Set with `done`. */
  cipher: FrameCipher | undefined = undefined;
  protected readonly options: MechanismOptions;
  protected readonly permanent: KeyPair;
  protected readonly random: CurveRandom;
  protected state: State | { readonly at: "start" | "over" } = { at: "start" };
  readonly #primitives: CurvePrimitives;

  /** @throws InvalidArgumentError `EINVAL` without a secret key; as `primitives.load` */
  constructor(options: MechanismOptions, primitives: CurvePrimitives, random = SYSTEM_RANDOM) {
    this.options = options;
    this.permanent = keyPairOf(needKey(options.curveSecretKey, "a secret key"));
    this.random = random;
    this.#primitives = primitives;
    primitives.load();
  }

  get loading(): Promise<void> | undefined {
    return this.#primitives.load();
  }

  protected get box(): CurveBox {
    return this.#primitives.box();
  }

  sealer(): Sealer {
    return new Sealer(this.cipher as FrameCipher);
  }

  protected fail(code: ErrorCode, what: string): Step {
    return this.end(failed(code, `CURVE: ${what}`));
  }

  protected end(step: Step): Step {
    this.state = { at: "over" };
    return step;
  }
}
