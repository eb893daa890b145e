/**
 * `expect` for what is asked a hundred thousand times, such as at each step of generated schedules: vitest's own takes about ten
 * microseconds even of what holds, for its counts and its chain of words. What holds at a glance returns here; all else, every failure
 * among it, is vitest's, with its words and its differences.
 *
 * It counts no assertions: not for a test with `expect.assertions` or `expect.hasAssertions`.
 */
import { type ExpectStatic, expect as real } from "vitest";

/** Reached for each matcher that is not below: it is asked of vitest's own. */
const others = new Proxy(
  {},
  {
    get(_, name, quick: Quick) {
      const assertion = real(quick.value, quick.message) as unknown as Record<PropertyKey, unknown>;
      const member = assertion[name];
      if (typeof member !== "function") return member;
      return (...args: readonly unknown[]) => Reflect.apply(member, assertion, args);
    },
  },
);

class Quick {
  readonly value: unknown;
  readonly message: string | undefined;

  constructor(value: unknown, message: string | undefined) {
    this.value = value;
    this.message = message;
  }

  toBe(expected: unknown): void {
    if (!Object.is(this.value, expected)) this.#ask("toBe", expected);
  }

  toBeUndefined(): void {
    if (this.value !== undefined) this.#ask("toBeUndefined");
  }

  toBeLessThan(bound: number): void {
    if (!(areNumbers(this.value, bound) && this.value < bound)) this.#ask("toBeLessThan", bound);
  }

  toBeLessThanOrEqual(bound: number): void {
    if (!(areNumbers(this.value, bound) && this.value <= bound)) this.#ask("toBeLessThanOrEqual", bound);
  }

  toBeGreaterThan(bound: number): void {
    if (!(areNumbers(this.value, bound) && this.value > bound)) this.#ask("toBeGreaterThan", bound);
  }

  toBeGreaterThanOrEqual(bound: number): void {
    if (!(areNumbers(this.value, bound) && this.value >= bound)) this.#ask("toBeGreaterThanOrEqual", bound);
  }

  toEqual(expected: unknown): void {
    if (!isPlainlyEqual(this.value, expected)) this.#ask("toEqual", expected);
  }

  /** vitest decides; its error is of the line that asks here. */
  #ask(matcher: keyof Quick, ...expected: readonly unknown[]): void {
    const assertion = real(this.value, this.message) as unknown as Record<
      string,
      (...args: readonly unknown[]) => void
    >;
    try {
      assertion[matcher]?.(...expected);
    } catch (error) {
      if (error instanceof Error) Error.captureStackTrace(error, Quick.prototype[matcher] as () => void);
      throw error;
    }
  }
}
Object.setPrototypeOf(Quick.prototype, others);

function areNumbers(value: unknown, bound: unknown): value is number {
  return typeof value === "number" && typeof bound === "number";
}

/** Surely equal: the same, or lists of the same. */
function isPlainlyEqual(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (!(isList(one) && isList(other)) || one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (!Object.is(one[i], other[i])) return false;
  return true;
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && Object.getPrototypeOf(value) === Array.prototype;
}

function quick(value: unknown, message?: string): Quick {
  return new Quick(value, message);
}

/** As vitest's, which all that is not above is asked of: `not`, `rejects`, `any`. */
export const expect: ExpectStatic = Object.setPrototypeOf(quick, real);
