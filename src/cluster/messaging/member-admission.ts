/**
 * Which members messaging uses: all members except those vetoed by a hook of `member:validate`, `member:discovered`
 * or `member:found`.
 *
 *   discovered, found ── hooks ──> a verdict until it is found again or forgotten
 *   first message, and the first after its details changed ── member:validate ──> a verdict until they change again
 */
import type { Member } from "../node/member.js";
import type { Hooks, MemberStage, VetoError } from "./hooks.js";

const DECIDING = ["member:validate", "member:discovered", "member:found"] as const;

/** `found`: it is back. */
export type MemberChange = "discovered" | "found" | "changed" | "lost";

/** `undefined`: it is admitted. */
type Verdict = VetoError | undefined;

export class MemberAdmission {
  readonly #hooks: Hooks;
  readonly #onVeto: (member: Member, error: VetoError) => void;
  /** Verdicts of `member:discovered` or `member:found`, by id. */
  readonly #arrivals = new Map<string, Verdict>();
  /** Of `member:validate`, for the current details. */
  readonly #validations = new Map<string, Verdict>();

  constructor(hooks: Hooks, onVeto: (member: Member, error: VetoError) => void) {
    this.#hooks = hooks;
    this.#onVeto = onVeto;
  }

  /** Whether hooks decide, which need the details of a member. */
  get decides(): boolean {
    return DECIDING.some((stage) => !this.#hooks.isEmpty(stage));
  }

  /** All members are validated again. */
  hooksChanged(): void {
    this.#validations.clear();
  }

  onMember(what: MemberChange, member: Member): void {
    const { id } = member;
    if (what !== "discovered") this.#validations.delete(id);
    if (what === "found") this.#arrivals.delete(id);
    // A veto of a lost one is only reported.
    const into = what === "lost" ? undefined : this.#arrivals;
    if (what !== "changed" && !this.#hooks.isEmpty(`member:${what}`))
      this.#ask(`member:${what}`, member, into);
  }

  onForgotten(id: string): void {
    this.#arrivals.delete(id);
    this.#validations.delete(id);
  }

  verdictOf(member: Member): Verdict {
    const arrival = this.#arrivals.get(member.id);
    if (arrival !== undefined || this.#hooks.isEmpty("member:validate")) return arrival;
    return this.#validations.has(member.id)
      ? this.#validations.get(member.id)
      : this.#ask("member:validate", member, this.#validations);
  }

  /** @param into gets the verdict */
  #ask(stage: MemberStage, member: Member, into: Map<string, Verdict> | undefined): Verdict {
    // The hook may send to the member.
    into?.set(member.id, undefined);
    try {
      this.#hooks.serve(stage, member);
      return undefined;
    } catch (error) {
      const veto = error as VetoError;
      into?.set(member.id, veto);
      this.#onVeto(member, veto);
      return veto;
    }
  }
}
