/**
 * The server's side of CURVE (26/CURVEZMQ, Security Handshake; curve-handshake.ts).
 *
 *   start -- HELLO, send WELCOME --> welcome sent -- INITIATE --> (asks: asking -- allowed -->) send READY -> over
 *
 * Unlike RFC 26's, this server keeps its state between HELLO and INITIATE, so the cookie need not hold it: a recorded
 * INITIATE opens nothing.
 *
 * Without a hook all clients with the server's key may connect, as with libzmq.
 */
import { encodeZ85 } from "../../../core/z85.js";
import { decodeMetadata, encodeCommand, parseCommand } from "../codec/command.js";
import { KEY_LENGTH, type KeyPair } from "./curve-box.js";
import { CurveCipher } from "./curve-cipher.js";
import {
  COOKIE_LENGTH,
  CurveSide,
  counter,
  HELLO_HEAD,
  Hello,
  Initiate,
  LONG_NONCE_LENGTH,
  NonceText,
  nonce,
  openBox,
  SIGNATURE,
  sealBox,
  VOUCH_LENGTH,
} from "./curve-handshake.js";
import {
  errorReceived,
  type Mechanism,
  type Metadata,
  refused,
  type Step,
  unexpected,
  type Verdict,
} from "./mechanism.js";

const VOUCH_BOX = KEY_LENGTH + LONG_NONCE_LENGTH;
const METADATA = KEY_LENGTH + VOUCH_LENGTH;

/** WELCOME has no counter; this side's first MESSAGE has 2. */
const READY_COUNTER = 1;

type State =
  | {
      readonly at: "welcome-sent";
      /** C'. */
      readonly client: Buffer;
      /** S' and s'. */
      readonly transient: KeyPair;
      readonly cookie: Buffer;
      readonly counter: Buffer;
    }
  | { readonly at: "asking"; readonly accepted: Accepted };

interface Accepted {
  /** Shared by C' and S'. */
  readonly key: Uint8Array;
  readonly metadata: Metadata;
  readonly counter: Buffer;
}

/** In constant time. */
function equal(one: Uint8Array, other: Uint8Array): boolean {
  let differing = one.length ^ other.length;
  for (let i = 0; i < one.length; i++) differing |= (one[i] as number) ^ (other[i] as number);
  return differing === 0;
}

export class CurveServer extends CurveSide<State> implements Mechanism {
  readonly asServer = true;

  start(): Step {
    return {};
  }

  receive(body: Buffer): Step {
    const state = this.state;
    const command = state.at === "over" ? undefined : parseCommand(body);
    if (command?.name === "ERROR") return this.end(errorReceived("CURVE", command.data));
    if (state.at === "start" && command?.name === "HELLO") return this.#hello(body);
    if (state.at === "welcome-sent" && command?.name === "INITIATE") return this.#initiate(body, state);
    return this.end(unexpected("CURVE", state.at === "start" ? "HELLO" : "INITIATE"));
  }

  authenticated(verdict: Verdict): Step {
    if (this.state.at !== "asking") return this.end(unexpected("CURVE", "no verdict"));
    if (verdict !== true) return this.end(refused("CURVE", verdict));
    return this.#ready(this.state.accepted);
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
    this.state = { at: "welcome-sent", client, transient, cookie, counter: short };
    return { send: [encodeCommand("WELCOME", Buffer.concat([long, box]))] };
  }

  #initiate(body: Buffer, state: Extract<State, { at: "welcome-sent" }>): Step {
    if (body.length < Initiate.minLength) {
      return this.fail("ERR_ZMTP_MALFORMED_COMMAND_INITIATE", `INITIATE has ${body.length} bytes`);
    }
    if (!equal(body.subarray(Initiate.cookie, Initiate.nonce), state.cookie)) {
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
    if (!equal(vouched, Buffer.concat([state.client, this.permanent.publicKey]))) {
      return this.fail("ERR_ZMTP_KEY_EXCHANGE", "INITIATE's vouch is for other keys");
    }

    const metadata = decodeMetadata(plain.subarray(METADATA));
    if (typeof metadata === "string") {
      return this.fail("ERR_ZMTP_INVALID_METADATA", `INITIATE has ${metadata}`);
    }
    const accepted: Accepted = { key, metadata, counter: short };
    if (!this.options.asks) return this.#ready(accepted);
    this.state = { at: "asking", accepted };
    return { ask: { mechanism: "CURVE", publicKey: encodeZ85(client) } };
  }

  #ready(accepted: Accepted): Step {
    const short = counter(READY_COUNTER);
    const box = sealBox(this.box, this.options.properties, nonce(NonceText.ready, short), accepted.key);
    this.cipher = new CurveCipher(this.box, accepted.key, true, READY_COUNTER, accepted.counter);
    return this.end({
      send: [encodeCommand("READY", Buffer.concat([short, box]))],
      done: accepted.metadata,
    });
  }
}
