/**
 * Security of a link: the handshake with proofs of the password, and encryption of all later bytes (docs/spec/link.md,
 * Handshake and Records). Pure, apart from random keys.
 *
 *   hello   "SHOALLNK", version 1, role 1, flags 1, 0, window 4, channels 4, 0 0, length of extension 2, key 32, extension
 *   proof   01, HMAC-SHA256 of both hellos 32; or 00: refused
 *   record  length 4 of the ciphertext (1 to 65,536), ciphertext, tag 16: AES-256-GCM; the length is its additional data
 *
 *   HELLO ──no password──────────────────────────────────────────────> DONE
 *     └─initiator: sends its proof ──> PROOF ──a good one──────────────> DONE
 *     └─responder:                    PROOF ──a good one, sends its own─> DONE
 *
 * Proof keys derive from the password and the shared secret of fresh X25519 keys: an eavesdropper cannot test passwords,
 * and a man in the middle has two secrets that no proof fits.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { UnitReader } from "../core/unit-reader.js";
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

// --- Records ---------------------------------------------------------------------------------------------------------

const CIPHER = "aes-256-gcm";
const RECORD_HEAD = 4;
const TAG = 16;
const MAX_RECORD = 65_536;

/** Nonce of a record: its number, from 0. 48 bits: nine years of a million records per second. */
function nonceOf(record: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(record, 6, 6);
  return nonce;
}

export class RecordSealer {
  readonly #key: Buffer;
  #sealed = 0;

  constructor(key: Buffer) {
    this.#key = key;
  }

  seal(pieces: readonly Buffer[]): Buffer[] {
    const records: Buffer[] = [];
    let record: Buffer[] = [];
    let bytes = 0;
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; ) {
        const taken = Math.min(MAX_RECORD - bytes, piece.length - at);
        record.push(piece.subarray(at, at + taken));
        bytes += taken;
        at += taken;
        if (bytes < MAX_RECORD) continue;
        this.#sealOne(record, bytes, records);
        record = [];
        bytes = 0;
      }
    }
    if (bytes > 0) this.#sealOne(record, bytes, records);
    return records;
  }

  #sealOne(pieces: readonly Buffer[], bytes: number, records: Buffer[]): void {
    const head = Buffer.allocUnsafe(RECORD_HEAD);
    head.writeUInt32BE(bytes);
    const cipher = createCipheriv(CIPHER, this.#key, nonceOf(this.#sealed++));
    cipher.setAAD(head);
    records.push(head);
    for (const piece of pieces) records.push(cipher.update(piece));
    cipher.final();
    records.push(cipher.getAuthTag());
  }
}

/** Plaintext passes only after its tag is verified. */
export class RecordOpener {
  readonly #key: Buffer;
  #opened = 0;
  readonly #records = new UnitReader(
    RECORD_HEAD,
    RECORD_HEAD + MAX_RECORD + TAG,
    // None is empty.
    (bytes, at) => RECORD_HEAD + (bytes.readUInt32BE(at) || Number.POSITIVE_INFINITY) + TAG,
  );

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** @returns why the bytes are refused; nothing opens afterwards */
  open(chunk: Buffer, onBytes: (bytes: Buffer) => void): string | undefined {
    this.#records.push(chunk);
    for (let record = this.#records.next(); record !== undefined; record = this.#records.next()) {
      const bytes = this.#open(record);
      if (bytes === undefined) return "a record does not open";
      onBytes(bytes);
    }
    return this.#records.excess > 0 ? "a record of no bytes, or of more than fit" : undefined;
  }

  #open(record: Buffer): Buffer | undefined {
    const decipher = createDecipheriv(CIPHER, this.#key, nonceOf(this.#opened++));
    decipher.setAAD(record.subarray(0, RECORD_HEAD));
    decipher.setAuthTag(record.subarray(-TAG));
    const bytes = decipher.update(record.subarray(RECORD_HEAD, -TAG));
    try {
      decipher.final();
      return bytes;
    } catch {
      return undefined; // Wrong tag: the caller ends the connection.
    }
  }
}
