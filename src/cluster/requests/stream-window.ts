/**
 * How much of a streamed reply may be on its way: parts and bytes that the caller has granted. The serving node stops where either is
 * used up; one part may go beyond the bytes, so that a part that is larger than the window passes. Pure.
 *
 *   serving node   SendCredit: parts, bytes ──PART──>   caller   ReceiveWindow: unread parts, bytes
 *                            <──CREDIT when half of the window was read──
 */

/** What a serving node may send. */
export class SendCredit {
  #parts: number;
  #bytes: number;

  constructor(parts: number, bytes: number) {
    this.#parts = parts;
    this.#bytes = bytes;
  }

  get hasRoom(): boolean {
    return this.#parts > 0 && this.#bytes > 0;
  }

  sent(bytes: number): void {
    this.#parts -= 1;
    this.#bytes -= bytes;
  }

  /** What a caller grants without end does not grow without end. */
  granted(parts: number, bytes: number): void {
    this.#parts = Math.min(this.#parts + parts, Number.MAX_SAFE_INTEGER);
    this.#bytes = Math.min(this.#bytes + bytes, Number.MAX_SAFE_INTEGER);
  }
}

/** What a caller has granted, and what of it came and was read. */
export class ReceiveWindow {
  readonly parts: number;
  readonly bytes: number;
  /** What may still come. */
  #openParts: number;
  #openBytes: number;
  #readParts = 0;
  #readBytes = 0;

  constructor(parts: number, bytes: number) {
    this.parts = parts;
    this.bytes = bytes;
    this.#openParts = parts;
    this.#openBytes = bytes;
  }

  /** @returns whether it was granted */
  onPart(bytes: number): boolean {
    if (this.#openParts <= 0 || this.#openBytes <= 0) return false;
    this.#openParts -= 1;
    this.#openBytes -= bytes;
    return true;
  }

  /** The program has read a part. @returns what is to be granted; `undefined`: nothing yet */
  onRead(bytes: number): { readonly parts: number; readonly bytes: number } | undefined {
    this.#readParts += 1;
    this.#readBytes += bytes;
    if (2 * this.#readParts < this.parts && 2 * this.#readBytes < this.bytes) return undefined;
    const grant = { parts: this.#readParts, bytes: this.#readBytes };
    this.#openParts += grant.parts;
    this.#openBytes += grant.bytes;
    this.#readParts = 0;
    this.#readBytes = 0;
    return grant;
  }
}
