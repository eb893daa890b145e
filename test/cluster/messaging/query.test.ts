/** The rules of queries under generated schedules: each service that was asked ends in exactly one of replies, failed and missing. */
import { it } from "vitest";
import { PendingQueries, Query, type QueryResponse } from "../../../src/cluster/messaging/query.js";
import { UnroutableError } from "../../../src/core/errors.js";
import fc from "../../support/properties.js";
import { expect } from "../../support/quick-expect.js";
import { createService } from "./service-world.js";

const SERVICES = Array.from({ length: 6 }, (_, i) => createService(`s${i}`));

const act = fc.oneof(
  fc.record({
    kind: fc.constant("ask" as const),
    asked: fc.subarray(SERVICES, { minLength: 1 }),
    bytes: fc.nat(40),
  }),
  fc.record({ kind: fc.constant("reply" as const), from: fc.nat(5), query: fc.nat(8), size: fc.nat(20) }),
  fc.record({ kind: fc.constant("fail" as const), from: fc.nat(5), query: fc.nat(8) }),
  fc.record({ kind: fc.constant("gone" as const), from: fc.nat(5) }),
  fc.record({
    kind: fc.constant("end" as const),
    query: fc.nat(8),
    how: fc.constantFrom("timeout" as const, "cancelled" as const),
  }),
);

it("each service ends in one list, and strays are recognized", async () => {
  let strays = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 60 }), fc.boolean(), async (acts, iterates) => {
      const pending = new PendingQueries(7);
      const queries: {
        number: number;
        query: Query;
        answered: Set<string>;
        read: Promise<QueryResponse[]>;
      }[] = [];
      const failure = (service: (typeof SERVICES)[number]): QueryResponse & { error: UnroutableError } => ({
        service,
        error: new UnroutableError("gone"),
      });
      for (const step of acts) {
        const at = "query" in step ? queries[step.query] : undefined;
        switch (step.kind) {
          case "ask": {
            const number = pending.take();
            const query = new Query(String(number), step.asked, step.bytes, () => pending.remove(number));
            pending.add(number, query);
            const read = (async () => {
              const responses: QueryResponse[] = [];
              if (iterates) for await (const response of query) responses.push(response);
              else {
                const { replies, failed, missing } = await query.collect();
                responses.push(...replies, ...failed);
                expect(missing).toEqual(query.missing);
              }
              return responses;
            })();
            queries.push({ number, query, answered: new Set(), read });
            break;
          }
          case "reply":
          case "fail": {
            const service = SERVICES[step.from] as (typeof SERVICES)[number];
            const found = pending.find(service.id, at?.number ?? 7);
            const wasAsked = at?.query.services.includes(service) === true;
            if (typeof found === "string") {
              strays += 1;
              if (at === undefined) expect(found).toBe("foreign");
              else if (at.query.ended !== undefined) expect(found).toBe("late");
              else expect(found).toBe(wasAsked ? "double" : "foreign");
              break;
            }
            expect([found, wasAsked, at?.answered.has(service.id)]).toEqual([at?.query, true, false]);
            at?.answered.add(service.id);
            expect(
              found.respond(
                step.kind === "fail" ? failure(service) : { service, data: Buffer.alloc(step.size) },
              ),
            ).toBe(true);
            break;
          }
          case "gone": {
            const { id } = SERVICES[step.from] as (typeof SERVICES)[number];
            for (const { query, answered } of queries)
              if (query.awaits(id) && query.ended === undefined) answered.add(id);
            pending.onGone(id, failure);
            break;
          }
          case "end":
            at?.query.end(step.how);
            break;
        }
        const open = queries.filter(({ query }) => query.ended === undefined);
        expect(pending.size).toBe(open.length);
        expect(pending.awaited).toBe(open.reduce((sum, { query }) => sum + query.services.length, 0));
      }
      pending.close();
      expect([pending.size, pending.awaited]).toEqual([0, 0]);
      for (const { query, answered, read } of queries) {
        const responses = await read;
        const ids = responses.map(({ service }) => service.id);
        expect(new Set(ids)).toEqual(answered);
        expect(ids.length).toBe(answered.size);
        expect([...ids, ...query.missing.map(({ id }) => id)].sort()).toEqual(
          query.services.map(({ id }) => id).sort(),
        );
        expect(query.ended === "done").toBe(query.missing.length === 0);
      }
    }),
    { numRuns: 10_000, defaultRuns: 100 },
  );
  expect(strays).toBeGreaterThan(0); // It was not for nothing.
});
