/**
 * One address over time.
 *
 *   up <--answer-- | --no answer--> away, since then
 */
import type { Address } from "./looks.js";
import { reasonOf } from "./looks.js";
import { type Look, rated } from "./rates.js";
import { readingOf } from "./readings.js";
import type { AddressView } from "./view.js";

export class Watch {
  readonly #name: string;
  readonly #address: Address;
  #last: Look | undefined;
  #since: number | undefined;

  constructor(name: string, address: Address) {
    this.#name = name;
    this.#address = address;
  }

  /** Asks once. Never rejects. @param timeout ms */
  async look(timeout: number, signal: AbortSignal): Promise<AddressView> {
    const begin = performance.now();
    try {
      const reading = readingOf(await this.#address.look(timeout, signal));
      const now = { at: performance.now(), reading };
      const before = this.#last;
      this.#last = now;
      this.#since = undefined;
      return { address: this.#name, up: true, latency: now.at - begin, reading: rated(before, now) };
    } catch (error) {
      this.#last = undefined; // Rates begin anew when it is back.
      this.#since ??= Date.now();
      return { address: this.#name, up: false, since: this.#since, reason: reasonOf(error) };
    }
  }

  close(): Promise<void> {
    return this.#address.close();
  }
}
