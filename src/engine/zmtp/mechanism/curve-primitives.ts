/**
 * CURVE's cryptography (docs/security.md): `libsodium` in WebAssembly (libsodium.ts); the optional
 * `sodium-native` seals and opens long texts, since a native call takes as long as a text of some 300 bytes
 * (bench/micro/curve.js).
 *
 * Both load with the first socket with CURVE, for which handshakes wait (mechanism.ts).
 */
import { quoted } from "../../../core/arguments.js";
import { InvalidArgumentError, NotSupportedError } from "../../../core/errors.js";
import { requireHere } from "../../../core/require-here.js";
import type { CurveBox, CurvePrimitives } from "./curve-box.js";
import { loadLibsodium } from "./libsodium.js";

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

/** `null`: not used. */
let native: Sodium | null | undefined;
let loaded: CurveBox | undefined;
let loading: Promise<void> | undefined;

/**
 * Loads the primitives once per thread. `SHOAL_CURVE` is `libsodium` or `sodium`; by default `sodium-native`
 * is used if it loads.
 *
 * @returns `undefined` once loaded; else a promise, which rejects with NotSupportedError
 * `ERR_ENGINE_UNAVAILABLE`
 * @throws InvalidArgumentError `EINVAL` for another `SHOAL_CURVE`; NotSupportedError `ERR_ENGINE_UNAVAILABLE`
 * for `sodium`, and without WebAssembly
 */
export function loadCurveBox(): Promise<void> | undefined {
  if (loaded !== undefined) return undefined;
  const sodium = nativeSodium();
  // The package would fall back to JavaScript, and lose its memory when that grows.
  if (!("WebAssembly" in globalThis))
    throw new NotSupportedError(
      "CURVE and a cluster's sealed messages need WebAssembly, which this process runs without (node --jitless)",
      "ERR_ENGINE_UNAVAILABLE",
    );
  if (loading === undefined) {
    loading = load(sodium);
    loading.catch(() => undefined); // The waiting handshakes report the error.
  }
  return loading;
}

async function load(sodium: Sodium | null): Promise<void> {
  let libsodium: CurveBox;
  try {
    libsodium = await loadLibsodium();
  } catch (cause) {
    throw doesNotLoad("libsodium", cause);
  }
  loaded = sodium === null ? libsodium : boxWith(sodium, libsodium);
}

export function isCurveBoxLoaded(): boolean {
  return loaded !== undefined;
}

export function curveBox(): CurveBox {
  if (loaded === undefined) throw new Error("CURVE's primitives are not loaded");
  return loaded;
}

export const CURVE_PRIMITIVES: CurvePrimitives = { load: loadCurveBox, box: curveBox };

export function curveIsNative(): boolean {
  try {
    return nativeSodium() !== null;
  } catch {
    return false; // The first socket with CURVE reports the reason.
  }
}

function nativeSodium(): Sodium | null {
  if (native === undefined) native = chooseNative(process.env.SHOAL_CURVE);
  return native;
}

/**
 * @param choice `SHOAL_CURVE`
 * @internal
 */
export function chooseNative(choice: string | undefined, load = loadSodium): Sodium | null {
  switch (choice) {
    case "libsodium":
      return null;
    case "sodium":
      try {
        return load();
      } catch (cause) {
        throw doesNotLoad("sodium-native", cause);
      }
    case undefined:
    case "":
      try {
        return load();
      } catch {
        return null; // Optional.
      }
    default:
      throw new InvalidArgumentError(`SHOAL_CURVE must be libsodium or sodium; got ${quoted(choice)}`);
  }
}

function doesNotLoad(name: string, cause: unknown): NotSupportedError {
  return new NotSupportedError(
    `CURVE needs the npm package ${name} here, which does not load on this machine: npm install ${name}`,
    "ERR_ENGINE_UNAVAILABLE",
    { cause },
  );
}
