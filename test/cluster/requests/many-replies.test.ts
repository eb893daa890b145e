/** The replies of many nodes, whose calls end one by one: in time, late, or with an error. */
import { describe, expect, it } from "vitest";
import type { Service } from "../../../src/cluster/node/service.js";
import type { Call, CallSink } from "../../../src/cluster/requests/call.js";
import { ManyReplies } from "../../../src/cluster/requests/many-replies.js";
import { BodyForm } from "../../../src/cluster/requests/wire.js";
import { TimeoutError } from "../../../src/core/errors.js";
import { ServiceError } from "../../../src/patterns/kit/errors.js";

const NODES = ["a", "b", "c"].map((id) => ({ id, name: id }) as Service);

const late = (sink: CallSink | undefined): void => sink?.fail(new TimeoutError("ETIMEDOUT", "late"));
const lost = (sink: CallSink | undefined): void =>
  sink?.fail(new ServiceError("worker-lost", "work", "it is lost"));
const reply = (sink: CallSink | undefined): void => sink?.reply(BodyForm.TEXT, Buffer.from("x"), undefined);

/** Asks all. @param atOnce ends the call to a node before `begin` returns; `undefined`: that goes on */
function ask(atOnce: (id: string) => ((sink: CallSink) => void) | undefined = () => undefined) {
  const sinks: CallSink[] = [];
  const { promise } = new ManyReplies(NODES, Number.MAX_SAFE_INTEGER, undefined, {
    begin: ({ id }, sink) => {
      sinks.push(sink);
      const end = atOnce(id);
      end?.(sink);
      return { state: end === undefined ? "sent" : "over" } as Call;
    },
    giveUp: () => undefined,
  });
  const result = promise.then(({ replies, failed, missing }) => ({
    replies: replies.map(({ service }) => service.id),
    failed: failed.map(({ service }) => service.id),
    missing: missing.map(({ id }) => id),
  }));
  return { sinks, result };
}

describe("replies of many nodes", () => {
  it("are complete when the last call ends with a reply, or an error, after others were late", async () => {
    const one = ask();
    late(one.sinks[0]);
    late(one.sinks[1]);
    reply(one.sinks[2]);
    expect(await one.result).toEqual({ replies: ["c"], failed: [], missing: ["a", "b"] });
    const other = ask();
    reply(other.sinks[1]);
    late(other.sinks[2]);
    lost(other.sinks[0]);
    expect(await other.result).toEqual({ replies: ["b"], failed: ["a"], missing: ["c"] });
  });

  it("are those of all where the first call ends before the others begin", async () => {
    const { sinks, result } = ask((id) => (id === "a" ? late : undefined));
    expect(sinks).toHaveLength(3);
    reply(sinks[1]);
    reply(sinks[2]);
    expect(await result).toEqual({ replies: ["b", "c"], failed: [], missing: ["a"] });
    expect(await ask(() => late).result).toEqual({ replies: [], failed: [], missing: ["a", "b", "c"] });
  });
});
