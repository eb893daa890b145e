/**
 * Flow control of a streamed reply: parts and bytes granted by the caller. The serving node stops when either is used
 * up; one part may exceed the bytes, so that a part larger than the window passes. Pure.
 *
 *   serving node   SendCredit: parts, bytes ──PART──>   caller   ReceiveWindow: unread parts, bytes
 *                            <──CREDIT when half of the window was read──
 */

export class SendCredit {
  #parts: number;
  #bytes: number;
  #onRoom: (() => void) | undefined = undefined;

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

  /** Bounded against overflow. */
  granted(parts: number, bytes: number): void {
    this.#parts = Math.min(this.#parts + parts, Number.MAX_SAFE_INTEGER);
    this.#bytes = Math.min(this.#bytes + bytes, Number.MAX_SAFE_INTEGER);
    if (this.hasRoom) this.wake();
  }

  /** @param call once there is room, or at `wake` */
  whenRoom(call: () => void): void {
    this.#onRoom = call;
  }

  wake(): void {
    const call = this.#onRoom;
    this.#onRoom = undefined;
    call?.();
  }
}

export class ReceiveWindow {
  readonly parts: number;
  readonly bytes: number;
  /** Granted and not used. */
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

  /** @returns what to grant; `undefined`: nothing yet */
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
