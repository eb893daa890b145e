/**
 * Which services messaging has to do with: all members, but for those that a hook of `service:validate`, `service:discovered` or
 * `service:found` vetoed.
 *
 *   discovered, found ── hooks ──> a verdict until it is lost
 *   first message, and the first after its details changed ── service:validate ──> a verdict until they change again
 *
 * While a hook has not settled, what comes of the service and goes to it waits, in its order.
 * A newcomer is known before its details are. Where there are such hooks, its datagrams and what goes to it wait for these, and for the verdict.
 */
import type { Service } from "../node/service.js";
import { type Hooks, VetoError } from "./hooks.js";

const DECIDING = ["service:validate", "service:discovered", "service:found"] as const;

/** `undefined`: it is let in. */
type Verdict = VetoError | undefined | Promise<VetoError | undefined>;

interface Entry {
  /** Of `service:discovered` or `service:found`. */
  arrival: Verdict;
  /** Of `service:validate`, and of which details; `undefined`: not asked yet. */
  validation: { readonly verdict: Verdict } | undefined;
}

export class ServiceAdmission {
  readonly #hooks: Hooks;
  readonly #onVeto: (service: Service, error: VetoError) => void;
  readonly #entries = new Map<string, Entry>();

  constructor(hooks: Hooks, onVeto: (service: Service, error: VetoError) => void) {
    this.#hooks = hooks;
    this.#onVeto = onVeto;
  }

  /** Whether hooks decide, which are to see the details of a service. */
  get decides(): boolean {
    return DECIDING.some((stage) => !this.#hooks.isEmpty(stage));
  }

  /** Hooks were added or removed: all services are validated again. */
  hooksChanged(): void {
    for (const entry of this.#entries.values()) entry.validation = undefined;
  }

  onMember(what: "discovered" | "found" | "changed" | "lost", service: Service): void {
    switch (what) {
      case "discovered":
      case "found":
        if (!this.#hooks.isEmpty(`service:${what}`))
          this.#entryOf(service.id).arrival = this.#ask(
            `service:${what}`,
            service,
            this.#entryOf(service.id),
          );
        break;
      case "changed": {
        const entry = this.#entries.get(service.id);
        if (entry !== undefined) entry.validation = undefined;
        break;
      }
      case "lost":
        this.#entries.delete(service.id);
        // A veto of it changes nothing, and is reported.
        if (!this.#hooks.isEmpty("service:lost")) void this.#ask("service:lost", service, undefined);
        break;
    }
  }

  verdictOf(service: Service): Verdict {
    const validates = !this.#hooks.isEmpty("service:validate");
    if (!validates && this.#entries.size === 0) return undefined;
    const entry = validates ? this.#entryOf(service.id) : this.#entries.get(service.id);
    if (entry === undefined) return undefined;
    const { arrival } = entry;
    if (arrival instanceof VetoError) return arrival;
    if (validates && entry.validation === undefined) {
      const validation: { verdict: Verdict } = { verdict: undefined };
      entry.validation = validation;
      validation.verdict = this.#ask("service:validate", service, undefined, (verdict) => {
        validation.verdict = verdict;
      });
    }
    const verdict = validates ? entry.validation?.verdict : undefined;
    if (arrival === undefined) return verdict;
    return arrival.then((veto) => veto ?? verdict);
  }

  #entryOf(id: string): Entry {
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = { arrival: undefined, validation: undefined };
      this.#entries.set(id, entry);
    }
    return entry;
  }

  /** @param entry gets the verdict of a promise when it has settled */
  #ask(
    stage: "service:validate" | "service:discovered" | "service:found" | "service:lost",
    service: Service,
    entry: Entry | undefined,
    settled?: (verdict: VetoError | undefined) => void,
  ): Verdict {
    const vetoed = (error: VetoError): VetoError => {
      this.#onVeto(service, error);
      return error;
    };
    let asked: undefined | Promise<undefined>;
    try {
      asked = this.#hooks.serve(stage, service);
    } catch (error) {
      return vetoed(error as VetoError);
    }
    if (asked === undefined) return undefined;
    const verdict: Promise<VetoError | undefined> = asked.catch(vetoed).then((veto) => {
      if (entry !== undefined && entry.arrival === verdict) entry.arrival = veto;
      settled?.(veto);
      return veto;
    });
    return verdict;
  }
}
