import { expect, test } from "vitest";
import { Mutex } from "../../src/core/mutex.js";
import fc from "../support/properties.js";
import { abortListeners, turn, watch } from "../support/settled.js";

test("turns are taken one at a time, in the order of asking, and none is lost to an abort", async () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ do: fc.constant("take" as const), signal: fc.boolean() }),
      fc.record({ do: fc.constant("done" as const) }),
      fc.record({ do: fc.constant("abort" as const), which: fc.nat(15) }),
    ),
    { maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), async (schedule, patient) => {
      const turns = new Mutex();
      const asked: {
        outcome: ReturnType<typeof watch<() => void>>;
        controller: AbortController | undefined;
      }[] = [];
      const done = new Set<number>();
      const holder = (): number =>
        asked.findIndex(({ outcome }, i) => outcome.state === "fulfilled" && !done.has(i));
      const finish = (): void => {
        const at = holder();
        if (at < 0) return;
        done.add(at);
        asked[at]?.outcome.value?.();
      };
      for (const step of schedule) {
        if (step.do === "take") {
          const controller = step.signal ? new AbortController() : undefined;
          asked.push({ controller, outcome: watch(turns.take({ signal: controller?.signal })) });
        } else if (step.do === "done") finish();
        else asked[step.which]?.controller?.abort();
        if (patient) await turn();
        const holding = asked.filter(({ outcome }, i) => outcome.state === "fulfilled" && !done.has(i));
        expect(holding.length).toBeLessThanOrEqual(1);
      }
      for (let i = 0; i <= asked.length; i++) {
        await turn();
        // A call that has had a turn asked before all that still wait.
        const firstPending = asked.findIndex(({ outcome }) => outcome.state === "pending");
        const lastServed = asked.findLastIndex(({ outcome }) => outcome.state === "fulfilled");
        if (firstPending >= 0) expect(lastServed).toBeLessThan(firstPending);
        finish();
      }
      for (const { outcome, controller } of asked) {
        expect(outcome.state).not.toBe("pending");
        if (outcome.state === "rejected") expect(outcome.code).toBe("ABORT_ERR");
        if (controller !== undefined) expect(abortListeners(controller.signal)).toBe(0);
      }
      const next = watch(turns.take());
      await turn();
      expect(next.state).toBe("fulfilled");
    }),
    { numRuns: 500, defaultRuns: 100 },
  );
});

test("a call with an aborted signal gets no turn and takes none", async () => {
  const turns = new Mutex();
  await expect(turns.take({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ABORT_ERR" });
  const done = await turns.take();
  done();
});

test("a call whose signal aborts right behind it does not wait for its turn", async () => {
  const turns = new Mutex();
  const done = await turns.take();
  const controller = new AbortController();
  const call = watch(turns.take({ signal: controller.signal }));
  controller.abort();
  await turn();
  expect(call.code).toBe("ABORT_ERR");
  done();
});
