/** The replies of many nodes, whose calls end one by one: in time, late, or with an error. */
import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import type { Member } from "../../../src/cluster/node/member.js";
import { manyReplies } from "../../../src/cluster/requests/outgoing.js";
import { InvalidStateError, TimeoutError } from "../../../src/core/errors.js";
import { ServiceError } from "../../../src/patterns/kit/errors.js";

const NODES = ["a", "b", "c"].map((id) => ({ id, name: id }) as Member);

const late = (): Promise<never> => Promise.reject(new TimeoutError("ETIMEDOUT", "late"));
const lost = (): Promise<never> => Promise.reject(new ServiceError("worker-lost", "work", "it is lost"));
const never = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

type Answer = (signal: AbortSignal) => Promise<unknown>;

async function ask(answers: Readonly<Record<string, Answer>>, count = 3, signal?: AbortSignal) {
  const { replies, failed, missing } = await manyReplies(NODES, count, signal, ({ id }, needed) =>
    (answers[id] as Answer)(needed),
  );
  return {
    replies: replies.map(({ member, body }) => `${member.id} ${body}`),
    failed: failed.map(({ member }) => member.id),
    missing: missing.map(({ id }) => id),
  };
}

describe("replies of many nodes", () => {
  it("are complete when the last call ends with a reply, or an error, after others were late", async () => {
    const all = { a: late, b: late, c: async () => "x" };
    expect(await ask(all)).toEqual({ replies: ["c x"], failed: [], missing: ["a", "b"] });
    expect(await ask({ ...all, a: lost })).toEqual({ replies: ["c x"], failed: ["a"], missing: ["b"] });
    expect(await ask({ a: late, b: late, c: late })).toMatchObject({ missing: ["a", "b", "c"] });
  });

  it("of many calls have one listener at their signal, and leave none", async () => {
    const { signal } = new AbortController();
    let answer = (_: unknown): void => undefined;
    const answered = new Promise((resolve) => {
      answer = resolve;
    });
    const reply = (): Promise<unknown> => answered;
    const calls = Array.from({ length: 12 }, () => ask({ a: reply, b: reply, c: reply }, 3, signal));
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    answer("x");
    await Promise.all(calls);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("are none where the caller gives up, or too many requests wait", async () => {
    const stop = new AbortController();
    const given = ask({ a: lost, b: never, c: never }, 3, stop.signal);
    stop.abort();
    await expect(given).rejects.toMatchObject({ code: "ABORT_ERR" });
    const full = (): never => {
      throw new InvalidStateError("ERR_TOO_MANY_PENDING", "too many");
    };
    await expect(ask({ a: never, b: full, c: never })).rejects.toMatchObject({
      code: "ERR_TOO_MANY_PENDING",
    });
  });
});
