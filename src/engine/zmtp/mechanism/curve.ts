/**
 * Both sides of CURVE's handshake (26/CURVEZMQ, Security Handshake). C and S are the permanent keys of client and server,
 * C' and S' those of one connection. Box[x](A->B) is x sealed with the shared key of A and B, 16 bytes longer than x.
 *
 *   HELLO     05 "HELLO" | version 01 00 | 72 x 00 | C' @80 | nonce @112 | Box[64 x 00](C'->S) @120        200 bytes
 *   WELCOME   07 "WELCOME" | long nonce @8 | Box[S', cookie](S->C') @24                                   168 bytes
 *   INITIATE  08 "INITIATE" | cookie @9 | nonce @105 | Box[C, vouch, metadata](C'->S') @113              257 bytes +
 *   READY     05 "READY" | nonce @6 | Box[metadata](S'->C') @14                                           30 bytes +
 *
 *   cookie = 96 bytes that a client sends back: in RFC 26 the server's state, sealed; here random (CurveServer)
 *   vouch  = long nonce | Box[C', S](C->S')                                   96 bytes
 *
 * A box's nonce is a text, then the sender's counter of 8 bytes (nonce) or 16 random bytes (long nonce). The
 * counter starts at 1 and spans all commands and messages. HELLO's padding has 70 bytes in RFC 26's prose;
 * all implementations send 72.
 */
import { randomBytes } from "../../../core/bytes.js";
import { InvalidArgumentError } from "../../../core/errors.js";
import { encodeZ85 } from "../../../core/z85.js";
import { type Command, encodeCommand } from "../codec/command.js";
import {
  type CurveBox,
  type CurvePrimitives,
  KEY_LENGTH,
  type KeyPair,
  keyPairOf,
  newKeyPair,
  TAG_LENGTH,
} from "./curve-box.js";
import { Sealer } from "./curve-cipher.js";
import { type Mechanism, type MechanismOptions, MechanismSide, type Step } from "./mechanism.js";

const LONG_NONCE_LENGTH = 16;
const COOKIE_LENGTH = LONG_NONCE_LENGTH + TAG_LENGTH + 2 * KEY_LENGTH;
const VOUCH_LENGTH = LONG_NONCE_LENGTH + TAG_LENGTH + 2 * KEY_LENGTH;

const Hello = { length: 200, version: 6, padding: 8, publicKey: 80, nonce: 112, box: 120 } as const;
const Welcome = { length: 168, nonce: 8, box: 24 } as const;
const Initiate = { minLength: 257, cookie: 9, nonce: 105, box: 113 } as const;
const Ready = { minLength: 30, nonce: 6, box: 14 } as const;

/** HELLO from the version to C': version 1.0 and padding. */
const HELLO_HEAD = Buffer.alloc(Hello.publicKey - Hello.version);
HELLO_HEAD.writeUInt8(1);
/** The content of HELLO's box. */
const SIGNATURE = Buffer.alloc(64);

/** 16 bytes before a counter, 8 before random bytes. */
const NonceText = {
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
function openBox(box: CurveBox, sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array): Buffer | undefined {
  const plain = Buffer.allocUnsafe(sealed.length - TAG_LENGTH);
  return box.open(plain, sealed, nonce, key) ? plain : undefined;
}

/** @throws InvalidArgumentError `EINVAL` unless the key has 32 bytes; its message never has the key */
function needKey(key: Uint8Array | undefined, name: string): Uint8Array {
  if (key?.length === KEY_LENGTH) return key;
  throw new InvalidArgumentError(`CURVE needs ${name} of ${KEY_LENGTH} bytes; got ${key?.length ?? "none"}`);
}

abstract class CurveSide extends MechanismSide {
  readonly name = "CURVE";
  sealer: Sealer | undefined = undefined;
  protected readonly permanent: KeyPair;
  protected readonly random: CurveRandom;
  readonly #primitives: CurvePrimitives;

  /** @throws InvalidArgumentError `EINVAL` without a secret key; as `primitives.load` */
  constructor(options: MechanismOptions, primitives: CurvePrimitives, random = SYSTEM_RANDOM) {
    super(options);
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
}

// --- Client ----------------------------------------------------------------------------------------------------------

/** Counters of the client; its first MESSAGE has 3. */
const HELLO_COUNTER = 1;
const INITIATE_COUNTER = 2;

/** Each state drops the keys of earlier ones. */
type ClientState =
  /** Shared by C' and S. */
  | { readonly at: "hello-sent"; readonly transient: KeyPair; readonly key: Uint8Array }
  /** Shared by C' and S'. */
  | { readonly at: "initiate-sent"; readonly key: Uint8Array };

/** start, send HELLO -> hello sent -- WELCOME, send INITIATE --> initiate sent -- READY --> over */
export class CurveClient extends CurveSide implements Mechanism {
  readonly asServer = false;
  #state: ClientState | undefined = undefined;
  readonly #serverKey: Uint8Array;

  /** @throws InvalidArgumentError `EINVAL` without a secret key or the server's key; as `primitives.load` */
  constructor(options: MechanismOptions, primitives: CurvePrimitives, random?: CurveRandom) {
    super(options, primitives, random);
    this.#serverKey = needKey(options.curveServerKey, "a server key");
  }

  /** A server with another key hangs up after HELLO. */
  get suspicion(): string | undefined {
    if (this.isOver || this.#state === undefined) return undefined;
    if (this.#state.at === "hello-sent") return this.#wrongKey();
    return `it may not accept this client's key, whose public half is ${encodeZ85(this.permanent.publicKey)}`;
  }

  #wrongKey(): string {
    return `wrong server key? The curveServerKey of this client is ${encodeZ85(this.#serverKey)}`;
  }

  start(): Step {
    const transient = this.random.keyPair(this.box);
    const key = this.box.agree(this.#serverKey, transient.secretKey);
    if (key === undefined) return this.fail("ERR_ZMTP_KEY_EXCHANGE", "the server's key is not a usable key");
    this.#state = { at: "hello-sent", transient, key };
    const short = counter(HELLO_COUNTER);
    const box = sealBox(this.box, SIGNATURE, nonce(NonceText.hello, short), key);
    const data = Buffer.concat([HELLO_HEAD, transient.publicKey, short, box]);
    return { send: [encodeCommand("HELLO", data)] };
  }

  protected get expected(): string {
    return this.#state?.at === "initiate-sent" ? "READY" : "WELCOME";
  }

  protected on({ name }: Command, body: Buffer): Step | undefined {
    const state = this.#state;
    if (state === undefined || name !== this.expected) return undefined;
    return state.at === "hello-sent"
      ? this.#welcome(body, state.transient, state.key)
      : this.#ready(body, state.key);
  }

  #welcome(body: Buffer, transient: KeyPair, helloKey: Uint8Array): Step {
    if (body.length !== Welcome.length) {
      return this.fail("ERR_ZMTP_MALFORMED_COMMAND_WELCOME", `WELCOME has ${body.length} bytes`);
    }
    const long = nonce(NonceText.welcome, body.subarray(Welcome.nonce, Welcome.box));
    const plain = openBox(this.box, body.subarray(Welcome.box), long, helloKey);
    if (plain === undefined)
      return this.fail("ERR_ZMTP_CRYPTOGRAPHIC", `WELCOME does not open: ${this.#wrongKey()}`);
    const serverTransient = plain.subarray(0, KEY_LENGTH);
    const cookie = plain.subarray(KEY_LENGTH, KEY_LENGTH + COOKIE_LENGTH);
    const key = this.box.agree(serverTransient, transient.secretKey);
    const vouchKey = this.box.agree(serverTransient, this.permanent.secretKey);
    if (key === undefined || vouchKey === undefined) {
      return this.fail("ERR_ZMTP_KEY_EXCHANGE", "WELCOME has no usable key");
    }
    const vouchNonce = this.random.bytes(LONG_NONCE_LENGTH);
    const vouched = Buffer.concat([transient.publicKey, this.#serverKey]);
    const vouch = sealBox(this.box, vouched, nonce(NonceText.vouch, vouchNonce), vouchKey);
    const short = counter(INITIATE_COUNTER);
    const content = Buffer.concat([this.permanent.publicKey, vouchNonce, vouch, this.options.properties]);
    const box = sealBox(this.box, content, nonce(NonceText.initiate, short), key);
    this.#state = { at: "initiate-sent", key };
    return { send: [encodeCommand("INITIATE", Buffer.concat([cookie, short, box]))] };
  }

  #ready(body: Buffer, key: Uint8Array): Step {
    if (body.length < Ready.minLength) {
      return this.fail("ERR_ZMTP_MALFORMED_COMMAND_READY", `READY has ${body.length} bytes`);
    }
    const short = body.subarray(Ready.nonce, Ready.box);
    const plain = openBox(this.box, body.subarray(Ready.box), nonce(NonceText.ready, short), key);
    if (plain === undefined) return this.fail("ERR_ZMTP_CRYPTOGRAPHIC", "READY does not open");
    this.sealer = new Sealer(this.box, key, false, INITIATE_COUNTER, short);
    return this.done("READY", plain);
  }
}

// --- Server ----------------------------------------------------------------------------------------------------------

const VOUCH_BOX = KEY_LENGTH + LONG_NONCE_LENGTH;
const METADATA = KEY_LENGTH + VOUCH_LENGTH;

/** WELCOME has no counter; the server's first MESSAGE has 2. */
const READY_COUNTER = 1;

/** Between WELCOME and INITIATE. */
interface Welcomed {
  /** C'. */
  readonly client: Buffer;
  /** S' and s'. */
  readonly transient: KeyPair;
  readonly cookie: Buffer;
  readonly counter: Buffer;
}

interface Accepted {
  /** Shared by C' and S'. */
  readonly key: Uint8Array;
  readonly metadata: Buffer;
  readonly counter: Buffer;
}

/**
 * start -- HELLO, send WELCOME --> welcome sent -- INITIATE --> (asks: asking -- allowed -->) send READY -> over
 *
 * Unlike RFC 26's, this server keeps its state between HELLO and INITIATE, so the cookie need not hold it: a recorded
 * INITIATE opens nothing. Without a hook all clients with the server's key may connect, as with libzmq.
 */
export class CurveServer extends CurveSide implements Mechanism {
  readonly asServer = true;
  protected expected: "HELLO" | "INITIATE" = "HELLO";
  #welcomed: Welcomed | undefined = undefined;
  #accepted: Accepted | undefined = undefined;

  start(): Step {
    return {};
  }

  protected on({ name }: Command, body: Buffer): Step | undefined {
    if (name !== this.expected) return undefined;
    return this.#welcomed === undefined ? this.#hello(body) : this.#initiate(body, this.#welcomed);
  }

  protected override admitted(): Step {
    return this.#ready(this.#accepted as Accepted);
  }

  #hello(body: Buffer): Step {
    if (body.length !== Hello.length) {
      return this.fail("ERR_ZMTP_MALFORMED_COMMAND_HELLO", `HELLO has ${body.length} bytes`);
    }
    if (!body.subarray(Hello.version, Hello.publicKey).equals(HELLO_HEAD)) {
      return this.fail(
        "ERR_ZMTP_MALFORMED_COMMAND_HELLO",
        "HELLO has another version than 1.0, or no padding",
      );
    }
    const client = Buffer.from(body.subarray(Hello.publicKey, Hello.nonce));
    const short = Buffer.from(body.subarray(Hello.nonce, Hello.box));
    const key = this.box.agree(client, this.permanent.secretKey);
    if (key === undefined) return this.fail("ERR_ZMTP_KEY_EXCHANGE", "HELLO has no usable key");
    const signature = openBox(this.box, body.subarray(Hello.box), nonce(NonceText.hello, short), key);
    if (signature === undefined) {
      const own = encodeZ85(this.permanent.publicKey);
      return this.fail(
        "ERR_ZMTP_CRYPTOGRAPHIC",
        `HELLO does not open: wrong server key? The public key of this server is ${own}`,
      );
    }
    if (!signature.equals(SIGNATURE)) {
      return this.fail("ERR_ZMTP_MALFORMED_COMMAND_HELLO", "HELLO's box is not 64 zeros");
    }
    const transient = this.random.keyPair(this.box);
    const cookie = this.random.bytes(COOKIE_LENGTH);
    const long = this.random.bytes(LONG_NONCE_LENGTH);
    const content = Buffer.concat([transient.publicKey, cookie]);
    const box = sealBox(this.box, content, nonce(NonceText.welcome, long), key);
    this.expected = "INITIATE";
    this.#welcomed = { client, transient, cookie, counter: short };
    return { send: [encodeCommand("WELCOME", Buffer.concat([long, box]))] };
  }

  #initiate(body: Buffer, state: Welcomed): Step {
    if (body.length < Initiate.minLength) {
      return this.fail("ERR_ZMTP_MALFORMED_COMMAND_INITIATE", `INITIATE has ${body.length} bytes`);
    }
    if (!body.subarray(Initiate.cookie, Initiate.nonce).equals(state.cookie)) {
      return this.fail("ERR_ZMTP_CRYPTOGRAPHIC", "INITIATE has another cookie than WELCOME");
    }
    const short = Buffer.from(body.subarray(Initiate.nonce, Initiate.box));
    if (short.compare(state.counter) <= 0) {
      return this.fail("ERR_ZMTP_INVALID_SEQUENCE", "INITIATE's counter did not grow");
    }
    const key = this.box.agree(state.client, state.transient.secretKey);
    if (key === undefined) return this.fail("ERR_ZMTP_KEY_EXCHANGE", "HELLO has no usable key");
    const box = body.subarray(Initiate.box);
    const plain = openBox(this.box, box, nonce(NonceText.initiate, short), key);
    if (plain === undefined) return this.fail("ERR_ZMTP_CRYPTOGRAPHIC", "INITIATE does not open");

    // Only the vouch proves C. It seals C' and S, so that another server cannot reuse it. (libzmq ignores S.)
    const client = plain.subarray(0, KEY_LENGTH);
    const vouchKey = this.box.agree(client, state.transient.secretKey);
    if (vouchKey === undefined) return this.fail("ERR_ZMTP_KEY_EXCHANGE", "INITIATE has no usable key");
    const vouchNonce = nonce(NonceText.vouch, plain.subarray(KEY_LENGTH, VOUCH_BOX));
    const vouched = openBox(this.box, plain.subarray(VOUCH_BOX, METADATA), vouchNonce, vouchKey);
    if (vouched === undefined) return this.fail("ERR_ZMTP_CRYPTOGRAPHIC", "INITIATE's vouch does not open");
    if (!vouched.equals(Buffer.concat([state.client, this.permanent.publicKey]))) {
      return this.fail("ERR_ZMTP_KEY_EXCHANGE", "INITIATE's vouch is for other keys");
    }

    const accepted: Accepted = { key, metadata: plain.subarray(METADATA), counter: short };
    if (!this.options.asks) return this.#ready(accepted);
    this.#welcomed = undefined;
    this.#accepted = accepted;
    return this.ask({ publicKey: encodeZ85(client) });
  }

  #ready(accepted: Accepted): Step {
    const short = counter(READY_COUNTER);
    const box = sealBox(this.box, this.options.properties, nonce(NonceText.ready, short), accepted.key);
    this.sealer = new Sealer(this.box, accepted.key, true, READY_COUNTER, accepted.counter);
    return this.done("INITIATE", accepted.metadata, encodeCommand("READY", Buffer.concat([short, box])));
  }
}
