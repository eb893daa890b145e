/**
 * The end of a socket: no new peers, what was accepted leaves within the linger,
 * then nothing is left.
 *
 *   start -> everything sent, or the linger over -> done, once
 */
import type { EngineCloseResult } from "../engine.js";
import type { Links } from "./links.js";
import type { Pipe } from "./pipe.js";

export class Closing {
  readonly #links: Links;
  readonly #linger: number;
  readonly #onDone: (result: EngineCloseResult) => void;
  #unsent: Pipe[] = [];
  #timer: NodeJS.Timeout | undefined = undefined;
  #started = false;
  #done = false;

  /** @param linger ms; -1: no limit */
  constructor(links: Links, linger: number, onDone: (result: EngineCloseResult) => void) {
    this.#links = links;
    this.#linger = linger;
    this.#onDone = onDone;
  }

  start(): void {
    this.#unsent = this.#links.beginClose(this.#linger !== 0);
    this.#started = true;
    // Before anything that may end it at once: a timer set after the end would hold the process.
    if (this.#linger > 0) this.#timer = setTimeout(() => this.#finish(), this.#linger);
    // Without a linger, too: what the kernel takes at once is not thrown away.
    this.#links.finishAll(this.#linger < 0 ? Number.POSITIVE_INFINITY : this.#linger);
    this.proceed();
  }

  /** Something has left, or a link is gone. */
  proceed(): void {
    if (!this.#started || this.#done) return;
    if (this.#linger === 0 || this.#unsent.every(({ out, ended }) => ended || out.messages === 0))
      this.#finish();
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    const discarded = this.#links.endAll();
    // Not within the call: whoever closes a socket has its promise first.
    setImmediate(() => this.#onDone({ drained: discarded === 0, discarded }));
  }
}
