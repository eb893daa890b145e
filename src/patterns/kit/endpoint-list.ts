/**
 * Where the servers of a pattern's client or worker are: endpoints that are fixed, or those of a source as they come and go
 * (sockets/endpoint-source.ts). Each pattern takes either by this one class.
 *
 *   fixed    `current` has them from the start, and they never change
 *   source   `current` is empty until its first list comes
 */
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

/** What happens to the endpoints of a source; never without one. */
export type EndpointSourceEvent =
  /** The source has another list; `endpoints`: all of them now. */
  | { readonly type: "source:changed"; readonly endpoints: readonly string[] }
  /** The source threw, which is the error's `cause`; it is read again in `interval` ms, and its last list stands. */
  | { readonly type: "source:failed"; readonly error: ShoalError; readonly interval: number }
  /** An endpoint that the source has cannot be used. */
  | { readonly type: "endpoint:refused"; readonly endpoint: string; readonly error: ShoalError };

export const ENDPOINT_SOURCE_EVENTS: EventNames<EndpointSourceEvent> = {
  "source:changed": true,
  "source:failed": true,
  "endpoint:refused": true,
};

/** What a list does. */
export interface EndpointListEffects {
  /** The source has other endpoints. It does not throw. */
  changed(endpoints: readonly string[]): void;
  event(event: EndpointSourceEvent): void;
}

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
  #event: (event: EndpointSourceEvent) => void = () => undefined;

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

  /** Reads the source, where there is one; nothing is reported within the call. */
  start(effects: EndpointListEffects): void {
    if (this.#source === undefined) return;
    this.#event = (event) => effects.event(event);
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

  /** Connects to an endpoint. What fails is thrown where endpoints are fixed, and else an event. @returns whether it was done */
  connect(endpoint: string, connect: (endpoint: string) => void): boolean {
    try {
      connect(endpoint);
      return true;
    } catch (error) {
      if (!this.changes) throw error;
      this.#event({ type: "endpoint:refused", endpoint, error: error as ShoalError });
      return false;
    }
  }

  /** Settles when the next list is there and in use; rejects with `EAGAIN` when it is read no more. */
  changed(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waits.push({ resolve, reject });
    });
  }

  /** The source is read no more; what there is stays in use. */
  stop(): void {
    this.#reader?.stop();
    const closed = new ClosedError("EAGAIN", `${this.#what} closed before it was ready`);
    for (const { reject } of this.#waits.splice(0)) reject(closed);
  }
}
