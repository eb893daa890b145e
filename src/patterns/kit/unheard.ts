/** Process warnings, with the stack, for failures of a program's functions whose event has no listener or reader. */
import type { TypedEvent } from "../../core/event-stream.js";
import { exposedText, stackOf } from "./errors.js";

/** Events whose `error` a program's function threw. */
const FAILURES: ReadonlySet<string> = new Set([
  "handler:failed",
  "subscription:failed",
  "predicate:failed",
  "admission:failed",
]);
/** Warnings per driver and period: clients can cause failures as fast as they send. */
const MAX_WARNINGS = 10;
const PERIOD = 1_000;

export class UnheardFailures {
  readonly #name: string;
  #since = Number.NEGATIVE_INFINITY;
  #warned = 0;
  #unwarned = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** @param event without a listener */
  warn(event: TypedEvent): void {
    if (!FAILURES.has(event.type)) return;
    const { error } = event as TypedEvent & { readonly error?: unknown };
    // An exposed error is an answer to the client.
    if (exposedText(error, false) !== undefined) return;
    const now = performance.now();
    if (now - this.#since >= PERIOD) {
      this.#since = now;
      this.#warned = 0;
    }
    if (this.#warned >= MAX_WARNINGS) {
      this.#unwarned += 1;
      return;
    }
    this.#warned += 1;
    const more = this.#unwarned === 0 ? "" : ` (${this.#unwarned} more were not shown)`;
    this.#unwarned = 0;
    const head = `${this.#name}: no listener for "${event.type}"${more}`;
    process.emitWarning(`${head}\n${stackOf(error)}`, {
      type: "ShoalWarning",
      code: "SHOAL_HANDLER_FAILED",
    });
  }
}
