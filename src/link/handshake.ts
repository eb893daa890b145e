/**
 * The handshake of a link (docs/spec/link.md, Handshake): hellos, then proofs of the password. Pure, apart from random
 * keys.
 *
 *   hello   "SHOALLNK", version 1, role 1, flags 1, 0, window 4, channels 4, 0 0, length of extension 2, key 32, extension
 *   proof   01, HMAC-SHA256 of both hellos 32; or 00: refused
 *
 *   HELLO ──no password──────────────────────────────────────────────> DONE
 *     └─initiator: sends its proof ──> PROOF ──a good one──────────────> DONE
 *     └─responder:                    PROOF ──a good one, sends its own─> DONE
 *
 * Proof keys derive from the password and the shared secret of fresh X25519 keys: an eavesdropper cannot test passwords,
 * and a man in the middle has two secrets that no proof fits.
 */
import {
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { LARGEST_WINDOW, MIN_WINDOW } from "./frames.js";

/** `either`: the hellos decide. */
export type LinkRole = "initiator" | "responder" | "either";

export type HandshakeFailure =
  | "hello"
  | "version"
  | "role"
  | "reflected"
  | "password"
  | "password-missing"
  | "password-unexpected"
  | "refused";

const MAGIC = Buffer.from("SHOALLNK");
const VERSION = 1;
const ROLES = ["either", "initiator", "responder"] as const;
const HAS_PASSWORD = 1;
const ENCRYPTS = 2;
const HELLO_SIZE = 56;
const KEY_AT = 24;
const KEY_SIZE = 32;
const PROOF_SIZE = 33;
const PROVED = 1;
/** DER prefix of an X25519 public key. */
const SPKI = Buffer.from("302a300506032b656e032100", "hex");

export interface HandshakeSettings {
  readonly role: LinkRole;
  readonly window: number;
  readonly maxChannels: number;
  /** Keys from passwords, 32 bytes each: the first proves, all are accepted; empty without a password. */
  readonly keys: readonly Buffer[];
  /** Requires a password. */
  readonly encrypt: boolean;
}

export interface Agreement {
  readonly isInitiator: boolean;
  readonly peerWindow: number;
  readonly peerMaxChannels: number;
  /** Encryption keys, 32 bytes each. */
  readonly seals: { readonly out: Buffer; readonly in: Buffer } | undefined;
}

export class Handshake {
  readonly hello: Buffer;
  agreement: Agreement | undefined = undefined;
  failure: HandshakeFailure | undefined = undefined;
  readonly #settings: HandshakeSettings;
  readonly #secret: KeyObject | undefined;
  #pending: Buffer = Buffer.alloc(0);
  #size = HELLO_SIZE;
  #peer:
    | { readonly isInitiator: boolean; readonly hellos: Buffer; readonly shared: Buffer | undefined }
    | undefined;
  #peerHello: Buffer = this.#pending;
  #encrypts = false;

  constructor(settings: HandshakeSettings, secret?: KeyObject) {
    this.#settings = settings;
    const hello = Buffer.alloc(HELLO_SIZE);
    MAGIC.copy(hello);
    hello[8] = VERSION;
    hello[9] = ROLES.indexOf(settings.role);
    hello.writeUInt32BE(settings.window, 12);
    hello.writeUInt32BE(settings.maxChannels, 16);
    if (settings.keys.length > 0) {
      this.#secret = secret ?? generateKeyPairSync("x25519").privateKey;
      const own = createPublicKey(this.#secret).export({ type: "spki", format: "der" });
      own.copy(hello, KEY_AT, SPKI.length);
      hello[10] = HAS_PASSWORD | (settings.encrypt ? ENCRYPTS : 0);
    } else randomBytes(KEY_SIZE).copy(hello, KEY_AT);
    this.hello = hello;
  }

  /** @returns bytes after the handshake */
  receive(bytes: Buffer, send: (bytes: Buffer) => void): Buffer {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    while (this.failure === undefined && this.agreement === undefined && this.#pending.length >= this.#size) {
      if (this.#peer === undefined) this.#takeHello(send);
      else this.#takeProof(this.#peer, send);
    }
    if (this.agreement === undefined) {
      this.#checkBeginning();
      return this.#pending.subarray(this.#pending.length);
    }
    const rest = this.#pending;
    this.#pending = rest.subarray(rest.length);
    return rest;
  }

  #checkBeginning(): void {
    if (this.#peer !== undefined || this.failure !== undefined) return;
    const length = Math.min(this.#pending.length, MAGIC.length);
    if (!this.#pending.subarray(0, length).equals(MAGIC.subarray(0, length))) this.failure = "hello";
  }

  #takeHello(send: (bytes: Buffer) => void): void {
    const all = this.#pending;
    if (!all.subarray(0, MAGIC.length).equals(MAGIC)) {
      this.failure = "hello";
      return;
    }
    const extension = all.readUInt16BE(22);
    if (extension > 1_024) {
      this.failure = "hello";
      return;
    }
    this.#size = HELLO_SIZE + extension;
    if (all.length < this.#size) return;
    this.#peerHello = Buffer.from(all.subarray(0, this.#size));
    this.#pending = all.subarray(this.#size);
    this.#size = PROOF_SIZE;
    this.failure = this.#checkHello(this.#peerHello);
    if (this.failure !== undefined || this.#peer === undefined) return;
    if (this.#settings.keys.length === 0) this.#agree(undefined);
    else if (!this.#peer.isInitiator) this.#prove(this.#settings.keys[0] as Buffer, send);
  }

  #checkHello(hello: Buffer): HandshakeFailure | undefined {
    if ((hello[8] as number) < VERSION) return "version";
    const role = ROLES[hello[9] as number];
    const window = hello.readUInt32BE(12);
    if (role === undefined || window < MIN_WINDOW || window > LARGEST_WINDOW) return "hello";
    const [own, other] = [this.hello, hello].map((each) => each.subarray(KEY_AT, KEY_AT + KEY_SIZE));
    const order = Buffer.compare(own as Buffer, other as Buffer);
    if (order === 0) return "reflected";
    if (role === this.#settings.role && role !== "either") return "role";
    const hasPassword = ((hello[10] as number) & HAS_PASSWORD) !== 0;
    const needsPassword = this.#settings.keys.length > 0;
    if (hasPassword && !needsPassword) return "password-missing";
    if (needsPassword && !hasPassword) return "password-unexpected";
    const isInitiator = this.#dials(role, order);
    const hellos = isInitiator ? [this.hello, hello] : [hello, this.hello];
    const shared = this.#secret === undefined ? undefined : agree(this.#secret, other as Buffer);
    if (needsPassword && shared === undefined) return "hello";
    this.#encrypts = needsPassword && (this.#settings.encrypt || ((hello[10] as number) & ENCRYPTS) !== 0);
    this.#peer = { isInitiator: !isInitiator, hellos: Buffer.concat(hellos), shared };
    return undefined;
  }

  #dials(other: LinkRole, order: number): boolean {
    const { role } = this.#settings;
    if (role !== "either") return role === "initiator";
    return other === "either" ? order < 0 : other === "responder";
  }

  #takeProof({ isInitiator }: { readonly isInitiator: boolean }, send: (bytes: Buffer) => void): void {
    const shown = this.#pending.subarray(0, PROOF_SIZE);
    this.#pending = this.#pending.subarray(PROOF_SIZE);
    if (shown[0] !== PROVED) {
      this.failure = "refused";
      return;
    }
    // Answers an initiator with the password that it proved.
    const keys = isInitiator ? this.#settings.keys : this.#settings.keys.slice(0, 1);
    const key = keys.find((each) => timingSafeEqual(shown.subarray(1), this.#proof(each, isInitiator)));
    if (key === undefined) {
      this.failure = "password";
      if (isInitiator) send(Buffer.alloc(PROOF_SIZE));
      return;
    }
    if (isInitiator) this.#prove(key, send);
    this.#agree(key);
  }

  #prove(key: Buffer, send: (bytes: Buffer) => void): void {
    const isInitiator = this.#peer?.isInitiator === false;
    send(Buffer.concat([Buffer.from([PROVED]), this.#proof(key, isInitiator)]));
  }

  #proof(key: Buffer, ofInitiator: boolean): Buffer {
    const { hellos } = this.#peer as { hellos: Buffer };
    const part = this.#keysOf(key)[ofInitiator ? 0 : 1] as Buffer;
    return createHmac("sha256", part).update(hellos).digest();
  }

  /** Four keys: proofs of initiator and responder, then their encryption keys. */
  #keysOf(key: Buffer): Buffer[] {
    const { hellos, shared } = this.#peer as { hellos: Buffer; shared: Buffer };
    const all = Buffer.from(
      hkdfSync("sha256", Buffer.concat([key, shared]), hellos, "shoal link 1", 4 * KEY_SIZE),
    );
    return [0, 1, 2, 3].map((i) => all.subarray(i * KEY_SIZE, (i + 1) * KEY_SIZE));
  }

  #agree(key: Buffer | undefined): void {
    const isInitiator = this.#peer?.isInitiator === false;
    const [, , initiator, responder] = key === undefined ? [] : this.#keysOf(key);
    const seals = isInitiator ? { out: initiator, in: responder } : { out: responder, in: initiator };
    this.agreement = {
      isInitiator,
      peerWindow: this.#peerHello.readUInt32BE(12),
      peerMaxChannels: this.#peerHello.readUInt32BE(16),
      seals: this.#encrypts ? (seals as { out: Buffer; in: Buffer }) : undefined,
    };
  }
}

/** @returns `undefined` without a shared secret */
function agree(secret: KeyObject, other: Buffer): Buffer | undefined {
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI, other]), format: "der", type: "spki" });
    return diffieHellman({ privateKey: secret, publicKey });
  } catch {
    return undefined; // A key of low order.
  }
}
