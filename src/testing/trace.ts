/** A run's last trace lines, and a digest of all; equal for equal runs. */
import { crc32 } from "node:zlib";

interface Line {
  readonly time: number;
  readonly what: string | (() => string);
}

export class Trace {
  readonly #most: number;
  #lines: Line[] = [];

  /** @param most lines to keep; 0: none */
  constructor(most: number) {
    this.#most = most;
  }

  add(time: number, what: string | (() => string)): void {
    if (this.#most === 0) return;
    if (this.#lines.length >= this.#most) this.#lines = this.#lines.slice(this.#most >> 2);
    this.#lines.push({ time, what });
  }

  get text(): string {
    return this.#lines.map(lineOf).join("\n");
  }
}

function lineOf({ time, what }: Line): string {
  return `${time.toFixed(1).padStart(9)}  ${typeof what === "string" ? what : what()}`;
}

/** FNV-1a over numbers and texts, in two 32-bit halves: fast, and enough to distinguish runs. */
export class Digest {
  #a = 0x811c9dc5;
  #b = 0x9747b28c;

  number(value: number): void {
    const whole = Math.floor(value);
    this.#mix(whole | 0);
    this.#mix(Math.round((value - whole) * 1_000_000));
  }

  text(value: string): void {
    for (let i = 0; i < value.length; i++) this.#mix(value.charCodeAt(i));
    this.#mix(value.length);
  }

  bytes(value: Uint8Array): void {
    this.#mix(crc32(value));
    this.#mix(value.length);
  }

  #mix(value: number): void {
    this.#a = Math.imul(this.#a ^ value, 0x01000193);
    this.#b = Math.imul(this.#b ^ value, 0x85ebca6b) ^ (this.#b >>> 13);
  }

  toString(): string {
    return [this.#a, this.#b].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }
}
