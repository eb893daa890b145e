/** A role that a node takes when it is vacant, and holds (../roles.ts has the rules). Changes are looked at when they have spread. */
import { describe } from "../../core/arguments.js";
import { AbortedError, ClosedError, InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import { MAX_TAG } from "../bounds.js";
import { isOutranked, type RoleMember, roleTag, vacancyFor } from "../roles.js";
import type { TagChange } from "../tags.js";

/** Roles of one name. */
const MAX_ROLES = 8;
const SPARE = "spare";

export interface RoleSeatEffects {
  readonly id: string;
  /** The live members, this one included. @throws where the node does not run */
  members(): readonly RoleMember[];
  setTags(change: TagChange): void;
  /** Calls at every change of members. @returns ends that */
  watch(onChange: () => void): () => void;
  isClosed(): boolean;
  /** ms after which a change is taken to be known to all. */
  readonly spread: number;
}

/** A role that this node holds. */
export interface RoleSeat<Role extends string = string> {
  readonly role: Role;
  /**
   * Aborted when it holds the role no more: an older member has it, too, which had been lost or not been seen yet (two that start at once), `release` was called,
   * or the node closed.
   * Whatever the role is for has to end then.
   */
  readonly signal: AbortSignal;
  /** Gives it up. */
  release(): void;
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkRoles(name: unknown, roles: unknown): asserts roles is readonly string[] {
  const isWord = (text: unknown): text is string => typeof text === "string" && /^[^\s/=\p{C}]+$/u.test(text);
  if (!isWord(name))
    throw new InvalidArgumentError(`a name of roles has no spaces, "/" and "="; got ${describe(name)}`);
  if (!Array.isArray(roles) || roles.length === 0 || roles.length > MAX_ROLES)
    throw new InvalidArgumentError(`takeRole takes 1 to ${MAX_ROLES} roles; got ${describe(roles)}`);
  for (const role of roles as unknown[])
    if (!isWord(role) || role === SPARE || Buffer.byteLength(roleTag(name, role)) > MAX_TAG)
      throw new InvalidArgumentError(
        `a role has no spaces, "/" and "=", is not "${SPARE}", and has ${MAX_TAG} bytes at most with its name; got ${describe(role)}`,
      );
}

/** Waits for a role, and holds it. */
export class RoleTaker<Role extends string> {
  readonly #name: string;
  readonly #roles: readonly Role[];
  readonly #effects: RoleSeatEffects;
  readonly #held = new AbortController();
  readonly #taken: Promise<RoleSeat<Role>>;
  #resolve!: (seat: RoleSeat<Role>) => void;
  #reject!: (error: unknown) => void;
  #unwatch: () => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  /** The role that it has the tag of. */
  #role: Role | undefined;
  /** `take` has settled. */
  #isSettled = false;
  #isOver = false;

  /** @throws InvalidStateError `EFSM` before the node was started, and where it waits for or holds such a role already */
  constructor(
    name: string,
    roles: readonly Role[],
    effects: RoleSeatEffects,
    signal: AbortSignal | undefined,
  ) {
    this.#name = name;
    this.#roles = roles;
    this.#effects = effects;
    const self = effects.members().find(({ id }) => id === effects.id);
    if (self?.tags.some((tag) => tag.startsWith(`${name}/`)) === true)
      throw new InvalidStateError("EFSM", `this node waits for a role of ${name} already, or has one`);
    effects.setTags({ append: [roleTag(name, SPARE)] });
    this.#taken = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#unwatch = effects.watch(() => this.#changed());
    signal?.addEventListener("abort", this.#signalOnAbort, { once: true });
    if (signal?.aborted === true) this.#signalOnAbort();
    this.#changed();
  }

  take(): Promise<RoleSeat<Role>> {
    return this.#taken;
  }

  #signalOnAbort = (): void => {
    if (this.#isSettled) return;
    this.#end();
    this.#reject(new AbortedError("takeRole was aborted"));
  };

  /** Looks when nothing has changed for as long as a change needs to spread, or that long after the first of many. */
  #changed(): void {
    if (this.#isOver) return;
    if (this.#effects.isClosed()) {
      this.#end();
      if (!this.#isSettled)
        this.#reject(new ClosedError("EAGAIN", "the node closed while it waited for a role"));
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#look();
    }, this.#effects.spread);
  }

  #look(): void {
    if (this.#effects.isClosed()) {
      this.#changed();
      return;
    }
    const { id } = this.#effects;
    const members = this.#effects.members();
    if (this.#role === undefined) {
      const role = vacancyFor(id, members, this.#name, this.#roles);
      if (role === undefined) return;
      this.#role = role;
      // Others may have taken it at the same time.
      if (this.#retag(SPARE, role)) this.#changed();
      return;
    }
    const tag = roleTag(this.#name, this.#role);
    if (isOutranked(id, members, tag)) {
      if (this.#isSettled) this.#end();
      else {
        const role = this.#role;
        this.#role = undefined;
        if (this.#retag(role, SPARE)) this.#changed();
      }
    } else if (!this.#isSettled) {
      this.#isSettled = true;
      this.#resolve({ role: this.#role, signal: this.#held.signal, release: () => this.#end() });
    }
  }

  /** @returns whether the node's details have room for the other tag: it may be longer. Without, nobody waits for a role any more */
  #retag(before: string, after: string): boolean {
    try {
      this.#effects.setTags({ map: [[roleTag(this.#name, before), roleTag(this.#name, after)]] });
      return true;
    } catch (error) {
      this.#end();
      this.#reject(error);
      return false;
    }
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#unwatch();
    if (!this.#effects.isClosed())
      this.#effects.setTags({
        remove: [SPARE, ...this.#roles].map((role) => roleTag(this.#name, role)),
      });
    this.#held.abort();
  }
}
