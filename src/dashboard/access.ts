/**
 * Who may ask the dashboard for what. Pure.
 *
 *   every request    Host is an address, localhost or a name that was allowed: a page of a stranger's name, made to point
 *                    here (DNS rebinding), has that name as Host
 *   what changes     Origin is the dashboard's own, the body is JSON (which other origins cannot send unasked), and the
 *                    token is right, compared in constant time
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { hostOf, isLocalNameOrAddress } from "../core/loopback.js";

/** Wrong tokens in a minute, from everybody; past it no token is looked at. */
const MAX_WRONG_TOKENS = 30;
const MINUTE = 60_000;

/** Headers of every answer: nothing from elsewhere, no script in the page itself, no frame around it. */
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

/** @param allowed names, lower-case, besides localhost and addresses */
export function isHostAllowed(header: string | undefined, allowed: readonly string[]): boolean {
  return isLocalNameOrAddress(header) || allowed.includes(hostOf(header) ?? "");
}

/** Whether a request that changes something comes from the dashboard's own page, or from no page at all. */
export function isOwnOrigin(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return true;
  if (host === undefined || !URL.canParse(origin)) return false;
  return new URL(origin).host === host.toLowerCase();
}

export type TokenResult = "right" | "wrong" | "too many";

/** Compares tokens; wrong ones are counted, so that nobody can try many. */
export class TokenCheck {
  readonly #digest: Buffer;
  #wrong = 0;
  #since = Number.NEGATIVE_INFINITY;

  constructor(token: string) {
    this.#digest = digest(token);
  }

  /** @param authorization the header: `Bearer TOKEN` @param now ms */
  check(authorization: string | undefined, now: number): TokenResult {
    if (now - this.#since >= MINUTE) {
      this.#since = now;
      this.#wrong = 0;
    }
    if (this.#wrong >= MAX_WRONG_TOKENS) return "too many";
    const given = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1] ?? "";
    // Digests have one length: what is compared does not depend on that of the token.
    if (timingSafeEqual(digest(given), this.#digest)) return "right";
    this.#wrong += 1;
    return "wrong";
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
