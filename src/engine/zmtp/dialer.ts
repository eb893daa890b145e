/**
 * A connected endpoint of any transport.
 *
 *   begin --> attempt --> connected
 *                ^  |         | lost
 *                |  failed    |
 *                +- back-off -+
 */
import type { ShoalError } from "../../core/errors.js";
import type { OptionValues } from "../../core/option-table.js";
import { ignore, MAX_TIMEOUT } from "../../core/waiter.js";
import type { Link, Pipe } from "./pipe.js";
import type { SocketState } from "./socket-state.js";

/** ms for an interval of 0, which doubling would not grow. */
const LEAST_INTERVAL = 10;

type ReconnectOptions = Readonly<Pick<OptionValues, "reconnectInterval" | "reconnectMaxInterval">>;

/**
 * The interval, doubled with each failure up to the maximum, and a random part against reconnects in step.
 *
 * @returns ms until the next attempt; `undefined`: none
 */
export function reconnectDelay(
  failures: number,
  { reconnectInterval, reconnectMaxInterval }: ReconnectOptions,
  random: () => number = Math.random,
): number | undefined {
  if (reconnectInterval < 0) return undefined;
  const interval = reconnectInterval || LEAST_INTERVAL;
  const most = Math.max(interval, reconnectMaxInterval);
  const base = Math.min(most, interval * 2 ** Math.min(failures, 30));
  return Math.min(MAX_TIMEOUT, Math.round(base + random() * base * 0.5));
}

export interface Dialled {
  readonly endpoint: string;
  readonly routingId: string | undefined;
  /** With `immediate` only while connected. */
  readonly pipe: Pipe | undefined;
  readonly options: ReconnectOptions;
  /** Before the first attempt. */
  begin(): void;
  /** Ends in `connected`, `retry`, or another attempt's result that is not called back. @returns cancels */
  attempt(dialer: Dialer): (() => void) | undefined;
}

export class Dialer {
  readonly endpoint: string;
  readonly routingId: string | undefined;
  pipe: Pipe | undefined;
  connection: Pick<Link, "close"> | undefined = undefined;
  /** Kept for its pipe's remaining work (peers.ts). */
  leaving = false;
  /** No attempt will follow. */
  onOver: () => void = ignore;
  readonly #dialled: Dialled;
  readonly #state: SocketState;
  #failures = 0;
  #cancel: (() => void) | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #stopped = false;
  #wasConnected = false;

  constructor(state: SocketState, dialled: Dialled) {
    this.endpoint = dialled.endpoint;
    this.routingId = dialled.routingId;
    this.pipe = dialled.pipe;
    this.#dialled = dialled;
    this.#state = state;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  start(): void {
    this.#dialled.begin();
    this.#dial();
  }

  /** The attempt has a result. @returns whether it counts */
  attempted(): boolean {
    this.#cancel = undefined;
    return !this.#stopped;
  }

  connected(): void {
    this.#end();
    this.#failures = 0;
    if (this.#wasConnected) this.#state.reconnects += 1;
    this.#wasConnected = true;
  }

  lost(error?: () => ShoalError): void {
    this.connection = undefined;
    if (this.pipe?.ended === true) this.pipe = undefined; // The pipe belonged to that connection.
    this.retry(error, true);
  }

  /** @param error for an event; called only before another attempt: stack traces are costly */
  retry(error?: () => ShoalError, isLoss = false): void {
    this.#end();
    const interval = this.#stopped ? undefined : reconnectDelay(this.#failures++, this.#dialled.options);
    const { endpoint: address } = this;
    if (interval === undefined) {
      if (this.#stopped) return;
      this.onOver();
      // A loss has its event.
      if (error !== undefined && !isLoss)
        this.#state.effects.event({ type: "disconnect", address, reason: "local", error: error() });
      return;
    }
    if (error !== undefined)
      this.#state.effects.event({ type: "connect:retry", address, interval, error: error() });
    if (this.#stopped) return; // By a listener.
    this.#timer = setTimeout(this.#dial, interval).unref();
  }

  stop(): void {
    this.#stopped = true;
    this.#end();
  }

  #dial = (): void => {
    this.#timer = undefined;
    if (!this.#stopped) this.#cancel = this.#dialled.attempt(this);
  };

  #end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
