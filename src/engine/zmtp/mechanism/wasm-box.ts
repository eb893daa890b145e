/**
 * CURVE's box by WebAssembly (secretbox-module.ts): one instance a thread, made with its first CURVE connection. Its memory has
 * room for many short frames, which are copied in and out together; a longer text goes through it in parts.
 *
 *   key of a connection and direction | input | output, some longer: sealing adds to each frame
 */
import { hsalsa20 } from "./hsalsa20.js";
import type { CipherMemory } from "./mechanism.js";
import { FIRST_PART, FREE, PART, ROWS, SLACK, secretboxModule } from "./secretbox-module.js";

const TAG_LENGTH = 16;
/** Bytes of the input, 64 KiB and a first part, and of the output. */
const INPUT_SIZE = 65_632;
const OUTPUT_SIZE = 131_072;
const INPUT = FREE;
const OUTPUT = INPUT + INPUT_SIZE + SLACK;
const MEMORY_SIZE = OUTPUT + OUTPUT_SIZE + SLACK;
/** Bytes of a block of Salsa20, and how many the module computes at once. */
const BLOCK = 64;
const BLOCKS_AT_ONCE = PART / BLOCK;
/** Of the longest frame that is put among the short ones: others fit next to it. */
const MOST_SHORT = 32_768;
/** The same where there is native code: longer ones it seals as fast, and of 4 KiB in half the time (bench/micro/curve.js). */
const MOST_SHORT_WITH_SODIUM = 768;

/** "expand 32-byte k" */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574] as const;

/**
 * Where boxes of short frames come from. They are made when they are first wanted: a process with a few more things on its heap
 * may be one whose heap V8 marks for each 32 MiB that is received, and frames of 64 KiB want none.
 */
export interface ShortSource {
  /** Bytes of the longest body that is one. */
  readonly most: number;
  /** @returns undefined where there is no WebAssembly */
  boxes(): ShortBoxes | undefined;
}

/** As `CurveBox` (curve-box.ts). */
export interface WasmBox {
  readonly name: "wasm";
  readonly short: ShortSource;
  seal(sealed: Uint8Array, plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): void;
  open(plain: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean;
}

/** What the module exports. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  start(nonceLow: number, nonceHigh: number): void;
  crypt(
    from: number,
    length: number,
    to: number,
    nonceLow: number,
    nonceHigh: number,
    block: number,
    offset: number,
  ): void;
  authenticate(at: number, length: number): void;
  finish(at: number): void;
  seal(from: number, length: number, to: number, tag: number, nonceLow: number, nonceHigh: number): void;
  open(from: number, length: number, to: number, tag: number, nonceLow: number, nonceHigh: number): number;
}

/** The part of WebAssembly that is used here. */
interface Wasm {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

/** The key of many boxes, as the module wants it: of all whose nonces begin with the same 16 bytes. */
export type BoxKey = Uint8Array;

/** @param key 32 bytes @param nonce its first 16 bytes count */
function boxKeyOf(key: Uint8Array, nonce: Uint8Array): BoxKey {
  const derived = hsalsa20(key, nonce.subarray(0, 16));
  const words = new DataView(derived.buffer, derived.byteOffset, derived.length);
  const k = (i: number): number => words.getInt32(i * 4, true);
  const rows = [...CONSTANTS, k(3), 0, k(7), k(2), 0, k(6), k(1), 0, k(5), k(0), 0, k(4)];
  const result = new Uint8Array(64);
  const view = new DataView(result.buffer);
  for (const [i, word] of rows.entries()) view.setInt32(i * 4, word, true);
  return result;
}

/** Boxes within one memory. */
export class ShortBoxes implements CipherMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly input = INPUT;
  readonly inputSize = INPUT_SIZE;
  readonly output = OUTPUT;
  readonly outputSize = OUTPUT_SIZE;
  readonly #module: Exports;

  constructor(module: Exports) {
    this.#module = module;
    this.bytes = new Uint8Array(module.memory.buffer);
    this.view = new DataView(module.memory.buffer);
  }

  /** The key of all boxes whose nonces begin with the same 16 bytes. */
  keyOf(key: Uint8Array, nonce: Uint8Array): BoxKey {
    return boxKeyOf(key, nonce);
  }

  /** The key of the boxes that follow. */
  use(key: BoxKey): void {
    this.bytes.set(key, ROWS);
  }

  /**
   * Seals `length` bytes at `from`; all places are in the input and the output.
   *
   * @param to gets the cipher text, and up to 15 bytes of anything behind it
   * @param nonceLow the last 8 bytes of the nonce as two little-endian words
   */
  seal(from: number, length: number, to: number, tag: number, nonceLow: number, nonceHigh: number): void {
    this.#module.seal(from, length, to, tag, nonceLow, nonceHigh);
  }

  /** The reverse. @returns whether the box is genuine; nothing was written if not */
  open(from: number, length: number, to: number, tag: number, nonceLow: number, nonceHigh: number): boolean {
    return this.#module.open(from, length, to, tag, nonceLow, nonceHigh) === 1;
  }
}

interface Loaded {
  readonly module: Exports;
  readonly short: ShortBoxes;
}

let loaded: Loaded | undefined;

/** @throws what keeps it from loading here: no WebAssembly, or none with vectors */
function load(): Loaded {
  if (loaded === undefined) {
    const { Module, Instance } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
    const module = new Instance(new Module(secretboxModule(MEMORY_SIZE))).exports as Exports;
    loaded = { module, short: new ShortBoxes(module) };
  }
  return loaded;
}

/** The boxes of short frames, where native code has the others. */
export const alongsideSodium: ShortSource = {
  most: MOST_SHORT_WITH_SODIUM,
  boxes() {
    try {
      return load().short;
    } catch {
      return undefined; // Native code seals them: more slowly, and all the same.
    }
  },
};

/** @throws what keeps it from loading here */
export function wasmBox(): WasmBox {
  const { module, short } = load();
  const { bytes, view } = short;
  const nonceWords = (nonce: Uint8Array): [number, number] => {
    bytes.set(nonce.subarray(16, 24), INPUT);
    return [view.getInt32(INPUT, true), view.getInt32(INPUT + 4, true)];
  };
  /** What authenticates a text: the cipher text, which is what it becomes, or what it was. */
  const inParts = (
    target: Uint8Array,
    source: Uint8Array,
    [low, high]: [number, number],
    authenticated: typeof INPUT | typeof OUTPUT,
  ): void => {
    module.start(low, high);
    // Of the key stream, whose first bytes are Poly1305's key.
    let used = PART - FIRST_PART;
    for (let at = 0; at < source.length; ) {
      const isFirst = at === 0;
      const part = source.subarray(at, at + (isFirst ? INPUT_SIZE : INPUT_SIZE - FIRST_PART));
      bytes.set(part, INPUT);
      const [block, offset] = isFirst ? [BLOCKS_AT_ONCE, used] : [used / BLOCK, 0];
      module.crypt(INPUT, part.length, OUTPUT, low, high, block, offset);
      module.authenticate(authenticated, part.length);
      target.set(bytes.subarray(OUTPUT, OUTPUT + part.length), at);
      used += part.length;
      at += part.length;
    }
  };
  return {
    name: "wasm",
    short: { most: MOST_SHORT, boxes: () => short },
    seal(sealed, plain, nonce, key) {
      const words = nonceWords(nonce);
      short.use(boxKeyOf(key, nonce));
      inParts(sealed.subarray(TAG_LENGTH), plain, words, OUTPUT);
      module.finish(OUTPUT);
      sealed.set(bytes.subarray(OUTPUT, OUTPUT + TAG_LENGTH));
    },
    open(plain, sealed, nonce, key) {
      const words = nonceWords(nonce);
      short.use(boxKeyOf(key, nonce));
      const tag = sealed.slice(0, TAG_LENGTH);
      inParts(plain, sealed.subarray(TAG_LENGTH), words, INPUT);
      module.finish(OUTPUT);
      let differing = 0;
      for (let i = 0; i < TAG_LENGTH; i++) differing |= (bytes[OUTPUT + i] as number) ^ (tag[i] as number);
      return differing === 0;
    },
  };
}
