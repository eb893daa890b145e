/** Ticks rules in virtual time; core/driver-timer.ts does so in real time. */
import type { TimedRules } from "../core/driver-timer.js";
import type { Simulation } from "./simulation.js";

export class RulesTimer {
  readonly #simulation: Simulation;
  readonly #rules: TimedRules;
  #cancel: (() => void) | undefined;
  #due = Number.POSITIVE_INFINITY;

  constructor(simulation: Simulation, rules: TimedRules) {
    this.#simulation = simulation;
    this.#rules = rules;
    this.update();
  }

  /** Call after every call of the rules. */
  update(): void {
    const next = this.#rules.nextWakeUp();
    if (next === undefined || next >= this.#due) return;
    this.#cancel?.();
    this.#due = next;
    this.#cancel = this.#simulation.at(next, () => {
      this.#due = Number.POSITIVE_INFINITY;
      this.#cancel = undefined;
      this.#rules.tick(this.#simulation.now);
      this.update();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#due = Number.NEGATIVE_INFINITY;
  }
}
