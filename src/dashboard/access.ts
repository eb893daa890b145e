/**
 * Access rules. Pure.
 *
 *   every request    Host is an address, localhost or an allowed name: under DNS rebinding a foreign page sends the
 *                    attacker's name as Host
 *   state changes    Origin is the dashboard's, the body is JSON (which other origins cannot send without preflight), and
 *                    the token is right, compared in constant time
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { hostOf, isLocalNameOrAddress } from "../core/loopback.js";

/** Wrong tokens per minute from all clients; beyond it no token is checked. */
const MAX_WRONG_TOKENS = 30;
const MINUTE = 60_000;

/** No foreign content, no inline script, no framing. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Cache-Control": "no-store",
};

/** @param allowed lower-case names besides localhost and addresses */
export function isHostAllowed(header: string | undefined, allowed: readonly string[]): boolean {
  return isLocalNameOrAddress(header) || allowed.includes(hostOf(header) ?? "");
}

/** Whether a state change comes from the dashboard's page, or outside a browser. */
export function isOwnOrigin(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return true;
  if (host === undefined || !URL.canParse(origin)) return false;
  return new URL(origin).host === host.toLowerCase();
}

export type TokenResult = "right" | "wrong" | "too many";

export class TokenCheck {
  readonly #digest: Buffer;
  #wrong = 0;
  #since = Number.NEGATIVE_INFINITY;

  constructor(token: string) {
    this.#digest = digest(token);
  }

  /** @param authorization `Bearer TOKEN` @param now ms */
  check(authorization: string | undefined, now: number): TokenResult {
    if (now - this.#since >= MINUTE) {
      this.#since = now;
      this.#wrong = 0;
    }
    if (this.#wrong >= MAX_WRONG_TOKENS) return "too many";
    const given = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1] ?? "";
    // Digests of equal length do not reveal the token's.
    if (timingSafeEqual(digest(given), this.#digest)) return "right";
    this.#wrong += 1;
    return "wrong";
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
