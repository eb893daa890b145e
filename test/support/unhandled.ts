/** Rejections that nobody handles, in place of the runner's own listeners, which would fail the run. */
import { afterEach, beforeEach } from "vitest";
import { turn } from "./settled.js";

export interface Unhandled {
  /** Of this test, so far. */
  readonly errors: readonly unknown[];
  /** Those that were left by now: one is reported once the microtasks have run. */
  settled(): Promise<readonly unknown[]>;
}

/** Collects them in each test of the block that it is called in. */
export function collectUnhandled(): Unhandled {
  let errors: unknown[] = [];
  let others: NodeJS.UnhandledRejectionListener[] = [];
  const listener = (error: unknown): void => {
    errors.push(error);
  };
  beforeEach(() => {
    errors = [];
    others = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", listener);
  });
  afterEach(() => {
    process.off("unhandledRejection", listener);
    for (const each of others) process.on("unhandledRejection", each);
  });
  return {
    get errors() {
      return errors;
    },
    async settled() {
      for (let i = 0; i < 10; i++) await turn();
      return errors;
    },
  };
}
