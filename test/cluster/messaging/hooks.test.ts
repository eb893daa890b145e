/** Hooks: their stages and order; what they change, answer and veto; those that fail. */
import { describe, expect, it } from "vitest";
import {
  ClusterNode,
  type HookContext,
  type HookPayload,
  type HookResult,
  type MemberMessage,
  type MemberMessagesStats,
  type MemberSendOptions,
  type MessageHook,
  type MessageProtocol,
  type MessageStage,
} from "../../../src/cluster/index.js";
import { simulate, type World } from "../../../src/testing/index.js";
import { UNREADABLE } from "../../support/unreadable.js";
import { eventsOf, KEY, SETTLED, startNodes } from "../simulated.js";
import { MemoryProtocol } from "./memory-protocol.js";
import { throwing } from "./throwing.js";
import { withMessaging } from "./with-messaging.js";

function begin({ a, b }: Record<"a" | "b", ClusterNode>, world: World) {
  /** What b got. */
  const box: MemberMessage[] = [];
  b.onMessage((message) => void box.push(message));
  /** A message from a to b, until it has arrived. */
  const send = async (message: MemberSendOptions = {}): Promise<void> => {
    await a.send({ members: ["b"], ...message });
    await world.advance(SETTLED);
  };
  return { a, b, world, box, send };
}

type Story = (pair: ReturnType<typeof begin>) => Promise<void>;
type Protocols = readonly (MessageProtocol | "tcp")[];

/** Two nodes with such protocols. */
function pairBy(ofA: Protocols, ofB: Protocols, story: Story): Promise<void> {
  const messaging = (name: string) => ({ protocols: name === "a" ? ofA : ofB });
  return withMessaging(messaging, ["a", "b"], (nodes, world) => story(begin(nodes, world)));
}

const pair = (story: Story): Promise<void> => pairBy(["tcp"], ["tcp"], story);
const pipe = (): MessageProtocol => new MemoryProtocol("pipe").protocol;
const statsOf = (node: ClusterNode) => node.stats().memberMessages as MemberMessagesStats;

const MESSAGE_STAGES: MessageStage[] = [
  "evaluate:send",
  "channel:send",
  "protocol:send",
  "protocol:receive",
  "channel:receive",
  "evaluate:receive",
  "member:evaluate",
  "query",
  "event",
];

/** A promise of its own kind, whose `then` throws. */
class BrokenPromise extends Promise<never> {
  // biome-ignore lint/suspicious/noThenProperty: that is what is tested.
  override then(): never {
    throw new Error("then");
  }
}

it("a query and its reply pass the stages that they have, in their order", () =>
  pair(async ({ a, b }) => {
    const log: string[] = [];
    b.onQuery(() => "reply");
    for (const [name, node] of Object.entries({ a, b }))
      for (const stage of MESSAGE_STAGES)
        node.hook(
          stage,
          {},
          (_: HookPayload, { kind }: HookContext) => void log.push(`${name} ${stage} ${kind}`),
        );
    await a.query({ members: ["b"] }).collect();
    const [out, back] = [MESSAGE_STAGES.slice(0, 3), MESSAGE_STAGES.slice(3, 6)];
    expect(log).toEqual([
      ...out.map((stage) => `a ${stage} query`),
      ...[...back, "member:evaluate", "query"].map((stage) => `b ${stage} query`),
      ...out.map((stage) => `b ${stage} reply`),
      ...back.map((stage) => `a ${stage} reply`),
    ]);
  }));

describe("a hook", () => {
  it("that throws anything vetoes, whatever can be read of it", () =>
    pair(async ({ a }) => {
      for (const [what, thrown] of Object.entries(UNREADABLE)) {
        const remove = a.hook("evaluate:send", throwing(thrown));
        await expect(a.send({ members: ["b"] }), what).rejects.toMatchObject({ code: "ERR_VETOED" });
        remove();
      }
    }));

  it("changes the data, the ruid, and the channel before it is chosen", () =>
    pair(async ({ a, b, box, send }) => {
      a.hook("evaluate:send", ({ data }) => ({ data: `${data}!`, channel: 1, ruid: "0" }));
      b.hook("event", ({ data }) => ({ data: Buffer.from(`${data}?`) }));
      await send({ data: "hi" });
      expect(box).toMatchObject([{ data: Buffer.from("hi!?"), channel: 1, ruid: "0" }]);
    }));

  it("is for some channels or protocols alone", () => {
    const both = [pipe(), "tcp"] as const;
    return pairBy(both, both, async ({ b, send }) => {
      const log: unknown[] = [];
      b.channels.join("news");
      b.hook("channel:receive", { channels: [1, "news"] }, ({ channel }) => void log.push(channel));
      b.hook("protocol:receive", { protocols: ["pipe"] }, () => void log.push("pipe"));
      for (const channel of [0, 1, 2, "news"]) await send({ channel, protocols: ["tcp"] });
      await send();
      expect(log).toEqual([1, "news", "pipe"]);
    });
  });

  it("answers a query, and what is to be sent; no received message, and no reply", () =>
    pair(async ({ a, b, box, send }) => {
      const failed = [a, b].map((node) => eventsOf(node, "hook:failed"));
      const remove = b.hook("query", (_, { answer }) => answer("from the hook"));
      expect((await a.query({ members: ["b"] }).collect()).replies[0]?.data).toBe("from the hook");
      remove();
      b.hook("member:evaluate", { channels: [2] }, ({ data }, { answer }) => answer(`${data}: no`));
      await send({ channel: 2, data: "may I" });
      b.onQuery(() => "x");
      const removeReply = a.hook("evaluate:receive", (_, { answer }) => answer("no"));
      const { failed: vetoed } = await a.query({ members: ["b"] }).collect();
      removeReply();
      expect([box, vetoed.length]).toEqual([[], 1]);
      expect(failed.map((events) => events.map(({ error }) => (error.cause as Error).message))).toEqual([
        ["a reply is not answered: send a message to its member"],
        ["a message is not answered: send a message to its member"],
      ]);
      a.hook("evaluate:send", { channels: [1] }, (_, { answer }) => answer(new Uint8Array([1])));
      const { sent, means, answer } = await a.send({ members: ["b"], channel: 1 });
      expect([sent, means, answer]).toEqual([[], "none", Buffer.from([1])]);
      const { replies } = await a.query({ members: ["b"], channel: 1 }).collect();
      expect(replies.map(({ member, data }) => [member.id, data])).toEqual([[b.id, Buffer.from([1])]]);
    }));

  it("vetoes where it answers a message or a reply by the answer of another call", () =>
    pair(async ({ a, b, box, send }) => {
      const failed = [a, b].map((node) => eventsOf(node, "hook:failed"));
      const known: HookResult[] = [];
      const remove = b.hook("query", (_, { answer }) => void known.push(answer("of a query")));
      b.onQuery(() => "x");
      await a.query({ members: ["b"] }).collect();
      remove();
      b.hook("member:evaluate", () => known[0]);
      await send({ data: "may I" });
      a.hook("evaluate:receive", () => known[0]);
      await a.query({ members: ["b"] }).collect();
      expect(failed.map((events) => events.map(({ error }) => (error.cause as Error).message))).toEqual([
        ["a reply is not answered: send a message to its member"],
        ["a message is not answered: send a message to its member"],
      ]);
      expect([box, a.stats().memberMessages?.refused, b.stats().memberMessages?.answered]).toEqual([
        [],
        {},
        1,
      ]);
    }));

  it("vetoes where it answers with bytes whose memory was transferred", () =>
    pair(async ({ a, b }) => {
      const transferred = (): Buffer => {
        const memory = new ArrayBuffer(3);
        const bytes = Buffer.from(memory);
        structuredClone(memory, { transfer: [memory] });
        return bytes;
      };
      const sent = a.send({ members: ["b"], data: transferred() });
      await expect(sent).rejects.toMatchObject({ code: "EINVAL" });
      const failed = eventsOf(b, "hook:failed");
      b.onQuery(() => "x");
      b.hook("query", (_, { answer }) => answer(transferred()));
      const { replies } = await a.query({ members: ["b"] }).collect();
      expect([failed.length, replies]).toEqual([1, []]);
    }));

  it("vetoes, and its reason goes to who asked, where it gives one", () =>
    pair(async ({ a, b, box, send }) => {
      const failed = eventsOf(b, "hook:failed");
      const remove = b.hook("event", ({ data }, { veto }) => {
        if (data === "known") veto("not before noon");
        throw new Error("a secret");
      });
      await a.send({ members: ["b"], channel: 2, ruid: "r1", data: "known" });
      await send({ data: "unknown" });
      expect(box).toEqual([]);
      expect([failed.length, statsOf(b)]).toMatchObject([2, { vetoed: 2, received: 0 }]);
      remove();

      b.onQuery(() => "x");
      b.hook("query", ({ data }, { veto }) => {
        if (data === "why") veto("closed");
        if (data === "at length") veto("ü€𝄞".repeat(100));
        throw new Error("a secret");
      });
      // Up to 256 bytes of whole characters.
      const long = "ü€𝄞".repeat(28);
      const results = ["why", "?", "at length"].map((data) => a.query({ members: ["b"], data }).collect());
      expect((await Promise.all(results)).map(({ failed: [each] }) => each?.error.message)).toEqual([
        `${b.name}: a hook vetoed the query: closed`,
        `${b.name}: a hook vetoed the query`,
        `${b.name}: a hook vetoed the query: ${long}ü`,
      ]);
    }));

  it("vetoes what is to be sent, and the caller has the reason", () =>
    pair(async ({ a }) => {
      const remove = a.hook("channel:send", (_, { veto }) => veto("quiet hours"));
      const vetoed = { code: "ERR_VETOED", stage: "channel:send", reason: "quiet hours" };
      await expect(a.send({ members: ["b"] })).rejects.toMatchObject(vetoed);
      const { failed } = await a.query({ members: ["b"] }).collect();
      expect(failed[0]?.error.message).toBe("vetoed by a hook of channel:send: quiet hours");
      remove();
      a.hook("protocol:send", { protocols: ["tcp"] }, throwing(new Error("no tcp")));
      const result = await a.send({ members: ["b"] });
      expect([result.sent, result.failed[0]?.error.code]).toEqual([[], "ERR_VETOED"]);
    }));

  it("that gives something of another form is a veto", () =>
    pair(async ({ b, box, send }) => {
      const failed = eventsOf(b, "hook:failed");
      const hooks: Record<string, () => unknown> = {
        "a text": () => "text",
        "an array": () => [],
        "wrong data": () => ({ data: 7 }),
        "another channel": () => ({ channel: 1 }),
        "a ruid that is too long": () => ({ ruid: "x".repeat(129) }),
        "a promise": async () => undefined,
        "a promise that rejects": () => Promise.reject(new Error("later")),
        "a promise that throws": () => new BrokenPromise(() => undefined),
      };
      for (const [what, hook] of Object.entries(hooks)) {
        const remove = b.hook("event", hook as never);
        await send();
        expect([box, failed.splice(0).length], what).toEqual([[], 1]);
        remove();
      }
    }));

  it("is refused for a stage, an option or a function that there is not", () => {
    const node = new ClusterNode();
    expect(() => node.hook("evaluate:sent" as never, {}, () => undefined)).toThrow("evaluate:send");
    expect(() => node.hook("event", "code" as never)).toThrow("a hook must be a function");
    expect(() => node.hook("event", { channels: [] }, () => undefined)).toThrow("at least one");
    expect(() => node.hook("event", { channel: [1] } as never, () => undefined)).toThrow("channel");
    expect(() => node.hook("event", { protocols: ["tcp"] }, () => undefined)).toThrow("has no protocols");
    for (const options of [
      { protocols: ["icp"] },
      { protocols: ["tcp", "TCP"] },
      { protocols: [] },
      { protocols: "tcp" },
      { protocols: [7] },
      { channels: [256] },
      { channels: [""] },
      { channels: 1 },
      { protocol: ["tcp"] },
      null,
      () => undefined,
    ])
      expect(() => node.hook("protocol:send", options as never, () => undefined)).toThrow(
        expect.objectContaining({ code: "EINVAL" }),
      );
    expect(() => node.hook("protocol:receive", { protocols: ["icp"] }, () => undefined)).toThrow(
      'got "icp"; did you mean ipc?',
    );
    expect(() => node.hook("member:lost" as never, { channels: [1] }, () => undefined)).toThrow(
      "has no channels",
    );
    // None of them was added.
    for (let i = 0; i < 256; i++) node.hook("event", () => undefined);
    expect(() => node.hook("event", () => undefined)).toThrow("256");
  });
});

describe("a hook of a protocol", () => {
  const reversed: MessageHook = ({ data }) => ({ data: [...String(data)].reverse().join("") });
  /** A protocol that leads to no node until it is open. */
  function closed(): [protocol: MessageProtocol, open: () => void] {
    let isOpen = false;
    const protocol = { ...pipe(), reaches: () => isOpen };
    return [protocol, () => (isOpen = true)];
  }

  it("is called for the first message, too, by the protocol by which it goes", () => {
    const both = [pipe(), "tcp"] as const;
    const messaging = (name: string) => (name === "b" ? {} : { protocols: both });
    return withMessaging(messaging, ["a", "b", "c", "d"], async ({ a, b, c, d }, world) => {
      const got: string[] = [];
      for (const [name, node] of Object.entries({ b, c, d }))
        node.onMessage(({ data }) => void got.push(`${name} ${data}`));
      a.hook("protocol:send", { protocols: ["tcp"] }, reversed);
      b.hook("protocol:receive", { protocols: ["tcp"] }, reversed);
      const calls: unknown[] = [];
      a.hook("protocol:send", (_, { protocol, members }) => {
        calls.push([protocol, ...members.map(({ id }) => id)]);
      });
      for (const data of ["secret 1", "secret 2"]) {
        const { sent, failed } = await a.send({ members: ["b", "c", "d"], data });
        expect([sent.length, failed]).toEqual([3, []]);
      }
      await world.advance(SETTLED);
      const secrets = ["b", "c", "d"].flatMap((name) => [`${name} secret 1`, `${name} secret 2`]);
      expect(got.sort()).toEqual(secrets);
      // Once for each protocol.
      const each = [
        ["tcp", b.id],
        ["pipe", c.id, d.id],
      ];
      expect(calls).toEqual([...each, ...each]);
    });
  });

  it("is for replies that of the protocol by which they go, whatever their queries came by", () => {
    const protocol = pipe();
    return pairBy(["tcp", protocol], [protocol, "tcp"], async ({ a, b }) => {
      b.onQuery(({ data, protocol: by }) => `${data} by ${by}`);
      const kinds: unknown[] = [];
      b.hook("protocol:send", { protocols: ["pipe"] }, ({ data }, { kind }) => {
        kinds.push(kind);
        return { data: `wrapped ${data}` };
      });
      a.hook("protocol:receive", { protocols: ["pipe"] }, ({ data }) => {
        if (!String(data).startsWith("wrapped ")) throw new Error("not wrapped");
        return { data: String(data).slice("wrapped ".length) };
      });
      // The first one has no link back yet.
      for (let i = 0; i < 2; i++) {
        const { replies } = await a.query({ members: ["b"], data: "hi" }).collect();
        expect(replies[0]?.data).toBe("hi by tcp");
      }
      expect(kinds).toEqual(["reply", "reply"]);
    });
  });

  it("keeps an answer here that no protocol can bring, which is a failure once one can", () => {
    const [back, open] = closed();
    const there = { ...back, reaches: () => true };
    return pairBy([there], [back], async ({ a, b, send }) => {
      b.onQuery(() => "answer");
      b.hook("protocol:send", { protocols: ["tcp"] }, () => undefined);
      const query = a.query({ members: ["b"], timeout: -1 });
      await send();
      expect(statsOf(b).refused).toEqual({ "member:reply": 1 });
      open();
      const { failed } = await query.collect();
      expect(failed[0]?.error.message).toBe(`${b.name}: the handler failed: no link for the answer`);
    });
  });

  it("keeps a message here that no protocol can bring, and the others get it", () => {
    const [out] = closed();
    const messaging = (name: string) => ({ protocols: name === "b" ? [out] : ([out, "tcp"] as const) });
    return withMessaging(messaging, ["a", "b", "c"], async ({ a, c }) => {
      const got = new Promise((resolve) => c.onMessage(({ data }) => resolve(data)));
      a.hook("protocol:send", () => undefined);
      const { sent, failed } = await a.send({ members: ["b", "c"], data: "hi" });
      expect([await got, sent.map(({ id }) => id)]).toEqual(["hi", [c.id]]);
      expect(failed).toMatchObject([{ member: a.member("b"), error: { code: "EHOSTUNREACH" } }]);
      const counts = a.stats().messaging?.links.peers.map(({ sent: count }) => count);
      expect(counts?.sort()).toEqual([0, 1]);
    });
  });
});

describe("hooks of members", () => {
  it("keep a member out that validate vetoes, both ways, until its details change", () =>
    pair(async ({ a, b, box, send, world }) => {
      let asked = 0;
      const remove = b.hook("member:validate", ({ id }) => {
        asked += 1;
        if (id === a.id) throw new Error("not on the list");
      });
      for (let i = 0; i < 3; i++) await send();
      expect([box.length, asked, statsOf(b).refused]).toEqual([0, 1, { "member:validate": 3 }]);
      const { failed } = await b.send({ members: ["a"] });
      expect(failed[0]?.error).toMatchObject({ code: "ERR_VETOED", stage: "member:validate" });
      a.tags("new");
      await world.advance(1_000);
      await send();
      expect([box.length, asked]).toEqual([0, 2]);
      remove();
      // A promise keeps it out, too.
      const events = eventsOf(b, "hook:failed");
      b.hook("member:validate", () => Promise.reject(new Error("later")));
      await send();
      expect([box.length, statsOf(b).refused]).toEqual([0, { "member:validate": 5 }]);
      expect(events).toMatchObject([{ error: { cause: { code: "EINVAL" } } }]);
    }));

  it("are called when members are discovered, lost and found", () =>
    simulate({ seed: 1, shrink: false }, async (world) => {
      const log: string[] = [];
      const box: MemberMessage[] = [];
      const b = await world.node("b").start(async () => {
        const node = new ClusterNode({ name: "b", scope: "link", key: KEY });
        for (const stage of ["member:discovered", "member:lost", "member:found"] as const)
          node.hook(stage, ({ name }) => {
            log.push(`${stage} ${name}`);
            if (stage !== "member:found") throw new Error("no");
          });
        node.onMessage((message) => void box.push(message));
        await node.start();
        return node;
      });
      const failed = eventsOf(b, "hook:failed");
      const a = (await startNodes(world, ["a"])).get("a") as ClusterNode;
      const send = async (data: string): Promise<void> => {
        await world.node("a").run(() => a.send({ members: ["b"], data }));
        await world.advance(SETTLED);
      };
      await world.until(() => [a, b].every((node) => node.members().length === 2), 10_000);
      await world.advance(1_000);
      await send("unwanted");
      world.cut("a", "b");
      await world.until(() => [a, b].every((node) => node.members().length === 1), 60_000);
      world.heal();
      await world.until(() => [a, b].every((node) => node.members().length === 2), 60_000);
      await world.advance(1_000);
      await send("welcome");
      expect(box.map(({ data }) => data)).toEqual(["welcome"]);
      const stages = ["discovered", "lost", "found"];
      expect(log).toEqual(stages.map((stage) => `member:${stage} ${a.name}`));
      expect(failed.length).toBe(2);
    }));

  it("see a member with its details: what it sends by datagram before they come is dropped, and nothing goes to it", () =>
    simulate({ seed: 1, shrink: false, network: { latency: [20, 20] } }, async (world) => {
      const seen: string[] = [];
      const box: MemberMessage[] = [];
      const b = (await startNodes(world, ["b"])).get("b") as ClusterNode;
      await world.node("b").run(() => {
        b.onMessage((message) => void box.push(message));
        b.hook("member:validate", ({ tags }) => void seen.push(tags.join()));
      });
      const errors = new Set<string>();
      let a: ClusterNode | undefined;
      void world.node("a").start(async () => {
        a = new ClusterNode({ name: "a", scope: "link", key: KEY, tags: ["billing"] });
        await a.start();
        setInterval(() => a?.send({ broadcast: true, data: "x" }), 5);
      });
      while (box.length === 0) {
        await world.advance(5);
        for (const broadcast of [true, false]) {
          const message = { members: [a?.id ?? ""], broadcast };
          const { failed } = await world.node("b").run(() => b.send(message));
          for (const { error } of failed) errors.add(error.message);
        }
      }
      expect(errors).toContain(`the details of ${a?.name}, which hooks decide by, have not come`);
      expect(seen).toEqual(["billing"]);
      expect(statsOf(b).refused["datagram:details"]).toBeGreaterThan(0);
    }));
});
