/**
 * XSalsa20-Poly1305 as a module of WebAssembly, made here instruction by instruction: no native code, and no build of its own.
 * It computes on its own memory, where the caller puts keys and texts, so several boxes cost one copy in and one copy out.
 *
 *   key stream = Salsa20 of (key, nonce 8, block 0, 1, ...); the first 32 bytes are the key of Poly1305, r 16 | pad 16
 *   cipher text = text ^ the key stream behind them;  tag = Poly1305 of the cipher text
 *
 * Salsa20 (Bernstein, "The Salsa20 family of stream ciphers"): the 16 words of a block are four vectors along the diagonals, so
 * a quarter of each round is one instruction for four words; two blocks are computed at once, since each has to wait for itself:
 *
 *   A = x0 x5 x10 x15   constants          B = x4 x9 x14 x3    k3, block high, k7, k2
 *   C = x8 x13 x2 x7    block low, k6, k1, nonce high          D = x12 x1 x6 x11   k5, k0, nonce low, k4
 *
 * Poly1305 (Bernstein, "The Poly1305-AES message-authentication code"; RFC 8439, The Poly1305 Algorithm): h = (h + 16 bytes + 2^128)
 * * r mod 2^130 - 5, in words of 32 bits held in 64. r's upper words are divisible by 4, so 2^128 * r[i] is r[i] * 5 / 4 of the
 * words below. A word may have up to 2^34 before it is multiplied: then the sums are below 2^64 (5.5 * 2^61), and no carry is
 * taken between addition and multiplication.
 *
 * Additions, multiplications, shifts and exclusive ors only, none of which takes a time that depends on a secret; no branch and
 * no address does either, but for whether a tag fits.
 */
import {
  type Code,
  call,
  doWhile,
  get,
  I32,
  I64,
  i32,
  i64,
  moduleOf,
  RETURN,
  set,
  V128,
  v128,
  type WasmFunction,
  when,
} from "./wasm-code.js";

/** Where the vectors A to D of a key are, with zeros for nonce and block. */
export const ROWS = 0;
/** Two blocks of key stream, and room behind them, since text is combined 16 bytes at once. */
const STREAM = 64;
const STREAM_BYTES = 128;
/** Poly1305's r, with its upper words' five quarters behind it: seven words of 8 bytes. */
const POLY = 256;
/** Its h, five words of 8 bytes, and its pad, 16 bytes. */
const H = POLY + 56;
const PAD = H + 40;
/** A tag that is compared. */
const TAG = PAD + 16;
/** Where the caller's memory begins. */
export const FREE = 512;
/** Bytes behind a text and behind its result that are read, and written with anything. */
export const SLACK = 16;
/** Bytes of a text's first part where others follow, and of those but the last: a multiple of this behind it. */
export const FIRST_PART = STREAM_BYTES - 32;
export const PART = STREAM_BYTES;

const PAGE = 65_536;
const DOUBLE_ROUNDS = 10;

const Index = { blocks: 0, combine: 1, begin: 2, start: 3, crypt: 4, authenticate: 5, finish: 6 } as const;

/** stream = two blocks from `block` on. */
function blocks(): WasmFunction {
  const [nonceLow, nonceHigh, block, round] = [0, 1, 2, 3];
  const [one, other] = [
    [4, 5, 6, 7],
    [8, 9, 10, 11],
  ] as const;
  const row = (number: number): Code => v128.load(i32.of(0), ROWS + 16 * number);
  const withBlock = (add: number): Code =>
    v128.replace32(
      v128.replace32(row(2), 3, get(nonceHigh)),
      0,
      add === 0 ? get(block) : i32.add(get(block), i32.of(add)),
    );
  const withNonce = v128.replace32(row(3), 2, get(nonceLow));
  const begin = (state: readonly number[], add: number): Code => [
    ...set(state[0] as number, row(0)),
    ...set(state[1] as number, row(1)),
    ...set(state[2] as number, withBlock(add)),
    ...set(state[3] as number, withNonce),
  ];
  const temporary = [12, 13] as const;
  /** In both blocks `to ^= (x + y) <<< bits`. */
  const mix = (to: number, x: number, y: number, bits: number): Code =>
    [one, other].flatMap((state, i) => {
      const [target, sum] = [state[to] as number, temporary[i] as number];
      return [
        ...set(sum, v128.add32(get(state[x] as number), get(state[y] as number))),
        ...set(
          target,
          v128.xor(v128.xor(get(target), v128.shl32(get(sum), bits)), v128.shrU32(get(sum), 32 - bits)),
        ),
      ];
    });
  /** In both blocks the words of a vector, turned by so many places. */
  const turn = (vector: number, places: number): Code =>
    [one, other].flatMap((state) => {
      const local = state[vector] as number;
      const words = [0, 1, 2, 3].map((word) => (word + places) % 4);
      return set(local, v128.pick32(get(local), get(local), words));
    });
  const quarter = (b: number, c: number, d: number): Code => [
    ...mix(b, 0, d, 7),
    ...mix(c, b, 0, 9),
    ...mix(d, c, b, 13),
    ...mix(0, d, c, 18),
  ];
  const doubleRound = [
    ...quarter(1, 2, 3),
    // From columns to rows: D's words are the rows' second ones then, and B's their fourth.
    ...[...turn(1, 3), ...turn(2, 2), ...turn(3, 1)],
    ...quarter(3, 2, 1),
    ...[...turn(1, 1), ...turn(2, 2), ...turn(3, 3)],
  ];
  const store = (state: readonly number[], add: number, at: number): Code => {
    const [a, b, c, d] = state as [number, number, number, number];
    /** Words 0 to 3 from the diagonals that begin in these vectors: one of each. */
    const line = (first: number, second: number, third: number, fourth: number): Code =>
      v128.pick32(
        v128.pick32(get(first), get(second), [0, 5, 2, 7]),
        v128.pick32(get(third), get(fourth), [0, 1, 2, 7]),
        [0, 1, 6, 7],
      );
    return [
      ...set(a, v128.add32(get(a), row(0))),
      ...set(b, v128.add32(get(b), row(1))),
      ...set(c, v128.add32(get(c), withBlock(add))),
      ...set(d, v128.add32(get(d), withNonce)),
      ...v128.store(i32.of(0), line(a, d, c, b), at),
      ...v128.store(i32.of(0), line(b, a, d, c), at + 16),
      ...v128.store(i32.of(0), line(c, b, a, d), at + 32),
      ...v128.store(i32.of(0), line(d, c, b, a), at + 48),
    ];
  };
  return {
    parameters: [I32, I32, I32],
    locals: [I32, ...Array<number>(10).fill(V128)],
    code: [
      ...begin(one, 0),
      ...begin(other, 1),
      ...set(round, i32.of(DOUBLE_ROUNDS)),
      ...doWhile([...doubleRound, ...set(round, i32.sub(get(round), i32.of(1)))], get(round)),
      ...store(one, 0, STREAM),
      ...store(other, 1, STREAM + 64),
    ],
  };
}

/** `length` bytes, 1 or more, at `to` = those at `from` ^ those of the stream at `stream`. */
function combine(): WasmFunction {
  const [from, length, to, stream, end] = [0, 1, 2, 3, 4];
  const next = (local: number): Code => set(local, i32.add(get(local), i32.of(16)));
  return {
    parameters: [I32, I32, I32, I32],
    locals: [I32],
    code: [
      ...set(end, i32.add(get(from), get(length))),
      ...doWhile(
        [
          ...v128.store(get(to), v128.xor(v128.load(get(from)), v128.load(get(stream)))),
          ...next(from),
          ...next(to),
          ...next(stream),
        ],
        i32.ltU(get(from), get(end)),
      ),
    ],
  };
}

/** Begins Poly1305: its key of 32 bytes at `at`, h = 0. */
function begin(): WasmFunction {
  const [at, word] = [0, 1];
  const clamped = (i: number): Code =>
    i64.and(i64.load32(get(at), 4 * i), i64.of(i === 0 ? 0x0fff_ffffn : 0x0fff_fffcn));
  const fiveQuarters = i64.add(get(word), i64.shrU(get(word), i64.of(2n)));
  return {
    name: "begin",
    parameters: [I32],
    locals: [I64],
    code: [
      ...[0, 1, 2, 3].flatMap((i) => [
        ...set(word, clamped(i)),
        ...i64.store(i32.of(0), get(word), POLY + 8 * i),
        ...(i === 0 ? [] : i64.store(i32.of(0), fiveQuarters, POLY + 24 + 8 * i)),
      ]),
      ...[0, 1, 2, 3, 4].flatMap((i) => i64.store(i32.of(0), i64.of(0n), H + 8 * i)),
      ...v128.store(i32.of(0), v128.load(get(at), 16), PAD),
    ],
  };
}

/** Begins a box: the first blocks of its stream, and Poly1305 with the key in them. */
function start(): WasmFunction {
  const [nonceLow, nonceHigh] = [0, 1];
  return {
    name: "start",
    parameters: [I32, I32],
    locals: [],
    code: [
      ...call(Index.blocks, get(nonceLow), get(nonceHigh), i32.of(0)),
      ...call(Index.begin, i32.of(STREAM)),
    ],
  };
}

/**
 * Combines a part of a text with its stream: `offset` of two blocks, those before `block`, were used; 0 for none. The caller has parts
 * end where two blocks do.
 */
function crypt(): WasmFunction {
  const [from, length, to, nonceLow, nonceHigh, block, offset, count] = [0, 1, 2, 3, 4, 5, 6, 7];
  return {
    name: "crypt",
    parameters: [I32, I32, I32, I32, I32, I32, I32],
    locals: [I32],
    code: when(get(length), [
      ...doWhile(
        [
          ...when(i32.isZero(get(offset)), [
            ...call(Index.blocks, get(nonceLow), get(nonceHigh), get(block)),
            ...set(block, i32.add(get(block), i32.of(2))),
          ]),
          ...set(count, i32.sub(i32.of(STREAM_BYTES), get(offset))),
          ...when(i32.gtU(get(count), get(length)), set(count, get(length))),
          ...call(Index.combine, get(from), get(count), get(to), i32.add(i32.of(STREAM), get(offset))),
          ...set(from, i32.add(get(from), get(count))),
          ...set(to, i32.add(get(to), get(count))),
          ...set(length, i32.sub(get(length), get(count))),
          ...set(offset, i32.of(0)),
        ],
        get(length),
      ),
    ]),
  };
}

const LOW = 0xffff_ffffn;
const low = (value: Code): Code => i64.and(value, i64.of(LOW));
const high = (value: Code): Code => i64.shrU(value, i64.of(32n));

/** Adds a part of a cipher text to Poly1305; all but the last have a multiple of 16 bytes. */
function authenticate(): WasmFunction {
  const [at, length] = [0, 1];
  const h = [2, 3, 4, 5, 6] as const;
  const r = [7, 8, 9, 10] as const;
  /** Five quarters of r[i], from r[1] on. */
  const s = [-1, 11, 12, 13] as const;
  const d = [14, 15, 16, 17] as const;
  const [first, second, bits] = [18, 19, 20];
  const sum = (...terms: Code[]): Code => terms.reduce((all, term) => i64.add(all, term));
  const product = (one: number, other: number): Code => i64.mul(get(one), get(other));
  const multiply: Code = [
    ...set(d[0], sum(product(h[0], r[0]), product(h[1], s[3]), product(h[2], s[2]), product(h[3], s[1]))),
    ...set(
      d[1],
      sum(
        product(h[0], r[1]),
        product(h[1], r[0]),
        product(h[2], s[3]),
        product(h[3], s[2]),
        product(h[4], s[1]),
      ),
    ),
    ...set(
      d[2],
      sum(
        product(h[0], r[2]),
        product(h[1], r[1]),
        product(h[2], r[0]),
        product(h[3], s[3]),
        product(h[4], s[2]),
      ),
    ),
    ...set(
      d[3],
      sum(
        product(h[0], r[3]),
        product(h[1], r[2]),
        product(h[2], r[1]),
        product(h[3], r[0]),
        product(h[4], s[3]),
      ),
    ),
    ...set(h[4], product(h[4], r[0])),
    ...set(d[1], i64.add(get(d[1]), high(get(d[0])))),
    ...set(d[2], i64.add(get(d[2]), high(get(d[1])))),
    ...set(d[3], i64.add(get(d[3]), high(get(d[2])))),
    ...set(h[4], i64.add(get(h[4]), high(get(d[3])))),
    // What is past 2^130 comes again five times.
    ...set(h[0], i64.add(low(get(d[0])), i64.mul(i64.shrU(get(h[4]), i64.of(2n)), i64.of(5n)))),
    ...set(h[1], low(get(d[1]))),
    ...set(h[2], low(get(d[2]))),
    ...set(h[3], low(get(d[3]))),
    ...set(h[4], i64.and(get(h[4]), i64.of(3n))),
  ];
  const add = (local: number, value: Code): Code => set(local, i64.add(get(local), value));
  /** The last block's bytes from its end on are a 1 and zeros: in `word`, where it ends in that. */
  const endIn = (word: number): Code => [
    ...set(bits, i64.shl(i64.of(1n), i64.shl(i64.ofI32(i32.and(get(length), i32.of(7))), i64.of(3n)))),
    ...set(word, i64.or(i64.and(get(word), i64.sub(get(bits), i64.of(1n))), get(bits))),
  ];
  return {
    name: "authenticate",
    parameters: [I32, I32],
    locals: Array<number>(19).fill(I64),
    code: [
      ...h.flatMap((local, i) => set(local, i64.load(i32.of(0), H + 8 * i))),
      ...r.flatMap((local, i) => set(local, i64.load(i32.of(0), POLY + 8 * i))),
      ...[1, 2, 3].flatMap((i) => set(s[i] as number, i64.load(i32.of(0), POLY + 24 + 8 * i))),
      ...when(
        i32.gtU(get(length), i32.of(15)),
        doWhile(
          [
            ...[0, 1, 2, 3].flatMap((i) => add(h[i] as number, i64.load32(get(at), 4 * i))),
            ...add(h[4], i64.of(1n)),
            ...multiply,
            ...set(at, i32.add(get(at), i32.of(16))),
            ...set(length, i32.sub(get(length), i32.of(16))),
          ],
          i32.gtU(get(length), i32.of(15)),
        ),
      ),
      ...when(get(length), [
        ...set(first, i64.load(get(at))),
        ...set(second, i64.load(get(at), 8)),
        ...when(i32.gtU(get(length), i32.of(7)), endIn(second), [
          ...endIn(first),
          ...set(second, i64.of(0n)),
        ]),
        ...add(h[0], low(get(first))),
        ...add(h[1], high(get(first))),
        ...add(h[2], low(get(second))),
        ...add(h[3], high(get(second))),
        ...multiply,
      ]),
      ...h.flatMap((local, i) => i64.store(i32.of(0), get(local), H + 8 * i)),
    ],
  };
}

/** Puts the tag of all that was authenticated at `at`. */
function finish(): WasmFunction {
  const at = 0;
  const h = [1, 2, 3, 4, 5] as const;
  const g = [6, 7, 8, 9, 10] as const;
  const mask = 11;
  const carry = (words: readonly number[]): Code =>
    [0, 1, 2, 3].flatMap((i) => {
      const [word, next] = [words[i] as number, words[i + 1] as number];
      return [...set(next, i64.add(get(next), high(get(word)))), ...set(word, low(get(word)))];
    });
  return {
    name: "finish",
    parameters: [I32],
    locals: Array<number>(11).fill(I64),
    code: [
      ...h.flatMap((local, i) => set(local, i64.load(i32.of(0), H + 8 * i))),
      // Below 2^130 and a little, as each multiplication leaves it.
      ...carry(h),
      // g = h + 5, which is h - (2^130 - 5) if it has bit 130: then it is what is wanted.
      ...h.flatMap((local, i) => set(g[i] as number, get(local))),
      ...set(g[0], i64.add(get(g[0]), i64.of(5n))),
      ...carry(g),
      ...set(mask, i64.sub(i64.of(0n), i64.and(i64.shrU(get(g[4]), i64.of(2n)), i64.of(1n)))),
      ...[0, 1, 2, 3].flatMap((i) => {
        const [word, other] = [h[i] as number, g[i] as number];
        const chosen = i64.xor(get(word), i64.and(get(mask), i64.xor(get(word), get(other))));
        return set(word, i64.add(chosen, i64.load32(i32.of(0), PAD + 4 * i)));
      }),
      ...carry(h),
      ...[0, 1, 2, 3].flatMap((i) => i64.store32(get(at), get(h[i] as number), 4 * i)),
    ],
  };
}

/** A whole box: the text's `length` bytes at `from`, its cipher text at `to`, its tag at `tag`. */
function seal(): WasmFunction {
  const [from, length, to, tag, nonceLow, nonceHigh] = [0, 1, 2, 3, 4, 5];
  return {
    name: "seal",
    parameters: [I32, I32, I32, I32, I32, I32],
    locals: [],
    code: [
      ...call(Index.start, get(nonceLow), get(nonceHigh)),
      ...call(
        Index.crypt,
        ...[get(from), get(length), get(to), get(nonceLow), get(nonceHigh)],
        ...[i32.of(2), i32.of(32)],
      ),
      ...call(Index.authenticate, get(to), get(length)),
      ...call(Index.finish, get(tag)),
    ],
  };
}

/** The reverse. @returns 0 where the tag does not fit: then nothing was written */
function open(): WasmFunction {
  const [from, length, to, tag, nonceLow, nonceHigh] = [0, 1, 2, 3, 4, 5];
  const differing = (offset: number): Code =>
    i64.xor(i64.load(get(tag), offset), i64.load(i32.of(0), TAG + offset));
  return {
    name: "open",
    parameters: [I32, I32, I32, I32, I32, I32],
    result: I32,
    locals: [],
    code: [
      ...call(Index.start, get(nonceLow), get(nonceHigh)),
      ...call(Index.authenticate, get(from), get(length)),
      ...call(Index.finish, i32.of(TAG)),
      ...when(i32.isZero(i64.isZero(i64.or(differing(0), differing(8)))), [...i32.of(0), ...RETURN]),
      ...call(
        Index.crypt,
        ...[get(from), get(length), get(to), get(nonceLow), get(nonceHigh)],
        ...[i32.of(2), i32.of(32)],
      ),
      ...i32.of(1),
    ],
  };
}

/** @param bytes of its memory at least, FREE included */
export function secretboxModule(bytes: number): Uint8Array<ArrayBuffer> {
  const functions = [
    blocks(),
    combine(),
    begin(),
    start(),
    crypt(),
    authenticate(),
    finish(),
    seal(),
    open(),
  ];
  return moduleOf(functions, Math.ceil(bytes / PAGE));
}
