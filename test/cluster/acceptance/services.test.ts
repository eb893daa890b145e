/** Services that reach each other: by their tags, and through hooks that they put around their messages. */
import { describe, expect, test } from "vitest";
import type { ClusterNode, Member, MemberMessage } from "../../../src/cluster/index.js";
import { simulate } from "../../../src/testing/index.js";
import { onOneHost, SETTLED, startNodes } from "../simulated.js";

const names = (members: Iterable<{ readonly name: string }>): string[] =>
  [...members].map(({ name }) => name.split("@")[0] as string).sort();

/** What a member gets. */
function inbox(node: ClusterNode): MemberMessage[] {
  const messages: MemberMessage[] = [];
  node.onMessage((message) => void messages.push(message));
  return messages;
}

describe("tags", () => {
  test("change by modifiers, one after the other, and the others have them with the next heartbeat", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      expect(a.tags("tag0", "tag1")).toEqual(["tag0", "tag1"]);
      expect(
        a.tags(
          { append: ["tag0", "tag2"] },
          { map: [["tag2", "tag3"]] },
          { remove: ["tag3"] },
          { append: ["tag4", "tag5"] },
        ),
      ).toEqual(["tag0", "tag1", "tag4", "tag5"]);
      expect(a.tags({ map: [["tag10", "tag12"]] })).toEqual(["tag0", "tag1", "tag4", "tag5"]);
      const mappend = [
        ["tag0", "tag5"],
        ["tag6", "tag8"],
        ["tag3", "tag8"],
      ] as const;
      const tags = a.tags({ mappend });
      expect(tags).toEqual(["tag1", "tag4", "tag5", "tag8"]);
      await world.until(() => String(b.member("a")?.tags) === String(tags), 1_000);
      expect(a.tags({ replace: ["tag9"] }, "tag10")).toEqual(["tag9", "tag10"]);
    }));

  test("select members: those that have all, some, none or exactly those of a list", () => {
    const tags: Record<string, string[]> = {
      one: ["db", "one"],
      two: ["db", "two", "may_wait"],
      three: ["three", "can_wait"],
      four: ["can_wait"],
    };
    return onOneHost(
      ["one", "two", "three", "four"],
      async ({ one }) => {
        expect(names(one.resolve("db"))).toEqual(["one", "two"]);
        expect(names(one.resolve("localhost", "db", "two"))).toEqual(["two"]);
        const waiting = one.resolver("match", { has: ["*wait"] }, "equal", { some: ["one", "two", "three"] });
        expect(names(waiting)).toEqual(["three", "two"]);
        expect(names(one.resolver({ has: ["can_wait"], not: ["three"] }))).toEqual(["four"]);
        expect(names(one.resolver({ exact: ["db", "one"] }))).toEqual(["one"]);
        expect(names(one.resolver({ exact: ["db"] }))).toEqual([]);
        expect(names(one.resolver("regexp", { some: ["^(may|can)_"] }))).toEqual(["four", "three", "two"]);
        expect([one.resolveSelf("db"), one.resolveSelf("two")]).toEqual([true, false]);
      },
      (name) => ({ tags: tags[name] ?? [] }),
    );
  });
});

describe("send", () => {
  test("reaches each of the members once that it names, or its selectors find", () => {
    const tags: Record<string, string[]> = { b: ["eu"], c: ["eu"], d: ["us"], e: ["us", "billing"] };
    return onOneHost(
      ["a", "b", "c", "d", "e"],
      async ({ a, b, c, d, e }, world) => {
        const boxes = [b, c, d, e].map((node) => inbox(node));
        const [known, other] = [b, c].map(({ id }) => a.member(id)) as [Member, Member];
        const { sent, failed, means } = await a.send({
          members: [known, "b"],
          resolver: [{ has: ["eu"] }],
          resolve: ["us", "billing"],
          ruid: "r1",
          data: "hello",
        });
        expect([names(sent), failed, means]).toEqual([["b", "c", "e"], [], "links"]);
        await world.advance(SETTLED);
        expect(boxes.map((box) => box.length)).toEqual([1, 1, 0, 1]);
        expect(boxes[0]).toMatchObject([
          { channel: 0, ruid: "r1", data: "hello", protocol: "tcp", member: { id: a.id } },
        ]);
        // A list of members is a resolver, as any iterable of them.
        for (const resolver of [[known, other], new Set([known, other])])
          expect(names((await a.send({ resolver, data: "x" })).sent)).toEqual(["b", "c"]);
      },
      (name) => ({ tags: tags[name] ?? [] }),
    );
  });
});

describe("a query", () => {
  test("is for members of the same host alone where a hook says so", () =>
    simulate({ seed: 1 }, async (world) => {
      const nodes = await startNodes(world, ["a", "b"]);
      const [a, b] = [...nodes.values()] as [ClusterNode, ClusterNode];
      b.onQuery(({ data }) => `${data} is run`);
      b.hook("query", (_, { local, veto }) => (local ? undefined : veto("Only Local can Query")));
      await world.until(() => a.members().length === 2, 5_000);
      const far = await a.query({ members: ["b"], data: "set ::var" }).collect();
      expect(far.failed).toMatchObject([{ error: { code: "ERR_SERVICE", reason: "vetoed" } }]);
      expect(far.failed[0]?.error.message).toContain("Only Local can Query");
      const near = await b.query({ members: ["b"], self: true, data: "set ::var" }).collect();
      expect(near.replies).toMatchObject([{ data: "set ::var is run" }]);
    }));
});

describe("hooks", () => {
  test("are at each stage that a message passes, out in the order of their addition, and in in reverse", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const [out, back] = [
        ["evaluate:send", "channel:send", "protocol:send"],
        ["protocol:receive", "channel:receive", "evaluate:receive", "member:evaluate", "event"],
      ] as const;
      for (const i of [1, 2]) {
        for (const stage of out) a.hook(stage, ({ data }) => ({ data: `${data} > ${stage} ${i}` }));
        for (const stage of back) b.hook(stage, ({ data }) => ({ data: `${data} > ${stage} ${i}` }));
      }
      const box = inbox(b);
      await a.send({ members: ["b"], data: "x" });
      await world.advance(SETTLED);
      expect(String(box[0]?.data).split(" > ")).toEqual([
        "x",
        ...out.flatMap((stage) => [`${stage} 1`, `${stage} 2`]),
        ...back.flatMap((stage) => [`${stage} 2`, `${stage} 1`]),
      ]);
    }));
});
