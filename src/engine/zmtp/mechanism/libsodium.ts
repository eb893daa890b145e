/**
 * CURVE's primitives by the package `libsodium` in WebAssembly, without its wrappers, in memory allocated
 * once per thread; a longer box gets memory for the call.
 *
 *   key 32 | nonce 24 | input 65,632 | output 131,072
 *
 * Short frames are copied in and out many at a time: separate copies cost 20 to 39 % more processor time.
 */
import { randomSeed, writeUint32 } from "../../../core/bytes.js";
import { requireHere } from "../../../core/require-here.js";
import { type CurveBox, type FrameMemory, KEY_LENGTH, NONCE_LENGTH, TAG_LENGTH } from "./curve-box.js";

const NONCE_TEXT = 16;
/** The input: 64 KiB and a frame's overhead. */
const INPUT_SIZE = 65_632;
const OUTPUT_SIZE = 131_072;

/** A 64-bit length is two words. */
interface Exports {
  /** Replaced when the memory grows. */
  readonly HEAPU8: Uint8Array;
  /** @returns 0 if out of memory */
  _malloc(size: number): number;
  _free(at: number): void;
  _sodium_init(): number;
  readonly _crypto_secretbox_easy: Crypt;
  /** @returns 0 for a genuine box */
  readonly _crypto_secretbox_open_easy: Crypt;
  /** @returns -1 for a public key that agrees on one result with all secret keys */
  _crypto_box_beforenm(result: number, publicKey: number, secretKey: number): number;
  _crypto_scalarmult_base(publicKey: number, secretKey: number): number;
}

/** All numbers are addresses, except the length. */
type Crypt = (to: number, from: number, length: number, high: 0, nonce: number, key: number) => number;

async function load(): Promise<Exports> {
  try {
    // Bundlers need a literal.
    // @ts-expect-error The package has no types.
    const { default: instantiate } = await import("libsodium");
    // The package's own source of random numbers fails in ES modules.
    return await (instantiate as (options: object) => Promise<Exports>)({ getRandomValue: randomSeed });
  } catch {
    // Jest and other runners cannot import.
    const module = requireHere()("libsodium") as Exports & { readonly ready: Promise<void> };
    await module.ready;
    return module;
  }
}

export async function loadLibsodium(): Promise<CurveBox> {
  const sodium = await load();
  sodium._sodium_init();
  return new Libsodium(sodium, new Memory(sodium));
}

class Memory implements FrameMemory {
  readonly input: number;
  readonly inputSize = INPUT_SIZE;
  readonly output: number;
  readonly outputSize = OUTPUT_SIZE;
  readonly key: number;
  readonly nonce: number;
  bytes: Uint8Array;
  readonly #sodium: Exports;
  readonly #seal: Crypt;
  readonly #open: Crypt;

  constructor(sodium: Exports) {
    this.#sodium = sodium;
    this.#seal = sodium._crypto_secretbox_easy;
    this.#open = sodium._crypto_secretbox_open_easy;
    this.key = sodium._malloc(KEY_LENGTH + NONCE_LENGTH);
    this.nonce = this.key + KEY_LENGTH;
    this.input = sodium._malloc(INPUT_SIZE);
    this.output = sodium._malloc(OUTPUT_SIZE);
    this.bytes = sodium.HEAPU8;
  }

  /** 0 if out of memory. */
  take(size: number): number {
    if (size <= INPUT_SIZE) return this.input;
    const at = this.#sodium._malloc(size);
    this.bytes = this.#sodium.HEAPU8;
    return at;
  }

  giveBack(at: number): void {
    if (at !== this.input) this.#sodium._free(at);
  }

  use(key: Uint8Array, nonce: Uint8Array): void {
    this.bytes.set(key, this.key);
    this.bytes.set(nonce, this.nonce);
  }

  seal(from: number, length: number, to: number, high: number, low: number): void {
    this.#count(high, low);
    this.#seal(to, from, length, 0, this.nonce, this.key);
  }

  open(from: number, length: number, to: number, high: number, low: number): boolean {
    this.#count(high, low);
    return this.#open(to, from, length, 0, this.nonce, this.key) === 0;
  }

  #count(high: number, low: number): void {
    writeUint32(this.bytes, this.nonce + NONCE_TEXT, high);
    writeUint32(this.bytes, this.nonce + NONCE_TEXT + 4, low);
  }
}

class Libsodium implements CurveBox {
  readonly name = "libsodium";
  readonly frames: Memory;
  readonly mostShort = 32_768;
  readonly #sodium: Exports;

  constructor(sodium: Exports, memory: Memory) {
    this.#sodium = sodium;
    this.frames = memory;
  }

  seal(sealed: Uint8Array, plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): void {
    const memory = this.frames;
    const { length } = plain;
    const at = memory.take(TAG_LENGTH + length);
    if (at === 0) throw new RangeError(`libsodium has no memory for a box of ${length} bytes`);
    const text = at + TAG_LENGTH;
    memory.use(key, nonce);
    memory.bytes.set(plain, text);
    this.#sodium._crypto_secretbox_easy(at, text, length, 0, memory.nonce, memory.key);
    sealed.set(memory.bytes.subarray(at, text + length));
    memory.giveBack(at);
  }

  open(plain: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean {
    const memory = this.frames;
    const { length } = sealed;
    const at = memory.take(length);
    if (at === 0) return false;
    const text = at + TAG_LENGTH;
    memory.use(key, nonce);
    memory.bytes.set(sealed, at);
    const result = this.#sodium._crypto_secretbox_open_easy(text, at, length, 0, memory.nonce, memory.key);
    if (result === 0) plain.set(memory.bytes.subarray(text, at + length));
    memory.giveBack(at);
    return result === 0;
  }

  agree(publicKey: Uint8Array, secretKey: Uint8Array): Uint8Array | undefined {
    const { bytes, input } = this.frames;
    const [own, key, end] = [input + KEY_LENGTH, input + 2 * KEY_LENGTH, input + 3 * KEY_LENGTH];
    bytes.set(publicKey, input);
    bytes.set(secretKey, own);
    const result = this.#sodium._crypto_box_beforenm(key, input, own);
    const agreed = result === 0 ? bytes.slice(key, end) : undefined;
    bytes.fill(0, own, end);
    return agreed;
  }

  publicKeyOf(secretKey: Uint8Array): Buffer {
    const { bytes, input } = this.frames;
    const key = input + KEY_LENGTH;
    bytes.set(secretKey, input);
    this.#sodium._crypto_scalarmult_base(key, input);
    bytes.fill(0, input, key);
    return Buffer.from(bytes.subarray(key, key + KEY_LENGTH));
  }
}
