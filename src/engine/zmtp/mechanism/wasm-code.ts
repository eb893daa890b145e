/**
 * Instructions of WebAssembly as functions that give their bytes, as many as secretbox-module.ts needs (WebAssembly Core
 * Specification, Binary Format). An operand is the code that leaves it on the stack. Pure.
 *
 *   module = 00 "asm" 01 00 00 00 | types 1 | functions 3 | memory 5 | exports 7 | code 10
 *   section = number 1 | length | entries; numbers are LEB128
 */

/** The bytes of some instructions. */
export type Code = readonly number[];

export const I32 = 0x7f;
export const I64 = 0x7e;
export const V128 = 0x7b;

/** The void type of a block. */
const EMPTY = 0x40;
const END = 0x0b;
const VECTOR = 0xfd;

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest = Math.floor(rest / 128);
  }
  return [...bytes, rest];
}

function signed(value: bigint): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    const low = Number(rest & 0x7fn);
    const isLast = (rest >> 7n === 0n && low < 0x40) || (rest >> 7n === -1n && low >= 0x40);
    bytes.push(isLast ? low : low | 0x80);
    if (isLast) return bytes;
  }
}

function binary(...opcode: number[]): (one: Code, other: Code) => Code {
  return (one, other) => [...one, ...other, ...opcode];
}

function shiftBy(...opcode: number[]): (value: Code, bits: Code) => Code {
  return (value, bits) => [...value, ...bits, ...opcode];
}

function load(...opcode: number[]): (address: Code, offset?: number) => Code {
  return (address, offset = 0) => [...address, ...opcode, 0, ...unsigned(offset)];
}

function store(...opcode: number[]): (address: Code, value: Code, offset?: number) => Code {
  return (address, value, offset = 0) => [...address, ...value, ...opcode, 0, ...unsigned(offset)];
}

export const get = (local: number): Code => [0x20, ...unsigned(local)];
export const set = (local: number, value: Code): Code => [...value, 0x21, ...unsigned(local)];
export const call = (index: number, ...operands: Code[]): Code => [
  ...operands.flat(),
  0x10,
  ...unsigned(index),
];

export const i32 = {
  of: (value: number): Code => [0x41, ...signed(BigInt(value | 0))],
  load: load(0x28),
  store: store(0x36),
  add: binary(0x6a),
  sub: binary(0x6b),
  and: binary(0x71),
  ltU: binary(0x49),
  gtU: binary(0x4b),
  isZero: (value: Code): Code => [...value, 0x45],
} as const;

export const i64 = {
  of: (value: bigint): Code => [0x42, ...signed(BigInt.asIntN(64, value))],
  ofI32: (value: Code): Code => [...value, 0xad],
  load: load(0x29),
  load32: load(0x35),
  store: store(0x37),
  store32: store(0x3e),
  add: binary(0x7c),
  sub: binary(0x7d),
  mul: binary(0x7e),
  and: binary(0x83),
  or: binary(0x84),
  xor: binary(0x85),
  shl: shiftBy(0x86),
  shrU: shiftBy(0x88),
  isZero: (value: Code): Code => [...value, 0x50],
} as const;

export const v128 = {
  load: load(VECTOR, 0x00),
  store: store(VECTOR, 0x0b),
  xor: binary(VECTOR, 0x51),
  add32: binary(VECTOR, 0xae, 0x01),
  shl32: (value: Code, bits: number): Code => [...value, ...i32.of(bits), VECTOR, 0xab, 0x01],
  shrU32: (value: Code, bits: number): Code => [...value, ...i32.of(bits), VECTOR, 0xad, 0x01],
  /** Puts a word into one of four lanes. */
  replace32: (value: Code, lane: number, word: Code): Code => [...value, ...word, VECTOR, 0x1c, lane],
  /** Four words, each by its number among those of `one`, 0 to 3, and of `other`, 4 to 7. */
  pick32: (one: Code, other: Code, words: readonly number[]): Code => [
    ...one,
    ...other,
    VECTOR,
    0x0d,
    ...words.flatMap((word) => [word * 4, word * 4 + 1, word * 4 + 2, word * 4 + 3]),
  ],
} as const;

/** Repeats `body`, and does it again while `condition` holds. */
export const doWhile = (body: Code, condition: Code): Code => [
  0x03,
  EMPTY,
  ...body,
  ...condition,
  0x0d,
  0,
  END,
];

export const when = (condition: Code, then: Code, otherwise: Code = []): Code => [
  ...condition,
  0x04,
  EMPTY,
  ...then,
  ...(otherwise.length === 0 ? [] : [0x05, ...otherwise]),
  END,
];

export const RETURN: Code = [0x0f];

/** A function of a module. */
export interface WasmFunction {
  /** Under which it is exported; absent: it is not. */
  readonly name?: string;
  readonly parameters: readonly number[];
  readonly result?: number;
  /** Numbered behind the parameters. */
  readonly locals: readonly number[];
  readonly code: Code;
}

/** @param pages of 64 KiB, of the memory that is exported as `memory` */
export function moduleOf(functions: readonly WasmFunction[], pages: number): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters, result }) => [
    0x60,
    ...vector(parameters.map((type) => [type])),
    ...vector(result === undefined ? [] : [[result]]),
  ]);
  const exported = functions.flatMap(({ name }, index) =>
    name === undefined ? [] : [[...text(name), 0x00, ...unsigned(index)]],
  );
  const bodies = functions.map(({ locals, code }) => {
    const body = [...vector(locals.map((type) => [1, type])), ...code, END];
    return [...unsigned(body.length), ...body];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...section(
      3,
      functions.map((_, index) => unsigned(index)),
    ),
    ...section(5, [[0x01, ...unsigned(pages), ...unsigned(pages)]]),
    ...section(7, [...exported, [...text("memory"), 0x02, 0x00]]),
    ...section(10, bodies),
  ]);
}

function section(number: number, entries: readonly Code[]): number[] {
  const content = vector(entries);
  return [number, ...unsigned(content.length), ...content];
}

function vector(entries: readonly Code[]): number[] {
  return [...unsigned(entries.length), ...entries.flat()];
}

function text(name: string): number[] {
  return [...unsigned(name.length), ...Buffer.from(name, "latin1")];
}
