/**
 * Server endpoints of a client or worker: a fixed list, or a source's current list, empty until the first one comes. A
 * worker leaves a server that is no longer listed with a delay.
 */

import type { ShoalError } from "../core/errors.js";
import { type EventsOf, event } from "../core/event-stream.js";
import { checkEndpoint } from "../core/schemes/schemes.js";
import { backOff } from "../core/timers.js";
import { ignore } from "../core/waiter.js";
import {
  type EndpointSource,
  isEndpointSource,
  MAX_RETRY_DELAY,
  RETRY_DELAY,
  type SourceEffects,
  SourceReader,
} from "../sockets/endpoint-source.js";
import { listen } from "../sockets/internal.js";
import type { Socket } from "../sockets/socket.js";
import { checkEndpoints } from "./options.js";

/** One endpoint, several in order of preference, or a source. */
export type PatternEndpoints = string | readonly string[] | EndpointSource;

export const ENDPOINT_SOURCE_EVENTS = {
  /** The source has a new list. */
  "source:changed": event<{ readonly endpoints: readonly string[] }>(),
  /** The source threw (`cause`). It is read again in `interval` ms; its last list stays in use. */
  "source:failed": event<{ readonly error: ShoalError; readonly interval: number }>(),
  /**
   * An endpoint is invalid, or no socket could be created (`EMFILE` at the context's `maxSockets`), which is retried.
   */
  "endpoint:refused": event<{ readonly endpoint: string; readonly error: ShoalError }>(),
};

/** Events of an endpoint source. */
export type EndpointSourceEvent = EventsOf<typeof ENDPOINT_SOURCE_EVENTS>;

/** Passes a socket's events of its sources on. */
export function relaySourceEvents(socket: Socket, emit: (event: EndpointSourceEvent) => void): void {
  listen(socket, (event) => {
    if (event.type === "source:changed" || event.type === "source:failed") emit(event);
    else if (event.type === "endpoint:refused")
      emit({ type: event.type, endpoint: event.address, error: event.error });
  });
}

interface SourceEvents {
  emit(event: EndpointSourceEvent): void;
}

export interface EndpointListChecks {
  /** Makes a socket to check its options. */
  readonly socket?: () => ProbeSocket;
  /** Throws for a refused endpoint. */
  readonly check?: (endpoint: string) => void;
}

export interface ProbeSocket {
  connect(source: EndpointSource): void;
  close(options: { readonly linger: number }): Promise<unknown>;
}

export function isPermanent({ code }: ShoalError): boolean {
  return ["EINVAL", "ENAMETOOLONG", "EPROTONOSUPPORT", "NOT_SUPPORTED"].includes(code);
}

const NOTHING: EndpointSource = { endpoints: async function* () {} };

/** @throws InvalidArgumentError `EINVAL` for options that a socket refuses */
export function checkSocket(make: () => ProbeSocket): void {
  const probe = make();
  try {
    probe.connect(NOTHING);
  } finally {
    void probe.close({ linger: 0 });
  }
}

export class EndpointList {
  #current: readonly string[];
  readonly #source: EndpointSource | undefined;
  #reader: SourceReader | undefined;
  readonly #checks: EndpointListChecks;
  #changed: (endpoints: readonly string[]) => void = ignore;
  /** `undefined` before {@link start}. */
  #events: SourceEvents | undefined;
  #stopped = false;
  /** Consecutive failures of `connect`. */
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;

  /**
   * @throws InvalidArgumentError `EINVAL` for an empty list, neither endpoints nor a source, or invalid socket options
   */
  constructor(what: string, given: PatternEndpoints, checks: EndpointListChecks = {}) {
    this.#checks = checks;
    this.#source = isEndpointSource(given) ? given : undefined;
    this.#current = this.#source === undefined ? checkEndpoints(what, given) : [];
    if (this.#source !== undefined && checks.socket !== undefined) checkSocket(checks.socket);
  }

  get current(): readonly string[] {
    return this.#current;
  }

  /**
   * `connect` no longer throws. Nothing is reported within the call.
   * @param changed the list changed, or a failed endpoint is to be retried
   * @param events of the driver
   */
  start(changed: (endpoints: readonly string[]) => void, events: SourceEvents): void {
    this.#changed = changed;
    this.#events = events;
    if (this.#source === undefined) return;
    const reader: SourceEffects = {
      sourceOnList: (endpoints) => {
        this.#current = endpoints;
        changed(endpoints);
        events.emit({ type: "source:changed", endpoints });
      },
      sourceOnRefused: (endpoint, error) => events.emit({ type: "endpoint:refused", endpoint, error }),
      sourceOnFailed: (error, interval) => events.emit({ type: "source:failed", error, interval }),
    };
    const check = (endpoint: string): void => {
      checkEndpoint(endpoint, "connect");
      this.#checks.check?.(endpoint);
    };
    this.#reader = new SourceReader(this.#source, check, reader);
    this.#reader.start();
  }

  /**
   * Makes and connects a socket. Errors throw before `start`, in a constructor, and are events later. The list is
   * reported again if no socket could be made.
   * @returns whether it succeeded
   */
  connect(endpoint: string, connect: () => void): boolean {
    try {
      connect();
      this.#failures = 0;
      return true;
    } catch (thrown) {
      if (this.#events === undefined) throw thrown;
      const error = thrown as ShoalError;
      if (!this.#stopped) this.#events.emit({ type: "endpoint:refused", endpoint, error });
      if (!isPermanent(error)) this.#tryAgain();
      return false;
    }
  }

  #tryAgain(): void {
    if (this.#stopped || this.#retry !== undefined) return;
    const delay = backOff(this.#failures++, RETRY_DELAY, MAX_RETRY_DELAY, Math.random);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#changed(this.#current);
    }, delay).unref();
  }

  /** The current list stays in use. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#reader?.stop();
  }
}

/** ms. */
const QUIET_TIME = 5_000;

/**
 * Delays a worker's disconnect from a server that its source dropped: a draining server still needs workers.
 *
 *   start ──quiet for QUIET_TIME, and not busy──> leave()          cancel: the server is in the list again
 */
export class Draining {
  readonly #isBusy: () => boolean;
  readonly #leave: () => void;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param isBusy whether requests are being handled
   * @param leave called at most once per `start`
   */
  constructor(isBusy: () => boolean, leave: () => void) {
    this.#isBusy = isBusy;
    this.#leave = leave;
  }

  /** A server that hangs up now is not reconnected. */
  get hasStarted(): boolean {
    return this.#timer !== undefined;
  }

  start(): void {
    this.#timer ??= setTimeout(() => {
      if (this.#isBusy()) this.#timer?.refresh();
      else this.#leave();
    }, QUIET_TIME).unref();
  }

  onRequest(): void {
    this.#timer?.refresh();
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
