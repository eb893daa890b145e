/**
 * Sealing of packets with the cluster's key by XChaCha20-Poly1305 (docs/spec/cluster.md).
 *
 *   sealed   version 1 = 81 | namespace 6 | key id 4 | nonce 24 | tag 16 | cipher text
 *   nonce    session 16, random | counter 8, from 1
 *
 * XChaCha20 derives a key from the session, which happens once per session here (HChaCha20). A forgotten session may be
 * replayed, which cannot add a member, since new members are challenged (membership/receiver.ts).
 */
import {
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  randomBytes,
} from "node:crypto";
import { InvalidArgumentError } from "../../core/errors.js";
import { decodeZ85, isKey } from "../../core/z85.js";
import { LatestMap, MAX_KEYS, MAX_PACKET, REPLAY_WINDOW } from "../bounds.js";
import { decodeBody, encodePacket, FirstByte, type PacketFault, PREFIX } from "./codec.js";
import type { Packet } from "./packets.js";

/** First byte of a sealed packet. */
const SEALED = FirstByte.VERSION | FirstByte.SEALED;
const SESSION_LENGTH = 16;
const TAG_LENGTH = 16;
const NONCE = PREFIX + 4;
const COUNTER = NONCE + SESSION_LENGTH;
const TAG = COUNTER + 8;
/** The box begins behind it. */
export const SEAL_OVERHEAD = TAG + TAG_LENGTH;

/** Of a datagram, sealed or not. */
export const MAX_BODY = MAX_PACKET - SEAL_OVERHEAD;

export type Refusal = PacketFault | "unsealed" | "key" | "forged" | "replayed";

// node:crypto's types know it only by this type, a cipher with a tag.
const CIPHER = "chacha20-poly1305" as unknown as CipherGCMTypes;

/**
 * HChaCha20, the key of a session (draft-irtf-cfrg-xchacha, 2.2): an OpenSSL ChaCha20 block without the final addition
 * of the initial state; the first and the last four of its 16 words are the key.
 */
function sessionKey(key: Uint8Array, session: Uint8Array): Buffer {
  const block = createCipheriv("chacha20", key, session).update(Buffer.alloc(64));
  const words = Buffer.concat([block.subarray(0, 16), block.subarray(48)]);
  const added = Buffer.concat([Buffer.from("expand 32-byte k"), session]);
  for (let at = 0; at < 32; at += 4)
    words.writeUInt32LE((words.readUInt32LE(at) - added.readUInt32LE(at)) >>> 0, at);
  return words;
}

class Session {
  readonly key: Buffer;
  #top = 0;
  /** One bit per counter, modulo the window. */
  readonly #taken = new Uint32Array(REPLAY_WINDOW / 32);

  constructor(key: Buffer) {
    this.key = key;
  }

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
  readonly own: Buffer;
}

/** One direction of a stream. All clusters of the stream share the counter. */
export class StreamWay {
  readonly session: Buffer;
  counter = 0;
  /** Secret of both ends if they proved node keys; set before the first packet. */
  secret: Buffer | undefined;
  /** Twice as many as a rotation needs. */
  readonly #keys = new LatestMap<number, Buffer>(2 * MAX_KEYS);
  /** By the number of the cluster name. */
  readonly #messageKeys = new Map<number, { readonly root: Buffer; readonly key: Buffer }>();

  /** @param session 16 bytes */
  constructor(session: Uint8Array) {
    this.session = Buffer.from(session);
  }

  /** @internal Key of messages, which binds the cluster. */
  messageKeyOf(of: Pick<Key, "id" | "bytes">, namespace: number): Buffer {
    const root = this.keyOf(of);
    const known = this.#messageKeys.get(namespace);
    if (known?.root === root) return known.key;
    const key = createHmac("sha256", root).update(`shoal messages 1 ${namespace}`).digest();
    this.#messageKeys.set(namespace, { root, key });
    return key;
  }

  /** @internal Key of this session under one of the cluster's keys. */
  keyOf({ id, bytes }: { readonly id: number; readonly bytes: Buffer }): Buffer {
    let key = this.#keys.get(id);
    if (key === undefined) {
      const root =
        this.secret === undefined ? bytes : createHmac("sha256", this.secret).update(bytes).digest();
      key = sessionKey(root, this.session);
      this.#keys.set(id, key);
    }
    return key;
  }
}

/** XSalsa20-Poly1305: 16 bytes of tag, then the cipher text. */
export interface Box {
  seal(sealed: Uint8Array, plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): void;
  /** @returns whether it is genuine */
  open(plain: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean;
}

export class Sealer {
  readonly #namespace: number;
  readonly #session: Buffer;
  readonly #keys: Key[] = [];
  #counter = 0;
  /** By key id and session, with replay windows. */
  readonly #sessions = new LatestMap<string, Session>(16_384);

  /**
   * @param namespace number of the cluster name (identity.ts)
   * @param keys as for `setKeys`
   * @param session 16 random bytes for this process only; tests set it
   * @throws as `setKeys`
   */
  constructor(namespace: number, keys: readonly string[], session: Uint8Array = randomBytes(SESSION_LENGTH)) {
    this.#namespace = namespace;
    this.#session = Buffer.from(session);
    this.setKeys(keys);
  }

  /**
   * @param keys 40 characters of Z85 each; the first seals, all open
   * @throws InvalidArgumentError `EINVAL` for an invalid key, none, or more than two; nothing has changed then
   */
  setKeys(keys: readonly string[]): void {
    if (keys.length < 1 || keys.length > MAX_KEYS)
      throw new InvalidArgumentError(`a cluster must have 1 to ${MAX_KEYS} keys; got ${keys.length}`);
    const next: Key[] = [];
    for (const key of keys) {
      if (!isKey(key)) throw new InvalidArgumentError("a cluster's key must have 40 characters of Z85");
      const bytes = decodeZ85(key);
      const id = keyId(bytes);
      if (next.some((each) => each.id === id)) continue;
      const before = this.#keys.find((each) => each.id === id);
      next.push(before ?? { bytes, id, own: sessionKey(bytes, this.#session) });
    }
    this.#keys.splice(0, this.#keys.length, ...next);
  }

  seal(packet: Packet): Buffer {
    const key = this.#keys[0] as Key;
    this.#counter += 1;
    return this.#box(packet, key, this.#session, key.own, this.#counter);
  }

  sealStream(way: StreamWay, packet: Packet): Buffer {
    const key = this.#keys[0] as Key;
    way.counter += 1;
    return this.#box(packet, key, way.session, way.keyOf(key), way.counter);
  }

  /**
   * Uses the box of CURVE, since node:crypto needs 10 µs even for short messages.
   *
   * @param parts of the plain text, in order
   */
  sealMessages(way: StreamWay, parts: readonly Uint8Array[], box: Box): Buffer {
    const key = this.#keys[0] as Key;
    way.counter += 1;
    const plain = Buffer.concat(parts);
    const out = this.#begin(SEALED | FirstByte.MESSAGES, plain.length, key, way.session, way.counter);
    const messageKey = way.messageKeyOf(key, this.#namespace);
    box.seal(out.subarray(TAG), plain, out.subarray(NONCE, TAG), messageKey);
    return out;
  }

  #begin(first: number, length: number, key: Key, session: Buffer, counter: number): Buffer {
    const out = Buffer.allocUnsafe(SEAL_OVERHEAD + length);
    out.writeUInt8(first, 0);
    out.writeUIntBE(this.#namespace, 1, 6);
    out.writeUInt32BE(key.id, PREFIX);
    session.copy(out, NONCE);
    out.writeBigUInt64BE(BigInt(counter), COUNTER);
    return out;
  }

  #box(packet: Packet, key: Key, session: Buffer, sealing: Buffer, counter: number): Buffer {
    const plain = encodePacket(packet, -1);
    const out = this.#begin(SEALED, plain.length, key, session, counter);
    const cipher = createCipheriv(CIPHER, sealing, shortNonce(out), {
      authTagLength: TAG_LENGTH,
    });
    cipher.setAAD(out.subarray(0, NONCE), { plaintextLength: plain.length });
    cipher.update(plain).copy(out, SEAL_OVERHEAD);
    cipher.final();
    cipher.getAuthTag().copy(out, TAG);
    return out;
  }

  /** A refused packet changes no state. @param most accepted bytes */
  open(bytes: Buffer, most: number): Packet | Refusal {
    const key = this.#keyFor(bytes, most, SEALED);
    if (typeof key === "string") return key;
    const counter = counterOf(bytes);
    const name = bytes.toString("latin1", PREFIX, COUNTER);
    let session = this.#sessions.get(name);
    if (session !== undefined && !session.isNew(counter)) return "replayed";
    const opened = session?.key ?? sessionKey(key.bytes, bytes.subarray(NONCE, COUNTER));
    const plain = openBox(bytes, opened);
    if (plain === undefined) return "forged";
    // Only genuine packets are remembered.
    session ??= new Session(opened);
    session.take(counter);
    this.#sessions.set(name, session);
    return decodeBody(plain);
  }

  /**
   * @param most accepted bytes of a packet
   * @param box `undefined`: not loaded, since this node has no messages
   * @returns a packet, or messages
   */
  openStream(way: StreamWay, bytes: Buffer, most: number, box?: Box): Packet | Buffer | Refusal {
    const areMessages = ((bytes[0] ?? 0) & FirstByte.MESSAGES) !== 0;
    if (areMessages && box === undefined) return "type";
    const key = areMessages
      ? this.#keyFor(bytes, Number.POSITIVE_INFINITY, SEALED | FirstByte.MESSAGES)
      : this.#keyFor(bytes, most, SEALED);
    if (typeof key === "string") return key;
    const counter = counterOf(bytes);
    const isSession = bytes.compare(way.session, 0, SESSION_LENGTH, NONCE, COUNTER) === 0;
    if (!isSession || counter <= way.counter) return "replayed";
    const plain =
      areMessages && box !== undefined
        ? openMessages(bytes, way.messageKeyOf(key, this.#namespace), box)
        : openBox(bytes, way.keyOf(key));
    if (plain === undefined) return "forged";
    way.counter = counter;
    return areMessages ? plain : decodeBody(plain);
  }

  #keyFor(bytes: Buffer, most: number, version: number): Key | Refusal {
    if (bytes.length === 0) return "empty";
    if (bytes.length > most + SEAL_OVERHEAD) return "oversized";
    if (bytes[0] === FirstByte.VERSION) return "unsealed";
    if (bytes[0] !== version) return "version";
    if (bytes.length < SEAL_OVERHEAD) return "malformed";
    if (bytes.readUIntBE(1, 6) !== this.#namespace) return "cluster";
    const id = bytes.readUInt32BE(PREFIX);
    const key = this.#keys.find((each) => each.id === id);
    if (key === undefined) return "key";
    return counterOf(bytes) > Number.MAX_SAFE_INTEGER ? "forged" : key;
  }
}

function counterOf(sealed: Buffer): number {
  return Number(sealed.readBigUInt64BE(COUNTER));
}

export function keyId(bytes: Buffer): number {
  return createHash("sha256").update(bytes).digest().readUInt32BE(0);
}

/** The rest of XChaCha20's nonce as ChaCha20's: 4 zeros and the counter. */
function shortNonce(sealed: Buffer): Buffer {
  const nonce = Buffer.alloc(12);
  sealed.copy(nonce, 4, COUNTER, TAG);
  return nonce;
}

function openMessages(bytes: Buffer, key: Buffer, box: Box): Buffer | undefined {
  const plain = Buffer.allocUnsafeSlow(bytes.length - SEAL_OVERHEAD);
  return box.open(plain, bytes.subarray(TAG), bytes.subarray(NONCE, TAG), key) ? plain : undefined;
}

function openBox(bytes: Buffer, key: Buffer): Buffer | undefined {
  const decipher = createDecipheriv(CIPHER, key, shortNonce(bytes), {
    authTagLength: TAG_LENGTH,
  });
  decipher.setAuthTag(bytes.subarray(TAG, SEAL_OVERHEAD));
  decipher.setAAD(bytes.subarray(0, NONCE), { plaintextLength: bytes.length - SEAL_OVERHEAD });
  const plain = decipher.update(bytes.subarray(SEAL_OVERHEAD));
  try {
    decipher.final();
    return plain;
  } catch {
    return undefined; // The tag does not match.
  }
}
