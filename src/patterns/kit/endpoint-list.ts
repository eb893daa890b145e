/**
 * Where the servers of a pattern's client or worker are: endpoints that are fixed, or those of a source as they come and go
 * (sockets/endpoint-source.ts). Each pattern takes either by this one class.
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

/** An endpoint, several in the order of preference, or a source of endpoints that come and go. */
export type PatternEndpoints = string | readonly string[] | EndpointSource;

/** What happens to endpoints. */
export type EndpointSourceEvent =
  /** The source has another list; `endpoints`: all of them now. */
  | { readonly type: "source:changed"; readonly endpoints: readonly string[] }
  /** The source threw, which is the error's `cause`; it is read again in `interval` ms, and its last list stands. */
  | { readonly type: "source:failed"; readonly error: ShoalError; readonly interval: number }
  /**
   * An endpoint of the source cannot be used; or no socket could be made for an endpoint, as with `EMFILE` at the context's `maxSockets`,
   * which is tried again.
   */
  | { readonly type: "endpoint:refused"; readonly endpoint: string; readonly error: ShoalError };

export const ENDPOINT_SOURCE_EVENTS: EventNames<EndpointSourceEvent> = {
  "source:changed": true,
  "source:failed": true,
  "endpoint:refused": true,
};

/** What a list does. */
export interface EndpointListEffects {
  /** The source has other endpoints; or the same, of which one could not be used before. It does not throw. */
  changed(endpoints: readonly string[]): void;
  event(event: EndpointSourceEvent): void;
}

/** ms before an endpoint without a socket is tried again, doubled up to the second with each failure in a row. */
const RETRY_DELAY = 100;
const MAX_RETRY_DELAY = 10_000;

/** Transports that a socket in another thread has. */
export const THREAD_TRANSPORTS: readonly string[] = threadSchemes();

/** What is checked before a source is read. */
export interface EndpointListChecks {
  /** Makes a socket like those that the endpoints get later: wrong options of it throw at once. */
  readonly socket?: () => ProbeSocket;
  /** Default: all there are. */
  readonly transports?: readonly string[];
  /** Throws for an endpoint that is refused. */
  readonly check?: (endpoint: string) => void;
}

/** A socket that is made for the check of its options alone. */
export interface ProbeSocket {
  connect(source: EndpointSource): void;
  close(options: { readonly linger: number }): Promise<unknown>;
}

/** Whether the next attempt fails in the same way. */
export function isPermanent({ code }: ShoalError): boolean {
  return code === "EINVAL" || code === "EPROTONOSUPPORT" || code === "NOT_SUPPORTED";
}

/** Connects to nothing. */
const NOTHING: EndpointSource = { endpoints: async function* () {} };

/** @throws InvalidArgumentError `EINVAL` for options that a socket, or its security, does not take */
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
  /** Waits for the next list. */
  #waits: { readonly resolve: () => void; readonly reject: (error: ShoalError) => void }[] = [];
  #effects: EndpointListEffects | undefined;
  #stopped = false;
  /** Failures of `follow` in a row, and the timer of the next attempt. */
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;

  /** @throws InvalidArgumentError `EINVAL` for an empty list, what is neither endpoints nor a source, and wrong options of its sockets */
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

  /** Whether they may change. */
  get changes(): boolean {
    return this.#source !== undefined;
  }

  /** From now on `connect` does not throw. Reads the source, where there is one; nothing is reported within the call. */
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
   * Makes a socket and connects it to an endpoint. An error is thrown before `start`, which is in a constructor, and else an event: the call
   * comes out of a timer or a listener then.
   *
   * @returns whether it was done
   */
  connect(endpoint: string, connect: (endpoint: string) => void): boolean {
    return this.#attempt(endpoint, connect) === undefined;
  }

  /** As `connect`, for an endpoint of a new list. The list is reported as changed again, after a while, where no socket could be made. */
  follow(endpoint: string, connect: (endpoint: string) => void): boolean {
    const error = this.#attempt(endpoint, connect);
    if (error === undefined) this.#failures = 0;
    else if (!isPermanent(error)) this.#tryAgain();
    return error === undefined;
  }

  /** Settles when the next list is there and in use; rejects with `EAGAIN` when it is read no more. */
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

  /** The source is read no more; what there is stays in use. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#reader?.stop();
    const closed = new ClosedError("EAGAIN", `${this.#what} closed before it was ready`);
    for (const { reject } of this.#waits.splice(0)) reject(closed);
  }
}
