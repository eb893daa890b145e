/**
 * What `close` of a socket waits for: queued messages of connected and dialled peers, at most the linger.
 *
 *   start: no listener, no handshake without messages ──> drain ──all sent, or linger over──> peers and links end
 */
import type { EngineCloseResult } from "../engine.js";
import type { Endpoints } from "./endpoints.js";
import { closeTimeoutOf } from "./options.js";
import type { Pipe } from "./pipe.js";

/** One close of a socket. */
export class Closing {
  readonly #endpoints: Endpoints;
  readonly #linger: number;
  readonly #onDone: (result: EngineCloseResult) => void;
  #unsent: Pipe[] = [];
  #timer: NodeJS.Timeout | undefined = undefined;
  #started = false;
  #done = false;

  constructor(endpoints: Endpoints, linger: number, onDone: (result: EngineCloseResult) => void) {
    this.#endpoints = endpoints;
    this.#linger = linger;
    this.#onDone = onDone;
  }

  start(): void {
    const endpoints = this.#endpoints;
    const { state, peers, connections } = endpoints;
    const lingers = this.#linger !== 0;
    state.closing = true;
    endpoints.stopListening();
    for (const pipe of peers.pipes) if (lingers && pipe.out.messages > 0) this.#unsent.push(pipe);
    endpoints.stopDialling(lingers);
    this.#started = true;
    // A timer set after these steps could outlive the closing.
    if (this.#linger > 0) this.#timer = setTimeout(() => this.#finish(), this.#linger);
    // Also without a linger: the kernel gets what it takes at once.
    const timeout = closeTimeoutOf(this.#linger);
    connections.drain(timeout);
    peers.drain(timeout);
    // Handshakes of endpoints with queued messages continue.
    connections.endHandshakes((dialling) => endpoints.has(dialling));
    this.proceed();
  }

  proceed(): void {
    if (!this.#started || this.#done) return;
    if (this.#linger === 0 || this.#unsent.every(({ out, ended }) => ended || out.messages === 0))
      this.#finish();
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    const { peers, connections } = this.#endpoints;
    this.#endpoints.stopDialling(false);
    const discarded = peers.endAll();
    connections.endAll();
    // The caller of `close` gets its promise first.
    setImmediate(() => this.#onDone({ drained: discarded === 0, discarded }));
  }
}
