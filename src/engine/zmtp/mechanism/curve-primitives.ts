/**
 * CURVE's cryptography (docs/security.md): the package `libsodium` in WebAssembly; the optional `sodium-native` seals and
 * opens long texts, since a native call takes as long as a text of some 300 bytes (bench/micro/curve.js).
 *
 * Both load with the first socket with CURVE, for which handshakes wait (mechanism.ts).
 */
import { randomSeed, writeUint32 } from "../../../core/bytes.js";
import { NotSupportedError } from "../../../core/errors.js";
import { requireHere } from "../../../core/packages.js";
import {
  type CurveBox,
  type CurvePrimitives,
  type FrameMemory,
  KEY_LENGTH,
  NONCE_LENGTH,
  TAG_LENGTH,
} from "./curve-box.js";

interface Sodium {
  crypto_secretbox_easy(c: Uint8Array, m: Uint8Array, n: Uint8Array, k: Uint8Array): void;
  crypto_secretbox_open_easy(m: Uint8Array, c: Uint8Array, n: Uint8Array, k: Uint8Array): boolean;
}

export function loadSodium(): Sodium {
  return requireHere()("sodium-native") as Sodium;
}

export function boxWith(sodium: Sodium, libsodium: CurveBox): CurveBox {
  return {
    name: "sodium",
    seal: (sealed, plain, nonce, key) => sodium.crypto_secretbox_easy(sealed, plain, nonce, key),
    open: (plain, sealed, nonce, key) => sodium.crypto_secretbox_open_easy(plain, sealed, nonce, key),
    agree: (publicKey, secretKey) => libsodium.agree(publicKey, secretKey),
    publicKeyOf: (secretKey) => libsodium.publicKeyOf(secretKey),
    ...(libsodium.frames === undefined ? {} : { frames: libsodium.frames }),
    mostShort: 768, // Native code has no gain for shorter frames.
  };
}

/** `null`: it does not load. */
let native: Sodium | null | undefined;
let loaded: CurveBox | undefined;
let loading: Promise<void> | undefined;

/**
 * Loads the primitives once per thread, `sodium-native` if it loads.
 *
 * @returns `undefined` once loaded; else a promise, which rejects with NotSupportedError `ERR_ENGINE_UNAVAILABLE`
 * @throws NotSupportedError `ERR_ENGINE_UNAVAILABLE` without WebAssembly
 */
export function loadCurveBox(): Promise<void> | undefined {
  if (loaded !== undefined) return undefined;
  // The package would fall back to JavaScript, and lose its memory when that grows.
  if (!("WebAssembly" in globalThis))
    throw new NotSupportedError(
      "CURVE and a cluster with a key need WebAssembly, which this process runs without (node --jitless)",
      "ERR_ENGINE_UNAVAILABLE",
    );
  if (loading === undefined) {
    loading = load();
    loading.catch(() => undefined); // The waiting handshakes report the error.
  }
  return loading;
}

async function load(): Promise<void> {
  let libsodium: CurveBox;
  try {
    libsodium = await loadLibsodium();
  } catch (cause) {
    throw new NotSupportedError(
      "CURVE needs the npm package libsodium here, which does not load on this machine: npm install libsodium",
      "ERR_ENGINE_UNAVAILABLE",
      { cause },
    );
  }
  const sodium = nativeSodium();
  loaded = sodium === null ? libsodium : boxWith(sodium, libsodium);
}

export function curveBox(): CurveBox {
  if (loaded === undefined) throw new Error("CURVE's primitives are not loaded");
  return loaded;
}

export const CURVE_PRIMITIVES: CurvePrimitives = { load: loadCurveBox, box: curveBox };

export function curveIsNative(): boolean {
  return nativeSodium() !== null;
}

function nativeSodium(): Sodium | null {
  if (native !== undefined) return native;
  try {
    native = loadSodium();
  } catch {
    native = null; // Optional.
  }
  return native;
}

// --- libsodium -------------------------------------------------------------------------------------------------------

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

async function loadModule(): Promise<Exports> {
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

/** Without the package's wrappers. */
export async function loadLibsodium(): Promise<CurveBox> {
  const sodium = await loadModule();
  sodium._sodium_init();
  return new Libsodium(sodium);
}

/**
 * Works in memory of the package that is allocated once per thread; a longer box gets memory for the call.
 *
 *   key 32 | nonce 24 | input 65,632 | output 131,072
 *
 * Short frames are copied in and out many at a time: separate copies cost 20 to 39 % more processor time.
 */
class Libsodium implements CurveBox, FrameMemory {
  readonly name = "libsodium";
  readonly frames: FrameMemory = this;
  readonly mostShort = 32_768;
  readonly input: number;
  readonly inputSize = INPUT_SIZE;
  readonly output: number;
  readonly outputSize = OUTPUT_SIZE;
  bytes: Uint8Array;
  readonly #key: number;
  readonly #nonce: number;
  readonly #sodium: Exports;
  readonly #seal: Crypt;
  readonly #open: Crypt;

  constructor(sodium: Exports) {
    this.#sodium = sodium;
    this.#seal = sodium._crypto_secretbox_easy;
    this.#open = sodium._crypto_secretbox_open_easy;
    this.#key = sodium._malloc(KEY_LENGTH + NONCE_LENGTH);
    this.#nonce = this.#key + KEY_LENGTH;
    this.input = sodium._malloc(INPUT_SIZE);
    this.output = sodium._malloc(OUTPUT_SIZE);
    this.bytes = sodium.HEAPU8;
  }

  use(key: Uint8Array, nonce: Uint8Array): void {
    this.bytes.set(key, this.#key);
    this.bytes.set(nonce, this.#nonce);
  }

  sealFrame(from: number, length: number, to: number, high: number, low: number): void {
    this.#count(high, low);
    this.#seal(to, from, length, 0, this.#nonce, this.#key);
  }

  openFrame(from: number, length: number, to: number, high: number, low: number): boolean {
    this.#count(high, low);
    return this.#open(to, from, length, 0, this.#nonce, this.#key) === 0;
  }

  #count(high: number, low: number): void {
    writeUint32(this.bytes, this.#nonce + NONCE_TEXT, high);
    writeUint32(this.bytes, this.#nonce + NONCE_TEXT + 4, low);
  }

  seal(sealed: Uint8Array, plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): void {
    const { length } = plain;
    const at = this.#take(TAG_LENGTH + length);
    if (at === 0) throw new RangeError(`libsodium has no memory for a box of ${length} bytes`);
    const text = at + TAG_LENGTH;
    this.use(key, nonce);
    this.bytes.set(plain, text);
    this.#seal(at, text, length, 0, this.#nonce, this.#key);
    sealed.set(this.bytes.subarray(at, text + length));
    this.#giveBack(at);
  }

  open(plain: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean {
    const { length } = sealed;
    const at = this.#take(length);
    if (at === 0) return false;
    const text = at + TAG_LENGTH;
    this.use(key, nonce);
    this.bytes.set(sealed, at);
    const result = this.#open(text, at, length, 0, this.#nonce, this.#key);
    if (result === 0) plain.set(this.bytes.subarray(text, at + length));
    this.#giveBack(at);
    return result === 0;
  }

  /** 0 if out of memory. */
  #take(size: number): number {
    if (size <= INPUT_SIZE) return this.input;
    const at = this.#sodium._malloc(size);
    this.bytes = this.#sodium.HEAPU8;
    return at;
  }

  #giveBack(at: number): void {
    if (at !== this.input) this.#sodium._free(at);
  }

  agree(publicKey: Uint8Array, secretKey: Uint8Array): Uint8Array | undefined {
    const { bytes, input } = this;
    const [own, key, end] = [input + KEY_LENGTH, input + 2 * KEY_LENGTH, input + 3 * KEY_LENGTH];
    bytes.set(publicKey, input);
    bytes.set(secretKey, own);
    const result = this.#sodium._crypto_box_beforenm(key, input, own);
    const agreed = result === 0 ? bytes.slice(key, end) : undefined;
    bytes.fill(0, own, end);
    return agreed;
  }

  publicKeyOf(secretKey: Uint8Array): Buffer {
    const { bytes, input } = this;
    const key = input + KEY_LENGTH;
    bytes.set(secretKey, input);
    this.#sodium._crypto_scalarmult_base(key, input);
    bytes.fill(0, input, key);
    return Buffer.from(bytes.subarray(key, key + KEY_LENGTH));
  }
}
