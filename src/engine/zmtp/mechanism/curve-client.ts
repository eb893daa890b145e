/**
 * The client's side of CURVE (26/CURVEZMQ, Security Handshake; curve-handshake.ts).
 *
 *   start, send HELLO -> hello sent -- WELCOME, send INITIATE --> initiate sent -- READY --> over
 */
import { encodeZ85 } from "../../../core/z85.js";
import { decodeMetadata, encodeCommand, parseCommand } from "../codec/command.js";
import { type CurvePrimitives, KEY_LENGTH, type KeyPair } from "./curve-box.js";
import { CurveCipher } from "./curve-cipher.js";
import {
  COOKIE_LENGTH,
  type CurveRandom,
  CurveSide,
  counter,
  HELLO_HEAD,
  LONG_NONCE_LENGTH,
  NonceText,
  needKey,
  nonce,
  openBox,
  Ready,
  SIGNATURE,
  sealBox,
  Welcome,
} from "./curve-handshake.js";
import { errorReceived, type Mechanism, type MechanismOptions, type Step, unexpected } from "./mechanism.js";

/** Counters of this side; its first MESSAGE has 3. */
const HELLO_COUNTER = 1;
const INITIATE_COUNTER = 2;

/** Each state drops the keys of earlier ones. */
type State =
  /** Shared by C' and S. */
  | { readonly at: "hello-sent"; readonly transient: KeyPair; readonly key: Uint8Array }
  /** Shared by C' and S'. */
  | { readonly at: "initiate-sent"; readonly key: Uint8Array };

export class CurveClient extends CurveSide<State> implements Mechanism {
  readonly asServer = false;
  readonly #serverKey: Uint8Array;

  /** @throws InvalidArgumentError `EINVAL` without a secret key or the server's key; as `primitives.load` */
  constructor(options: MechanismOptions, primitives: CurvePrimitives, random?: CurveRandom) {
    super(options, primitives, random);
    this.#serverKey = needKey(options.curveServerKey, "a server key");
  }

  /** A server with another key hangs up after HELLO. */
  get suspicion(): string | undefined {
    if (this.state.at === "hello-sent") return this.#wrongKey();
    if (this.state.at !== "initiate-sent") return undefined;
    return `it may not accept this client's key, whose public half is ${encodeZ85(this.permanent.publicKey)}`;
  }

  #wrongKey(): string {
    return `wrong server key? The curveServerKey of this client is ${encodeZ85(this.#serverKey)}`;
  }

  start(): Step {
    const transient = this.random.keyPair(this.box);
    const key = this.box.agree(this.#serverKey, transient.secretKey);
    if (key === undefined) return this.fail("ERR_ZMTP_KEY_EXCHANGE", "the server's key is not a usable key");
    this.state = { at: "hello-sent", transient, key };
    const short = counter(HELLO_COUNTER);
    const box = sealBox(this.box, SIGNATURE, nonce(NonceText.hello, short), key);
    const data = Buffer.concat([HELLO_HEAD, transient.publicKey, short, box]);
    return { send: [encodeCommand("HELLO", data)] };
  }

  receive(body: Buffer): Step {
    const state = this.state;
    const command = state.at === "over" ? undefined : parseCommand(body);
    if (command?.name === "ERROR") return this.end(errorReceived("CURVE", command.data));
    if (state.at === "hello-sent" && command?.name === "WELCOME") {
      return this.#welcome(body, state.transient, state.key);
    }
    if (state.at === "initiate-sent" && command?.name === "READY") return this.#ready(body, state.key);
    return this.end(unexpected("CURVE", state.at === "hello-sent" ? "WELCOME" : "READY"));
  }

  authenticated(): Step {
    return this.end(unexpected("CURVE", "no verdict"));
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
    this.state = { at: "initiate-sent", key };
    return { send: [encodeCommand("INITIATE", Buffer.concat([cookie, short, box]))] };
  }

  #ready(body: Buffer, key: Uint8Array): Step {
    if (body.length < Ready.minLength) {
      return this.fail("ERR_ZMTP_MALFORMED_COMMAND_READY", `READY has ${body.length} bytes`);
    }
    const short = body.subarray(Ready.nonce, Ready.box);
    const plain = openBox(this.box, body.subarray(Ready.box), nonce(NonceText.ready, short), key);
    if (plain === undefined) return this.fail("ERR_ZMTP_CRYPTOGRAPHIC", "READY does not open");
    const metadata = decodeMetadata(plain);
    if (typeof metadata === "string") return this.fail("ERR_ZMTP_INVALID_METADATA", `READY has ${metadata}`);
    this.cipher = new CurveCipher(this.box, key, false, INITIATE_COUNTER, short);
    return this.end({ done: metadata });
  }
}
