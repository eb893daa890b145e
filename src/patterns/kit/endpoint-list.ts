/**
 * Server endpoints of a client or worker: a fixed list, or a source's current list (sockets/endpoint-source.ts).
 *
 *   fixed    `current` has them from the start, and they never change
 *   source   `current` is empty until its first list comes
 */
import { backOff } from "../../core/back-off.js";
import { ClosedError, type ShoalError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { knownSchemes, threadSchemes } from "../../core/schemes/schemes.js";
import {
  type EndpointSource,
  isEndpointSource,
  type SourceEffects,
  SourceReader,
} from "../../sockets/endpoint-source.js";
import { checkEndpoints } from "./options.js";

/** One endpoint, several in order of preference, or a source. */
export type PatternEndpoints = string | readonly string[] | EndpointSource;

/** Events of an endpoint source. */
export type EndpointSourceEvent =
  /** The source has a new list; `endpoints` holds all of it. */
  | { readonly type: "source:changed"; readonly endpoints: readonly string[] }
  /** The source threw (the error's `cause`). It is read again in `interval` ms, and its last list stays in use. */
  | { readonly type: "source:failed"; readonly error: ShoalError; readonly interval: number }
  /**
   * An endpoint of the source is invalid, or no socket could be created (such as `EMFILE` at the context's
   * `maxSockets`), which is retried.
   */
  | { readonly type: "endpoint:refused"; readonly endpoint: string; readonly error: ShoalError };

export const ENDPOINT_SOURCE_EVENTS: EventNames<EndpointSourceEvent> = {
  "source:changed": true,
  "source:failed": true,
  "endpoint:refused": true,
};

export interface EndpointListEffects {
  /** The list changed, or a failed endpoint is to be retried. Must not throw. */
  changed(endpoints: readonly string[]): void;
  event(event: EndpointSourceEvent): void;
}

/** First delay in ms before an endpoint without a socket is retried; doubled up to one second. */
const RETRY_DELAY = 100;
const MAX_RETRY_DELAY = 10_000;

export const THREAD_TRANSPORTS: readonly string[] = threadSchemes();

/** Checks before a source is read. */
export interface EndpointListChecks {
  /** Makes a throwaway socket, so that invalid options throw at once. */
  readonly socket?: () => ProbeSocket;
  /** Default: all transports. */
  readonly transports?: readonly string[];
  /** Throws for an endpoint that is refused. */
  readonly check?: (endpoint: string) => void;
}

/** A socket made only to check its options. */
export interface ProbeSocket {
  connect(source: EndpointSource): void;
  close(options: { readonly linger: number }): Promise<unknown>;
}

/** Whether another attempt would fail in the same way. */
export function isPermanent({ code }: ShoalError): boolean {
  return code === "EINVAL" || code === "EPROTONOSUPPORT" || code === "NOT_SUPPORTED";
}

const NOTHING: EndpointSource = { endpoints: async function* () {} };

/** @throws InvalidArgumentError `EINVAL` for options that a socket or its security refuses */
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
  readonly #what: string;
  readonly #checks: EndpointListChecks;
  #waits: { readonly resolve: () => void; readonly reject: (error: ShoalError) => void }[] = [];
  #effects: EndpointListEffects | undefined;
  #stopped = false;
  /** Consecutive failures of `follow`, and the retry timer. */
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;

  /**
   * @throws InvalidArgumentError `EINVAL` for an empty list, neither endpoints nor a source, or invalid socket
   * options
   */
  constructor(what: string, given: PatternEndpoints, checks: EndpointListChecks = {}) {
    this.#checks = checks;
    this.#what = what;
    this.#source = isEndpointSource(given) ? given : undefined;
    this.#current = this.#source === undefined ? checkEndpoints(what, given) : [];
    if (this.#source !== undefined && checks.socket !== undefined) checkSocket(checks.socket);
  }

  get current(): readonly string[] {
    return this.#current;
  }

  get changes(): boolean {
    return this.#source !== undefined;
  }

  /** Starts reading the source; `connect` no longer throws. Nothing is reported within the call. */
  start(effects: EndpointListEffects): void {
    this.#effects = effects;
    if (this.#source === undefined) return;
    const { transports = knownSchemes(), check } = this.#checks;
    const reader: SourceEffects = {
      sourceOnList: (endpoints) => {
        this.#current = endpoints;
        effects.changed(endpoints);
        effects.event({ type: "source:changed", endpoints });
        for (const { resolve } of this.#waits.splice(0)) resolve();
      },
      sourceOnRefused: (endpoint, error) => effects.event({ type: "endpoint:refused", endpoint, error }),
      sourceOnFailed: (error, interval) => effects.event({ type: "source:failed", error, interval }),
    };
    this.#reader = new SourceReader(this.#source, transports, reader, check);
    this.#reader.start();
  }

  /**
   * Makes and connects a socket. Errors throw before `start` (in a constructor), and are events later, when the
   * caller is a timer or listener.
   * @returns whether it succeeded
   */
  connect(endpoint: string, connect: (endpoint: string) => void): boolean {
    return this.#attempt(endpoint, connect) === undefined;
  }

  /** Like `connect`, for a new list. Reports the list as changed again later if no socket could be made. */
  follow(endpoint: string, connect: (endpoint: string) => void): boolean {
    const error = this.#attempt(endpoint, connect);
    if (error === undefined) this.#failures = 0;
    else if (!isPermanent(error)) this.#tryAgain();
    return error === undefined;
  }

  /** Settles when the next list is in use; rejects with `EAGAIN` at `stop`. */
  changed(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waits.push({ resolve, reject });
    });
  }

  #attempt(endpoint: string, connect: (endpoint: string) => void): ShoalError | undefined {
    try {
      connect(endpoint);
      return undefined;
    } catch (thrown) {
      if (this.#effects === undefined) throw thrown;
      const error = thrown as ShoalError;
      if (!this.#stopped) this.#effects.event({ type: "endpoint:refused", endpoint, error });
      return error;
    }
  }

  #tryAgain(): void {
    if (this.#stopped || this.#retry !== undefined) return;
    const delay = backOff(this.#failures++, RETRY_DELAY, MAX_RETRY_DELAY, Math.random);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#effects?.changed(this.#current);
    }, delay).unref();
  }

  /** Stops reading the source; the current list stays in use. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#reader?.stop();
    const closed = new ClosedError("EAGAIN", `${this.#what} closed before it was ready`);
    for (const { reject } of this.#waits.splice(0)) reject(closed);
  }
}
