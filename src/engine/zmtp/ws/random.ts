/** Loads node:crypto on first use. */

const POOL_BYTES = 8_192;

let pool: DataView | undefined;
let at = POOL_BYTES;

function crypto(): typeof import("node:crypto") {
  return process.getBuiltinModule("node:crypto");
}

/** Unpredictable, as RFC 6455 demands (Client-to-Server Masking). */
export function nextMaskKey(): number {
  if (pool === undefined || at === POOL_BYTES) {
    pool ??= new DataView(new ArrayBuffer(POOL_BYTES));
    crypto().randomFillSync(pool);
    at = 0;
  }
  const key = pool.getInt32(at, true);
  at += 4;
  return key;
}

export function sha1(text: string): Buffer {
  return crypto().createHash("sha1").update(text, "latin1").digest();
}

export function newUpgradeKey(): string {
  return crypto().randomBytes(16).toString("base64");
}
