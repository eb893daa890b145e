// @ts-check
/**
 * What CURVE costs a frame: the box alone, by each package, and the whole MESSAGE. From the built package's
 * own files: none of this is exported.
 */
import b from "benny";
import { nobleBox, sodiumBox, wasmBox } from "../../dist/micro/curve-box.js";
import { CurveCipher } from "../../dist/micro/curve-cipher.js";
import { agreeOnKey, newKeyPair } from "../../dist/micro/curve-exchange.js";

const smoke = process.argv.includes("--smoke");
const options = smoke ? { minSamples: 1, maxTime: 0.02 } : { maxTime: 1 };

/** @returns {import("../../src/engine/zmtp/mechanism/curve-box.js").CurveBox[]} */
function boxes() {
  try {
    return [sodiumBox(), wasmBox(), nobleBox()];
  } catch {
    console.error("sodium-native does not load here");
    return [wasmBox(), nobleBox()];
  }
}

const pair = newKeyPair();
const key = agreeOnKey(newKeyPair().publicKey, pair) ?? new Uint8Array(32);
const nonce = Buffer.alloc(24, 1);
const none = Buffer.alloc(8);

for (const [name, size] of /** @type {const} */ ([
  ["64 B", 64],
  ["1 KiB", 1024],
  ["64 KiB", 65_536],
])) {
  const cases = boxes().flatMap((box) => {
    const plain = Buffer.alloc(size, 7);
    const sealed = Buffer.alloc(size + 16);
    const opened = Buffer.alloc(size);
    box.seal(sealed, plain, nonce, key);
    const cipher = new CurveCipher(box, key, false, 2, none);
    const slab = Buffer.alloc(cipher.sealedLength(size) + 9);
    return [
      b.add(`${box.name} box`, () => box.seal(sealed, plain, nonce, key), options),
      b.add(`${box.name} unbox`, () => void box.open(opened, sealed, nonce, key), options),
      b.add(`${box.name} MESSAGE`, () => cipher.seal(0, plain, 0, size, slab, 9), options),
    ];
  });
  await b.suite(name, ...cases, b.cycle(), b.complete());
}

await b.suite(
  "keys",
  b.add("X25519 and HSalsa20", () => void agreeOnKey(pair.publicKey, pair), options),
  b.add("a new pair", () => void newKeyPair(), options),
  b.cycle(),
  b.complete(),
);
