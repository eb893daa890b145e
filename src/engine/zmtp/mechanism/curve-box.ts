/**
 * The box that CURVE puts around everything: XSalsa20-Poly1305 under a key both
 * sides know (26/CURVEZMQ, Cryptography), by one of three.
 *
 *   sealed = tag 16 | cipher text, as long as the plain text
 *
 * `sodium-native` is libsodium, and optional: the fastest for long texts. A call
 * into native code takes as long as a text of 300 bytes, so short frames are
 * sealed and opened in WebAssembly (wasm-box.ts) all the same, which needs no
 * package, and seals everything where there is no native code. `@noble/ciphers`
 * is TypeScript and works everywhere. All give the same bytes (bench/micro/curve.js
 * compares them). What is used is loaded with the first CURVE connection, not
 * with the package: noble is an ES module, which Node.js can `require` from 20.19
 * and 22.12 on.
 */

import { quoted } from "../../../core/arguments.js";
import { InvalidArgumentError, NotSupportedError } from "../../../core/errors.js";
import { requireHere } from "../../../core/require-here.js";
import { nobleBoxOf } from "./noble-box.js";
import { alongsideSodium, type ShortSource, wasmBox } from "./wasm-box.js";

export { wasmBox };

/** How many bytes a sealed box is longer than what is in it. */
export const TAG_LENGTH = 16;

/** Seals and opens boxes. Keys have 32 bytes, nonces 24. Nothing passed in is kept. */
export interface CurveBox {
  readonly name: "sodium" | "wasm" | "noble";
  /** For short frames, several at once; absent: there is nothing faster. */
  readonly short?: ShortSource;
  /**
   * @param sealed 16 bytes longer than `plain`; gets the result
   * @param plain may be the bytes of `sealed` behind the tag
   */
  seal(sealed: Uint8Array, plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): void;
  /**
   * @param plain 16 bytes shorter than `sealed`, or those of its bytes behind the tag; gets the result
   * @param sealed at least 16 bytes
   * @returns whether the box is genuine; `plain` is worthless if not
   */
  open(plain: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean;
}

/** The part of sodium-native that is used here; it comes without types. */
interface Sodium {
  crypto_secretbox_easy(c: Uint8Array, m: Uint8Array, n: Uint8Array, k: Uint8Array): void;
  crypto_secretbox_open_easy(m: Uint8Array, c: Uint8Array, n: Uint8Array, k: Uint8Array): boolean;
}

/** @throws whatever keeps the addon from loading here */
export function sodiumBox(): CurveBox {
  const sodium = requireHere()("sodium-native") as Sodium;
  return {
    name: "sodium",
    seal: (sealed, plain, nonce, key) => sodium.crypto_secretbox_easy(sealed, plain, nonce, key),
    open: (plain, sealed, nonce, key) => sodium.crypto_secretbox_open_easy(plain, sealed, nonce, key),
  };
}

/** @throws what keeps an ES module from being required here: a Node.js before 22.12 */
export function nobleBox(): CurveBox {
  const { xsalsa20poly1305 } = requireHere()(
    "@noble/ciphers/salsa.js",
  ) as typeof import("@noble/ciphers/salsa.js");
  return nobleBoxOf(xsalsa20poly1305);
}

let chosen: CurveBox | undefined;

/**
 * The box for this process, chosen once: sodium where it loads, with WebAssembly for short frames; else WebAssembly, else
 * noble. The environment variable `SHOAL_CURVE`, `sodium`, `wasm` or `noble`, insists on one for everything.
 *
 * @throws InvalidArgumentError `EINVAL` for another `SHOAL_CURVE`
 * @throws NotSupportedError `ERR_ENGINE_UNAVAILABLE` when it insists on what does not load, or none does
 */
export function loadCurveBox(): CurveBox {
  chosen ??= chooseCurveBox(process.env.SHOAL_CURVE);
  return chosen;
}

/** Whether the boxes of this process are made by native code. */
export function curveIsNative(): boolean {
  try {
    return loadCurveBox().name === "sodium";
  } catch {
    return false; // No box can be made: the first socket with CURVE reports why.
  }
}

/**
 * @param choice `SHOAL_CURVE`; empty or `undefined` for whatever loads
 * @internal
 */
export function chooseCurveBox(
  choice: string | undefined,
  sodium = sodiumBox,
  noble = nobleBox,
  wasm = wasmBox,
): CurveBox {
  switch (choice) {
    case "sodium":
      return insist("sodium-native", sodium);
    case "wasm":
      return insistOnWasm(wasm);
    case "noble":
      return insist("@noble/ciphers", noble);
    case undefined:
    case "": {
      const native = attempt(sodium);
      if (native === undefined) return attempt(wasm) ?? insist("@noble/ciphers", noble);
      return { ...native, short: alongsideSodium };
    }
    default:
      throw new InvalidArgumentError(`SHOAL_CURVE must be sodium, wasm or noble; got ${quoted(choice)}`);
  }
}

/** @returns undefined where it does not load */
function attempt(make: () => CurveBox): CurveBox | undefined {
  try {
    return make();
  } catch {
    return undefined; // The next of them does its work.
  }
}

function insistOnWasm(make: () => CurveBox): CurveBox {
  try {
    return make();
  } catch (cause) {
    throw new NotSupportedError(
      "SHOAL_CURVE=wasm needs WebAssembly with vectors of 128 bits, which this machine does not have",
      "ERR_ENGINE_UNAVAILABLE",
      { cause },
    );
  }
}

function insist(name: string, make: () => CurveBox): CurveBox {
  try {
    return make();
  } catch (cause) {
    throw new NotSupportedError(
      `CURVE needs the npm package ${name} here, which does not load on this machine: npm install ${name}`,
      "ERR_ENGINE_UNAVAILABLE",
      { cause },
    );
  }
}
