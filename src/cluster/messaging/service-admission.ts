/**
 * Which services messaging uses: all members except those vetoed by a hook of `service:validate`, `service:discovered`
 * or `service:found`.
 *
 *   discovered, found ── hooks ──> a verdict until it is found again or forgotten
 *   first message, and the first after its details changed ── service:validate ──> a verdict until they change again
 */
import type { Member } from "../node/member.js";
import type { Hooks, ServiceStage, VetoError } from "./hooks.js";

const DECIDING = ["service:validate", "service:discovered", "service:found"] as const;

/** `found`: it is back. */
export type MemberStage = "discovered" | "found" | "changed" | "lost";

/** `undefined`: it is admitted. */
type Verdict = VetoError | undefined;

export class ServiceAdmission {
  readonly #hooks: Hooks;
  readonly #onVeto: (service: Member, error: VetoError) => void;
  /** Verdicts of `service:discovered` or `service:found`, by id. */
  readonly #arrivals = new Map<string, Verdict>();
  /** Of `service:validate`, for the current details. */
  readonly #validations = new Map<string, Verdict>();

  constructor(hooks: Hooks, onVeto: (service: Member, error: VetoError) => void) {
    this.#hooks = hooks;
    this.#onVeto = onVeto;
  }

  /** Whether hooks decide, which need the details of a service. */
  get decides(): boolean {
    return DECIDING.some((stage) => !this.#hooks.isEmpty(stage));
  }

  /** All services are validated again. */
  hooksChanged(): void {
    this.#validations.clear();
  }

  onMember(what: MemberStage, service: Member): void {
    const { id } = service;
    if (what !== "discovered") this.#validations.delete(id);
    if (what === "found") this.#arrivals.delete(id);
    // A veto of a lost one is only reported.
    const into = what === "lost" ? undefined : this.#arrivals;
    if (what !== "changed" && !this.#hooks.isEmpty(`service:${what}`))
      this.#ask(`service:${what}`, service, into);
  }

  onForgotten(id: string): void {
    this.#arrivals.delete(id);
    this.#validations.delete(id);
  }

  verdictOf(service: Member): Verdict {
    const arrival = this.#arrivals.get(service.id);
    if (arrival !== undefined || this.#hooks.isEmpty("service:validate")) return arrival;
    return this.#validations.has(service.id)
      ? this.#validations.get(service.id)
      : this.#ask("service:validate", service, this.#validations);
  }

  /** @param into gets the verdict */
  #ask(stage: ServiceStage, service: Member, into: Map<string, Verdict> | undefined): Verdict {
    // The hook may send to the service.
    into?.set(service.id, undefined);
    try {
      this.#hooks.serve(stage, service);
      return undefined;
    } catch (error) {
      const veto = error as VetoError;
      into?.set(service.id, veto);
      this.#onVeto(service, veto);
      return veto;
    }
  }
}
