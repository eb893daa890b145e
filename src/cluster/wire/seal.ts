/**
 * The cluster's key around packets: XChaCha20-Poly1305.
 *
 *   sealed   version 1 = 81 | bus 6 | key id 4 | nonce 24 | tag 16 | cipher text
 *   nonce    session 16, random | counter 8, from 1
 *
 * What stands before the nonce is authenticated, not hidden. XChaCha20 derives a key from the first 16 bytes of the
 * nonce; here these are one sender's session, so that key is derived once for a session (HChaCha20), and
 * node:crypto seals and opens with it. A test holds the result against the package `@noble/ciphers`.
 *
 * The key id is the beginning of SHA-256 of the key: it chooses among the two keys that a bus may have, and says when a
 * sender has another. Rotation: add the new key everywhere, let it seal everywhere, drop the old one everywhere.
 *
 * Replays: a session's counters are taken once, in a window of 256. A session that is forgotten may be replayed; so that this
 * makes no member, a newcomer is challenged (membership/membership.ts).
 */
import type { CipherGCMTypes } from "node:crypto";
import { InvalidArgumentError } from "../../core/errors.js";
import { decodeZ85 } from "../../core/z85.js";
import { MAX_KEYS, MAX_PACKET, MAX_SESSIONS, REPLAY_WINDOW } from "../bounds.js";
import { decodeBody, encodePacket, type Junk, PREFIX, SEALED, VERSION } from "./codec.js";
import type { Packet } from "./packets.js";

const KEY_LENGTH = 32;
const SESSION_LENGTH = 16;
const TAG_LENGTH = 16;
/** Where the parts of a sealed packet begin. */
const NONCE = PREFIX + 4;
const COUNTER = NONCE + SESSION_LENGTH;
const TAG = COUNTER + 8;
const BOX = TAG + TAG_LENGTH;

/** Bytes that sealing adds, the prefix included. */
export const SEAL_OVERHEAD = BOX;
/** Bytes of a body that fits a datagram, sealed or not. */
export const MAX_BODY = MAX_PACKET - SEAL_OVERHEAD;

/** Why a sealed packet is refused, beyond what is wrong inside. */
export type Refusal = Junk | "unsealed" | "key" | "forged" | "replayed";

// As node:crypto's types have it: a cipher with a tag.
const CIPHER = "chacha20-poly1305" as unknown as CipherGCMTypes;

type Crypto = typeof import("node:crypto");
let crypto: Crypto | undefined;
function nodeCrypto(): Crypto {
  crypto ??= process.getBuiltinModule("node:crypto");
  return crypto;
}

/** What ChaCha20's state begins with, in front of the key. */
const SIGMA = Buffer.from("expand 32-byte k");

/**
 * HChaCha20: the key of a session (draft-irtf-cfrg-xchacha, 2.2). It is a block of ChaCha20, which OpenSSL computes, without the
 * addition of the state that ends one; of its 16 words the first and the last four are the key.
 */
function sessionKey(key: Uint8Array, session: Uint8Array): Buffer {
  const block = nodeCrypto().createCipheriv("chacha20", key, session).update(Buffer.alloc(64));
  const words = Buffer.concat([block.subarray(0, 16), block.subarray(48)]);
  const added = Buffer.concat([SIGMA, session]);
  for (let at = 0; at < KEY_LENGTH; at += 4)
    words.writeUInt32LE((words.readUInt32LE(at) - added.readUInt32LE(at)) >>> 0, at);
  return words;
}

/** A session of a sender: its key, and which counters were taken. */
class Session {
  readonly key: Buffer;
  #top = 0;
  /** A bit a counter, by its lowest bits. */
  readonly #taken = new Uint32Array(REPLAY_WINDOW / 32);

  constructor(key: Buffer) {
    this.key = key;
  }

  /** Whether this counter was not taken and is not too old to know. */
  isNew(counter: number): boolean {
    if (counter > this.#top) return true;
    if (counter <= this.#top - REPLAY_WINDOW) return false;
    return !this.#has(counter);
  }

  take(counter: number): void {
    if (counter > this.#top) {
      const first = Math.max(this.#top + 1, counter - REPLAY_WINDOW + 1);
      for (let each = first; each < counter; each++) this.#set(each, false);
      this.#top = counter;
    }
    this.#set(counter, true);
  }

  #has(counter: number): boolean {
    const bit = counter % REPLAY_WINDOW;
    return (((this.#taken[bit >>> 5] as number) >>> (bit & 31)) & 1) === 1;
  }

  #set(counter: number, taken: boolean): void {
    const bit = counter % REPLAY_WINDOW;
    const at = bit >>> 5;
    const word = this.#taken[at] as number;
    const mask = 1 << (bit & 31);
    this.#taken[at] = taken ? word | mask : word & ~mask;
  }
}

interface Key {
  readonly bytes: Buffer;
  readonly id: number;
  /** Of this node's sending. */
  readonly own: Buffer;
}

/**
 * One way of a stream. Both ends compute its session from what both said at its beginning, fresh on either side, so a stream
 * that was recorded opens nowhere else. The counters are of the stream, whichever bus a packet is of.
 */
export class StreamWay {
  readonly session: Buffer;
  /** Of the last packet. */
  counter = 0;
  /** What only both ends of this stream know, where they proved their nodes' keys; set before its first packet. */
  secret: Buffer | undefined;
  readonly #keys = new Map<number, Buffer>();

  /** @param session 16 bytes */
  constructor(session: Uint8Array) {
    this.session = Buffer.from(session);
  }

  /** @internal The session's key under one of the cluster's. */
  keyOf({ id, bytes }: { readonly id: number; readonly bytes: Buffer }): Buffer {
    let key = this.#keys.get(id);
    if (key === undefined) {
      const root =
        this.secret === undefined
          ? bytes
          : nodeCrypto().createHmac("sha256", this.secret).update(bytes).digest();
      key = sessionKey(root, this.session);
      // As many as a rotation needs; the oldest goes.
      for (const each of this.#keys.keys()) if (this.#keys.size >= 2 * MAX_KEYS) this.#keys.delete(each);
      this.#keys.set(id, key);
    }
    return key;
  }
}

/** Seals and opens the packets of one bus. */
export class Sealer {
  readonly #bus: number;
  readonly #session: Buffer;
  readonly #keys: Key[] = [];
  #counter = 0;
  /** By key id and session: the younger half, and the older. */
  #young = new Map<string, Session>();
  #old = new Map<string, Session>();

  /**
   * @param bus its number (identity.ts)
   * @param key 32 bytes, or 40 characters of Z85
   * @param session 16 random bytes, for this process alone; a test gives its own
   * @throws InvalidArgumentError `EINVAL` for an invalid key
   */
  constructor(
    bus: number,
    key: Uint8Array | string,
    session: Uint8Array = nodeCrypto().randomBytes(SESSION_LENGTH),
  ) {
    this.#bus = bus;
    this.#session = Buffer.from(session);
    this.setKeys([key]);
  }

  /** The ids of the keys, the one that seals first. */
  get keyIds(): readonly number[] {
    return this.#keys.map((key) => key.id);
  }

  /**
   * Replaces the keys; those that stay keep their sessions.
   *
   * @param keys the first seals, all open
   * @throws InvalidArgumentError `EINVAL` for an invalid key, none, or more than two; nothing has changed then
   */
  setKeys(keys: readonly (Uint8Array | string)[]): void {
    if (keys.length < 1 || keys.length > MAX_KEYS)
      throw new InvalidArgumentError(`a bus has 1 to ${MAX_KEYS} keys; got ${keys.length}`);
    const next: Key[] = [];
    for (const key of keys) {
      const bytes = keyBytes(key);
      const id = keyId(bytes);
      if (next.some((each) => each.id === id)) continue;
      const before = this.#keys.find((each) => each.id === id);
      next.push(before ?? { bytes, id, own: sessionKey(bytes, this.#session) });
    }
    this.#keys.splice(0, this.#keys.length, ...next);
  }

  /** The bytes of a packet, sealed; for the caller to keep. */
  seal(packet: Packet): Buffer {
    const key = this.#keys[0] as Key;
    this.#counter += 1;
    return this.#box(packet, key, this.#session, key.own, this.#counter);
  }

  /** The same for one way of a stream. */
  sealStream(way: StreamWay, packet: Packet): Buffer {
    const key = this.#keys[0] as Key;
    way.counter += 1;
    return this.#box(packet, key, way.session, way.keyOf(key), way.counter);
  }

  #box(packet: Packet, key: Key, session: Buffer, sealing: Buffer, counter: number): Buffer {
    const plain = encodePacket(packet, -1);
    const out = Buffer.allocUnsafe(BOX + plain.length);
    out.writeUInt8(VERSION | SEALED, 0);
    out.writeUIntBE(this.#bus, 1, 6);
    out.writeUInt32BE(key.id, PREFIX);
    session.copy(out, NONCE);
    out.writeBigUInt64BE(BigInt(counter), COUNTER);
    const cipher = nodeCrypto().createCipheriv(CIPHER, sealing, shortNonce(out), {
      authTagLength: TAG_LENGTH,
    });
    cipher.setAAD(out.subarray(0, NONCE), { plaintextLength: plain.length });
    cipher.update(plain).copy(out, BOX);
    cipher.final();
    cipher.getAuthTag().copy(out, TAG);
    return out;
  }

  /**
   * Opens and reads a packet.
   *
   * @param most bytes that are accepted
   * @returns the packet, or why it is refused; a refused one changes nothing
   */
  open(bytes: Buffer, most: number): Packet | Refusal {
    const key = this.#keyFor(bytes, most);
    if (typeof key === "string") return key;
    const counter = counterOf(bytes);
    const name = bytes.toString("latin1", PREFIX, COUNTER);
    let session = this.#young.get(name) ?? this.#old.get(name);
    if (session !== undefined && !session.isNew(counter)) return "replayed";
    const opened = session?.key ?? sessionKey(key.bytes, bytes.subarray(NONCE, COUNTER));
    const plain = openBox(bytes, opened);
    if (plain === undefined) return "forged";
    // Only what is genuine takes a place.
    session ??= new Session(opened);
    session.take(counter);
    this.#remember(name, session);
    return decodeBody(plain);
  }

  /** The same for one way of a stream: its session is given, and its counters rise. */
  openStream(way: StreamWay, bytes: Buffer, most: number): Packet | Refusal {
    const key = this.#keyFor(bytes, most);
    if (typeof key === "string") return key;
    const counter = counterOf(bytes);
    if (bytes.compare(way.session, 0, SESSION_LENGTH, NONCE, COUNTER) !== 0 || counter <= way.counter)
      return "replayed";
    const plain = openBox(bytes, way.keyOf(key));
    if (plain === undefined) return "forged";
    way.counter = counter;
    return decodeBody(plain);
  }

  #keyFor(bytes: Buffer, most: number): Key | Refusal {
    if (bytes.length === 0) return "empty";
    if (bytes.length > most + SEAL_OVERHEAD) return "oversized";
    if (bytes[0] === VERSION) return "unsealed";
    if (bytes[0] !== (VERSION | SEALED)) return "version";
    if (bytes.length < BOX) return "truncated";
    if (bytes.readUIntBE(1, 6) !== this.#bus) return "bus";
    const id = bytes.readUInt32BE(PREFIX);
    const key = this.#keys.find((each) => each.id === id);
    if (key === undefined) return "key";
    return counterOf(bytes) > Number.MAX_SAFE_INTEGER ? "forged" : key;
  }

  #remember(name: string, session: Session): void {
    if (this.#young.has(name)) return;
    this.#young.set(name, session);
    if (this.#young.size < MAX_SESSIONS / 2) return;
    this.#old = this.#young;
    this.#young = new Map();
  }
}

function keyBytes(key: Uint8Array | string): Buffer {
  let bytes: Uint8Array | undefined;
  try {
    bytes = typeof key === "string" ? decodeZ85(key) : key;
  } catch {
    bytes = undefined;
  }
  if (bytes === undefined || bytes.length !== KEY_LENGTH)
    throw new InvalidArgumentError("a cluster's key has 32 bytes, or 40 characters of Z85");
  return Buffer.from(bytes);
}

function counterOf(sealed: Buffer): number {
  return Number(sealed.readBigUInt64BE(COUNTER));
}

function keyId(bytes: Buffer): number {
  return nodeCrypto().createHash("sha256").update(bytes).digest().readUInt32BE(0);
}

/** What is left of XChaCha20's nonce for ChaCha20: 4 zeros and the counter. */
function shortNonce(sealed: Buffer): Buffer {
  const nonce = Buffer.alloc(12);
  sealed.copy(nonce, 4, COUNTER, TAG);
  return nonce;
}

function openBox(bytes: Buffer, key: Buffer): Buffer | undefined {
  const decipher = nodeCrypto().createDecipheriv(CIPHER, key, shortNonce(bytes), {
    authTagLength: TAG_LENGTH,
  });
  decipher.setAuthTag(bytes.subarray(TAG, BOX));
  decipher.setAAD(bytes.subarray(0, NONCE), { plaintextLength: bytes.length - BOX });
  const plain = decipher.update(bytes.subarray(BOX));
  try {
    decipher.final();
    return plain;
  } catch {
    return undefined; // The tag does not fit.
  }
}
