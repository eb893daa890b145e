/**
 * Sealing of bodies with the cluster's key by the box of NaCl, XSalsa20-Poly1305 (docs/spec/cluster.md).
 *
 *   sealed   version 1 = 81 | namespace 6 | key id 4 | nonce 24 | tag 16 | cipher text
 *   nonce    session 16, random | counter 8, from 1
 *
 * The box has no additional data: a derived key binds the namespace, and whether a datagram or a stream carries it. A
 * forgotten session may be replayed, which cannot add a member, since new members are challenged
 * (membership/receiver.ts).
 */
import { createHash, createHmac, randomBytes } from "node:crypto";
import { InvalidArgumentError } from "../../core/errors.js";
import { decodeZ85, isKey } from "../../core/z85.js";
import { TAG_LENGTH } from "../../engine/zmtp/mechanism/curve-box.js";
import { curveBox } from "../../engine/zmtp/mechanism/curve-primitives.js";
import { LatestMap, MAX_KEYS, MAX_PACKET, REPLAY_WINDOW } from "../bounds.js";
import { FirstByte, type PacketFault, PREFIX } from "./codec.js";

/** First byte of a sealed packet. */
const SEALED = FirstByte.VERSION | FirstByte.SEALED;
const SESSION_LENGTH = 16;
const NONCE = PREFIX + 4;
const COUNTER = NONCE + SESSION_LENGTH;
const TAG = COUNTER + 8;
/** The cipher text begins behind it. */
export const SEAL_OVERHEAD = TAG + TAG_LENGTH;

/** Of a datagram, sealed or not. */
export const MAX_BODY = MAX_PACKET - SEAL_OVERHEAD;

export type Refusal = PacketFault | "unsealed" | "key" | "forged" | "replayed";

/** The counters that a session has used. */
class Session {
  #top = 0;
  /** Bit n: the counter `#top` - n was taken. */
  #taken = 0n;

  isNew(counter: number): boolean {
    const behind = this.#top - counter;
    return behind < 0 || (behind < REPLAY_WINDOW && (this.#taken & (1n << BigInt(behind))) === 0n);
  }

  take(counter: number): void {
    const ahead = BigInt(Math.min(Math.max(0, counter - this.#top), REPLAY_WINDOW));
    this.#top = Math.max(this.#top, counter);
    const taken = (this.#taken << ahead) | (1n << BigInt(this.#top - counter));
    this.#taken = BigInt.asUintN(REPLAY_WINDOW, taken);
  }
}

interface Key {
  readonly bytes: Buffer;
  readonly id: number;
  /** Seals datagrams. */
  readonly own: Buffer;
}

/** One direction of a stream. All clusters of the stream share the counter. */
export class StreamWay {
  readonly session: Buffer;
  counter = 0;
  #secret: Buffer | undefined;
  /** What seals here under a cluster's key. */
  #keys = new WeakMap<Key, Buffer>();

  /** @param session 16 bytes */
  constructor(session: Uint8Array) {
    this.session = Buffer.from(session);
  }

  /** Of both ends if they proved node keys: seals packets from now on. */
  set secret(secret: Buffer) {
    this.#secret = secret;
    this.#keys = new WeakMap();
  }

  /** @internal */
  keyOf(key: Key, namespace: number): Buffer {
    let own = this.#keys.get(key);
    if (own === undefined) {
      const root =
        this.#secret === undefined
          ? key.bytes
          : createHmac("sha256", this.#secret).update(key.bytes).digest();
      own = derivedKey(root, "stream", namespace);
      this.#keys.set(key, own);
    }
    return own;
  }
}

function derivedKey(root: Buffer, carrier: "datagram" | "stream", namespace: number): Buffer {
  return createHmac("sha256", root).update(`shoal ${carrier} 1 ${namespace}`).digest();
}

/** Once the box is loaded (`loadCurveBox`). */
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
      next.push(before ?? { bytes, id, own: derivedKey(bytes, "datagram", this.#namespace) });
    }
    this.#keys.splice(0, this.#keys.length, ...next);
  }

  seal(body: Uint8Array): Buffer {
    const key = this.#keys[0] as Key;
    this.#counter += 1;
    return this.#box(body, key, this.#session, key.own, this.#counter);
  }

  sealStream(way: StreamWay, body: Uint8Array): Buffer {
    const key = this.#keys[0] as Key;
    way.counter += 1;
    return this.#box(body, key, way.session, way.keyOf(key, this.#namespace), way.counter);
  }

  #box(body: Uint8Array, { id }: Key, session: Buffer, sealing: Buffer, counter: number): Buffer {
    const out = Buffer.allocUnsafe(SEAL_OVERHEAD + body.length);
    out.writeUInt8(SEALED, 0);
    out.writeUIntBE(this.#namespace, 1, 6);
    out.writeUInt32BE(id, PREFIX);
    session.copy(out, NONCE);
    out.writeBigUInt64BE(BigInt(counter), COUNTER);
    curveBox().seal(out.subarray(TAG), body, out.subarray(NONCE, TAG), sealing);
    return out;
  }

  /** A refused packet changes no state. @param most accepted bytes @returns the body */
  open(bytes: Buffer, most: number): Buffer | Refusal {
    const key = this.#keyFor(bytes, most);
    if (typeof key === "string") return key;
    const counter = counterOf(bytes);
    const name = bytes.toString("latin1", PREFIX, COUNTER);
    const session = this.#sessions.get(name) ?? new Session();
    if (!session.isNew(counter)) return "replayed";
    const body = openBox(bytes, key.own);
    if (body === undefined) return "forged";
    // Only genuine packets are remembered.
    session.take(counter);
    this.#sessions.set(name, session);
    return body;
  }

  openStream(way: StreamWay, bytes: Buffer): Buffer | Refusal {
    const key = this.#keyFor(bytes, Number.POSITIVE_INFINITY);
    if (typeof key === "string") return key;
    const counter = counterOf(bytes);
    const isSession = bytes.compare(way.session, 0, SESSION_LENGTH, NONCE, COUNTER) === 0;
    if (!isSession || counter <= way.counter) return "replayed";
    const body = openBox(bytes, way.keyOf(key, this.#namespace));
    if (body === undefined) return "forged";
    way.counter = counter;
    return body;
  }

  #keyFor(bytes: Buffer, most: number): Key | Refusal {
    if (bytes.length === 0) return "empty";
    if (bytes.length > most + SEAL_OVERHEAD) return "oversized";
    if (bytes[0] === FirstByte.VERSION) return "unsealed";
    if (bytes[0] !== SEALED) return "version";
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

function openBox(bytes: Buffer, key: Buffer): Buffer | undefined {
  const body = Buffer.allocUnsafeSlow(bytes.length - SEAL_OVERHEAD);
  return curveBox().open(body, bytes.subarray(TAG), bytes.subarray(NONCE, TAG), key) ? body : undefined;
}
