// @ts-check
/**
 * Cost of CURVE per frame: the box alone by each package, the whole MESSAGE, and MESSAGEs within libsodium's memory,
 * where short frames are processed in batches. Uses internal files of the built package.
 */
import { xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import b from "benny";
import { newKeyPair } from "../../dist/micro/engine/zmtp/mechanism/curve-box.js";
import { OVERHEAD, Sealer } from "../../dist/micro/engine/zmtp/mechanism/curve-cipher.js";
import {
  boxWith,
  loadLibsodium,
  loadSodium,
} from "../../dist/micro/engine/zmtp/mechanism/curve-primitives.js";

const smoke = process.argv.includes("--smoke");
const options = smoke ? { minSamples: 1, maxTime: 0.02 } : { maxTime: 1 };

const libsodium = await loadLibsodium();
const frames = /** @type {NonNullable<typeof libsodium.frames>} */ (libsodium.frames);

function boxes() {
  try {
    return [libsodium, boxWith(loadSodium(), libsodium)];
  } catch {
    console.error("sodium-native does not load here");
    return [libsodium];
  }
}

const pair = newKeyPair(libsodium);
const key = libsodium.agree(newKeyPair(libsodium).publicKey, pair.secretKey) ?? new Uint8Array(32);
const nonce = Buffer.alloc(24, 1);
const none = Buffer.alloc(8);

for (const [name, size] of /** @type {const} */ ([
  ["16 B", 16],
  ["64 B", 64],
  ["256 B", 256],
  ["1 KiB", 1024],
  ["64 KiB", 65_536],
])) {
  const plain = Buffer.alloc(size, 7);
  const sealed = Buffer.alloc(size + 16);
  const opened = Buffer.alloc(size);
  libsodium.seal(sealed, plain, nonce, key);
  const cases = boxes().flatMap((box) => {
    const sealer = new Sealer(box, key, false, 2, none);
    const slab = Buffer.alloc(OVERHEAD + size + 9);
    return [
      b.add(`${box.name} box`, () => box.seal(sealed, plain, nonce, key), options),
      b.add(`${box.name} unbox`, () => void box.open(opened, sealed, nonce, key), options),
      b.add(`${box.name} MESSAGE`, () => sealer.sealFrame(0, plain, 0, size, slab, 9), options),
    ];
  });
  const inMemory = new Sealer(libsodium, key, false, 2, none);
  frames.use(key, nonce);
  const { bytes, input, output } = frames;
  await b.suite(
    name,
    ...cases,
    b.add("noble box", () => void xsalsa20poly1305(key, nonce).encrypt(plain), options),
    b.add("noble unbox", () => void xsalsa20poly1305(key, nonce).decrypt(sealed), options),
    b.add(
      "libsodium MESSAGE in its memory",
      () => inMemory.sealFrame(0, bytes, input + 1, input + 1 + size, bytes, output),
      options,
    ),
    b.cycle(),
    b.complete(),
  );
}

await b.suite(
  "keys",
  b.add("agreeing on a key", () => void libsodium.agree(pair.publicKey, pair.secretKey), options),
  b.add("a new pair", () => void newKeyPair(libsodium), options),
  b.cycle(),
  b.complete(),
);
