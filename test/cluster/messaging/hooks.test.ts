/** Hooks: their stages and order; what they change, answer and veto; those that fail. */
import { describe, expect, it } from "vitest";
import type {
  HookContext,
  HookPayload,
  MessageHook,
  MessageStage,
} from "../../../src/cluster/messaging/hooks.js";
import type { ServiceMessage, ServiceSendOptions } from "../../../src/cluster/messaging/service-types.js";
import { UNREADABLE } from "../../support/unreadable.js";
import { ServiceWorld, settle, twoServices } from "./service-world.js";

function pair(options = {}) {
  const two = twoServices(options);
  const box: ServiceMessage[] = [];
  two.b.services.receiver.onMessage((message) => void box.push(message));
  /** A message from a to b, until it has arrived. */
  const send = async (message: ServiceSendOptions = {}): Promise<void> => {
    await two.a.services.send({ services: ["b"], ...message });
    await settle();
  };
  return { ...two, box, send };
}

const MESSAGE_STAGES: MessageStage[] = [
  "evaluate:send",
  "channel:send",
  "protocol:send",
  "protocol:receive",
  "channel:receive",
  "evaluate:receive",
  "service:evaluate",
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

describe.each(Object.entries(UNREADABLE))("a hook that throws %s", (_, thrown) => {
  it("vetoes", async () => {
    const { a } = pair();
    a.services.hook("evaluate:send", () => {
      throw thrown;
    });
    await expect(a.services.send({ services: ["b"] })).rejects.toMatchObject({ code: "ERR_VETOED" });
  });
});

describe("the order of hooks", () => {
  it("is that of the stages, and the reverse one among hooks of a stage where something is received", async () => {
    const { a, b, send } = pair();
    const log: string[] = [];
    for (const [name, { services }] of Object.entries({ a, b }))
      for (const stage of [...MESSAGE_STAGES].reverse())
        for (const i of [1, 2])
          services.hook(stage, (_: HookPayload, { kind, protocol }: HookContext) => {
            log.push(`${name} ${stage} ${i} ${kind} ${protocol}`.trim());
          });
    b.services.hook("service:validate", () => void log.push("b service:validate"));
    await send({ data: "x" });
    expect(log).toEqual([
      "a evaluate:send 1 message",
      "a evaluate:send 2 message",
      "a channel:send 1 message",
      "a channel:send 2 message",
      "a protocol:send 1 message tcp",
      "a protocol:send 2 message tcp",
      "b service:validate",
      "b protocol:receive 2 message tcp",
      "b protocol:receive 1 message tcp",
      "b channel:receive 2 message tcp",
      "b channel:receive 1 message tcp",
      "b evaluate:receive 2 message tcp",
      "b evaluate:receive 1 message tcp",
      "b service:evaluate 2 message tcp",
      "b service:evaluate 1 message tcp",
      "b event 2 message tcp",
      "b event 1 message tcp",
    ]);
  });

  it("is kept by what a handler sends to its own node, which is handled after it", async () => {
    const { a } = pair();
    const log: string[] = [];
    const send = (data: string) => a.services.send({ services: ["a"], self: true, data });
    a.services.receiver.onMessage(({ data }) => {
      log.push(`begin ${data}`);
      if (String(data) === "1") void Promise.all([send("2"), send("3")]);
      log.push(`end ${data}`);
    });
    await send("1");
    await settle();
    await send("4");
    await settle();
    expect(log).toEqual(["1", "2", "3", "4"].flatMap((data) => [`begin ${data}`, `end ${data}`]));
  });

  it("is kept by answers to what a node sends to itself", async () => {
    const { a } = pair();
    const box: ServiceMessage[] = [];
    a.services.receiver.onMessage((message) => void box.push(message));
    a.services.hook("event", ({ data }, { kind, answer }) =>
      kind === "reply" ? undefined : answer(`answer ${data}`),
    );
    for (const number of ["4", "5"]) await a.services.send({ services: ["a"], self: true, data: number });
    await settle();
    expect(box.map(({ data }) => data)).toEqual(["answer 4", "answer 5"]);
  });

  it("lets a query and its reply pass the stages that they have", async () => {
    const { a, b } = pair();
    const log: string[] = [];
    b.services.receiver.onQuery(() => "reply");
    for (const [name, { services }] of Object.entries({ a, b }))
      for (const stage of MESSAGE_STAGES)
        services.hook(
          stage,
          {},
          (_: HookPayload, { kind }: HookContext) => void log.push(`${name} ${stage} ${kind}`),
        );
    await a.services.query({ services: ["b"] }).collect();
    expect(log).toEqual([
      "a evaluate:send query",
      "a channel:send query",
      "a protocol:send query",
      "b protocol:receive query",
      "b channel:receive query",
      "b evaluate:receive query",
      "b service:evaluate query",
      "b query query",
      "b evaluate:send reply",
      "b channel:send reply",
      "b protocol:send reply",
      "a protocol:receive reply",
      "a channel:receive reply",
      "a evaluate:receive reply",
    ]);
  });
});

describe("a hook", () => {
  it("changes the data, the ruid, and the channel before it is chosen", async () => {
    const { a, b, box, send } = pair();
    a.services.hook("evaluate:send", ({ data }) => ({ data: `${data}!`, channel: 1, ruid: "r" }));
    b.services.hook("event", ({ data }) => ({ data: Buffer.from(`${data}?`) }));
    await send({ data: "hi" });
    expect(box.map(({ data, channel, ruid }) => [data, channel, ruid])).toEqual([
      [Buffer.from("hi!?"), 1, "r"],
    ]);
  });

  it("is for some channels or protocols alone", async () => {
    const { a, b, send } = pair();
    const log: unknown[] = [];
    b.services.channels.join("news");
    b.services.hook("channel:receive", { channels: [1, "news"] }, ({ channel }) => void log.push(channel));
    b.services.hook("protocol:receive", { protocols: ["ipc"] }, () => void log.push("ipc"));
    for (const channel of [0, 1, 2, "news"]) await send({ channel });
    a.protocol = "ipc";
    await send();
    expect(log).toEqual([1, "news", "ipc"]);
  });

  it("answers a query, a message, and what is to be sent", async () => {
    const { a, b, box, send } = pair();
    const back: unknown[] = [];
    a.services.receiver.onMessage(({ data, ruid, channel }) => void back.push([data, ruid, channel]));
    const remove = b.services.hook("query", (_, { answer }) => answer("from the hook"));
    expect((await a.services.query({ services: ["b"] }).collect()).replies[0]?.data).toBe("from the hook");
    remove();
    b.services.hook("service:evaluate", { channels: [2] }, ({ data }, { answer }) => answer(`${data}: no`));
    await send({ channel: 2, ruid: "r7", data: "may I" });
    expect([back, box]).toEqual([[["may I: no", "r7", 2]], []]);
    a.services.hook("evaluate:send", { channels: [1] }, (_, { answer }) => answer(new Uint8Array([1])));
    const { sent, means, answer } = await a.services.send({ services: ["b"], channel: 1 });
    expect([sent, means, answer]).toEqual([[], "none", Buffer.from([1])]);
    const cached = await a.services.query({ services: ["b"], channel: 1 }).collect();
    expect(cached.replies.map(({ service, data }) => [service.name, data])).toEqual([
      ["b@here", Buffer.from([1])],
    ]);
  });

  it("answers no answer: two that answer everything end", async () => {
    const { a, b, box, send } = pair();
    const back: unknown[] = [];
    a.services.receiver.onMessage(({ data }) => void back.push(data));
    for (const { services } of [a, b])
      services.hook("event", ({ data }, { answer }) => answer(`re: ${data}`));
    await send({ data: "hi" });
    expect([a.sent.length, b.sent.length, box, back]).toEqual([1, 1, [], []]);
    expect(
      a.events.map((event) => event.type === "hook:failed" && (event.error.cause as Error).message),
    ).toEqual(["a reply is not answered"]);
  });

  it("vetoes where it answers with bytes whose memory was transferred", async () => {
    const { a, b, box, send } = pair();
    const transferred = (): Buffer => {
      const memory = new ArrayBuffer(3);
      const bytes = Buffer.from(memory);
      structuredClone(memory, { transfer: [memory] });
      return bytes;
    };
    const sent = a.services.send({ services: ["b"], data: transferred() });
    await expect(sent).rejects.toMatchObject({ code: "EINVAL" });
    b.services.hook("event", (_, { answer }) => answer(transferred()));
    await a.services.send({ services: ["b"], broadcast: true, data: "answer" });
    await send({ data: "answer" });
    expect(b.events.map(({ type }) => type)).toEqual(["hook:failed", "hook:failed"]);
    expect([box, a.services.stats().received]).toEqual([[], 0]);
  });

  it("vetoes, and its reason is an event at the sender where it gives one", async () => {
    const { a, b, box, send } = pair();
    const remove = b.services.hook("event", ({ data }, { veto }) => {
      if (data === "known") veto("not before noon");
      throw new Error("a secret");
    });
    await a.services.send({ services: ["b"], channel: 2, ruid: "r1", data: "known" });
    await send({ data: "unknown" });
    expect(box).toEqual([]);
    expect(a.events).toEqual([
      { type: "message:vetoed", member: b.service, channel: 2, ruid: "r1", reason: "not before noon" },
    ]);
    expect(b.events.map((event) => event.type)).toEqual(["hook:failed", "hook:failed"]);
    expect(b.services.stats()).toMatchObject({ vetoed: 2, received: 0 });
    remove();

    b.services.receiver.onQuery(() => "x");
    b.services.hook("query", ({ data }, { veto }) => {
      if (data === "why") veto("closed");
      throw new Error("a secret");
    });
    const [why, silent] = await Promise.all(
      ["why", "?"].map((data) => a.services.query({ services: ["b"], data }).collect()),
    );
    expect(why?.failed[0]?.error.message).toBe("b@here: a hook vetoed the query: closed");
    expect(silent?.failed[0]?.error.message).toBe("b@here: a hook vetoed the query");
  });

  it("vetoes what is to be sent, and the caller has the reason", async () => {
    const { a } = pair();
    const remove = a.services.hook("channel:send", (_, { veto }) => veto("quiet hours"));
    await expect(a.services.send({ services: ["b"] })).rejects.toMatchObject({
      code: "ERR_VETOED",
      stage: "channel:send",
      reason: "quiet hours",
    });
    const { failed } = await a.services.query({ services: ["b"] }).collect();
    expect(failed[0]?.error.message).toBe("vetoed by a hook of channel:send: quiet hours");
    remove();
    a.services.hook("protocol:send", { protocols: ["tcp"] }, () => {
      throw new Error("no tcp");
    });
    const result = await a.services.send({ services: ["b"] });
    expect([result.sent, result.failed[0]?.error.code]).toEqual([[], "ERR_VETOED"]);
  });

  it.each([
    ["a text", () => "text"],
    ["an array", () => []],
    ["wrong data", () => ({ data: 7 })],
    ["another channel", () => ({ channel: 1 })],
    ["a ruid that is too long", () => ({ ruid: "x".repeat(129) })],
    ["a promise", async () => undefined],
    ["a promise that rejects", () => Promise.reject(new Error("later"))],
    ["a promise that throws", () => new BrokenPromise(() => undefined)],
  ])("that gives %s is a veto", async (_, hook) => {
    const { b, box, send } = pair();
    b.services.hook("event", hook as never);
    await send();
    expect([box, b.events.map(({ type }) => type)]).toEqual([[], ["hook:failed"]]);
  });

  it("cuts a long reason at a whole character", async () => {
    const { a, b, send } = pair();
    b.services.hook("event", (_, { veto }) => veto("ü€𝄞".repeat(100)));
    await send();
    const [event] = a.events;
    const reason = event?.type === "message:vetoed" ? event.reason : "";
    expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(256);
    expect("ü€𝄞".repeat(100).startsWith(reason)).toBe(true);
    expect(Buffer.byteLength(reason)).toBeGreaterThan(250);
  });

  it("is refused for a stage, an option or a function that there is not", () => {
    const { services } = pair().a;
    expect(() => services.hook("evaluate:sent" as never, {}, () => undefined)).toThrow("evaluate:send");
    expect(() => services.hook("event", "code" as never)).toThrow("a hook must be a function");
    expect(() => services.hook("event", { channels: [] }, () => undefined)).toThrow("at least one");
    expect(() => services.hook("event", { channel: [1] } as never, () => undefined)).toThrow("channel");
    expect(() => services.hook("event", { protocols: ["tcp"] }, () => undefined)).toThrow("has no protocols");
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
      expect(() => services.hook("protocol:send", options as never, () => undefined)).toThrow(
        expect.objectContaining({ code: "EINVAL" }),
      );
    expect(() => services.hook("protocol:receive", { protocols: ["icp"] }, () => undefined)).toThrow(
      'got "icp"; did you mean ipc?',
    );
    expect(() => services.hook("service:lost" as never, { channels: [1] }, () => undefined)).toThrow(
      "has no channels",
    );
    // None of them was added.
    for (let i = 0; i < 256; i++) services.hook("event", () => undefined);
    expect(() => services.hook("event", () => undefined)).toThrow("256");
  });
});

describe("a hook of a protocol", () => {
  const reversed: MessageHook = ({ data }) => ({ data: [...String(data)].reverse().join("") });

  it("is called for the first message, too, when the link stands by which it goes", async () => {
    const { world, a, b, box } = pair();
    const c = world.add("c");
    const other: unknown[] = [];
    c.services.receiver.onMessage(({ data }) => void other.push(data));
    a.links.set(b.service.id, "");
    a.links.set(c.service.id, "ipc");
    a.services.hook("protocol:send", { protocols: ["tcp"] }, reversed);
    b.services.hook("protocol:receive", { protocols: ["tcp"] }, reversed);
    const calls: unknown[] = [];
    a.services.hook("protocol:send", (_, { protocol, services }) => void calls.push([protocol, services]));
    for (const data of ["secret 1", "secret 2"]) {
      const { sent, failed } = await a.services.send({ services: ["b", "c"], data });
      expect([sent.length, failed]).toEqual([2, []]);
    }
    await settle();
    const toB = a.sent.filter(({ to }) => to === b.service.id);
    expect(toB.map(({ item }) => item.includes("secret"))).toEqual([false, false]);
    expect([box.map(({ data }) => data), other]).toEqual([
      ["secret 1", "secret 2"],
      ["secret 1", "secret 2"],
    ]);
    // Once for each protocol; that of the first message to b is the one its link is opened by.
    expect(calls).toEqual([
      ["tcp", [b.service]],
      ["ipc", [c.service]],
      ["tcp", [b.service]],
      ["ipc", [c.service]],
    ]);
  });

  it("is for a reply that of the protocol by which the reply goes, whatever its query came by", async () => {
    const { a, b } = pair();
    b.services.receiver.onQuery(({ data, protocol }) => `${data} by ${protocol}`);
    // With a link that has to be made first, too.
    b.ways = ["ipc"];
    b.links.set(a.service.id, "");
    const kinds: unknown[] = [];
    b.services.hook("protocol:send", { protocols: ["ipc"] }, ({ data }, { kind }) => {
      kinds.push(kind);
      return { data: `wrapped ${data}` };
    });
    a.services.hook("protocol:receive", { protocols: ["ipc"] }, ({ data }) => {
      if (!String(data).startsWith("wrapped ")) throw new Error("not wrapped");
      return { data: String(data).slice("wrapped ".length) };
    });
    const { replies } = await a.services.query({ services: ["b"], data: "hi" }).collect();
    expect([replies[0]?.data, kinds]).toEqual(["hi by tcp", ["reply"]]);
  });

  it("keeps an answer here that no link can be made for, which is a failure", async () => {
    const { a, b, send } = pair();
    b.services.receiver.onQuery(() => "answer");
    b.services.hook("protocol:send", { protocols: ["tcp"] }, () => undefined);
    b.ways = [];
    b.links.set(a.service.id, "");
    const { failed } = await a.services.query({ services: ["b"] }).collect();
    expect(failed[0]?.error.message).toBe("b@here: the handler failed: no link for the answer");
    b.services.hook("event", (_, { answer }) => answer("of a message"));
    await send();
    expect(b.services.stats().refused).toEqual({ "service:reply": 2 });
  });

  it("is called for answers without a link, too, by the protocol that it is opened by", async () => {
    const { a, b } = pair();
    const answers: unknown[] = [];
    a.services.receiver.onMessage(({ data }) => void answers.push(data));
    b.ways = ["ipc", "tcp"];
    b.links.set(a.service.id, "");
    const protocols: string[] = [];
    b.services.hook("protocol:send", (_, { protocol }) => void protocols.push(protocol));
    b.services.hook("event", { channels: [1] }, ({ data }, { answer }) => answer(`re ${data}`));
    b.services.receiver.onQuery(({ data }) => `re ${data}`);
    const query = a.services.query({ services: ["b"], data: "?", timeout: -1 });
    for (const data of ["1", "2"]) await a.services.send({ services: ["b"], channel: 1, data });
    expect((await query.collect()).replies.map(({ data }) => data)).toEqual(["re ?"]);
    await settle();
    expect([answers, protocols]).toEqual([
      ["re 1", "re 2"],
      ["ipc", "ipc", "ipc"],
    ]);
  });

  it("keeps a message here that no link can be made for, and the others get it", async () => {
    const { world, a, b } = pair();
    const c = world.add("c");
    const got = new Promise<unknown>((resolve) => c.services.receiver.onMessage(({ data }) => resolve(data)));
    a.ways = [];
    a.links.set(b.service.id, "");
    a.services.hook("protocol:send", () => undefined);
    const { sent, failed } = await a.services.send({ services: ["b", "c"], data: "hi" });
    expect(await got).toBe("hi");
    expect(sent).toEqual([c.service]);
    expect(failed).toMatchObject([{ service: b.service, error: { code: "EHOSTUNREACH" } }]);
    expect(a.sent.map(({ to }) => to)).toEqual([c.service.id]);
  });
});

describe("hooks of services", () => {
  it("keep a service out that validate vetoes, both ways, until its details change", async () => {
    const { a, b, box, send } = pair();
    let asked = 0;
    b.services.hook("service:validate", (service) => {
      asked += 1;
      if (service.name.startsWith("a@")) throw new Error("not on the list");
    });
    for (let i = 0; i < 3; i++) await send();
    expect([box.length, asked, b.services.stats().refused]).toEqual([0, 1, { "service:validate": 3 }]);
    const { failed } = await b.services.send({ services: ["a"] });
    expect(failed[0]?.error).toMatchObject({ code: "ERR_VETOED", stage: "service:validate" });
    b.services.onMember("changed", a.service);
    await send();
    expect([box.length, asked]).toEqual([0, 2]);
  });

  it("keep a service out where they return a promise", async () => {
    const { b, box, send } = pair();
    b.services.hook("service:validate", () => Promise.reject(new Error("later")));
    await send();
    expect([box.length, b.services.stats().refused]).toEqual([0, { "service:validate": 1 }]);
    expect(b.events).toMatchObject([{ type: "hook:failed", error: { cause: { code: "EINVAL" } } }]);
  });

  it("are called when services are discovered, lost and found", async () => {
    const { a, b, box, send } = pair();
    const log: string[] = [];
    for (const stage of ["service:discovered", "service:lost", "service:found"] as const)
      b.services.hook(stage, (service) => {
        log.push(`${stage} ${service.name}`);
        if (stage !== "service:found") throw new Error("no");
      });
    b.services.onMember("discovered", a.service);
    await settle();
    await send({ data: "unwanted" });
    b.services.onMember("lost", a.service);
    b.services.onMember("found", a.service);
    await settle();
    await send({ data: "welcome" });
    expect(box.map(({ data }) => data)).toEqual(["welcome"]);
    expect(log).toEqual(["service:discovered a@here", "service:lost a@here", "service:found a@here"]);
    expect(b.events.map(({ type }) => type)).toEqual(["hook:failed", "hook:failed"]);
  });
});

describe("hooks that decide about a service whose details have not come", () => {
  function newMember() {
    const world = new ServiceWorld();
    const [a, b] = [world.add("a", ["billing"]), world.add("b")];
    const box: ServiceMessage[] = [];
    b.services.receiver.onMessage((message) => void box.push(message));
    return { a, b, box, come: b.hideDetails(a.service) };
  }

  it("see it with these: what it sends by datagram before they come is dropped", async () => {
    const { a, b, box, come } = newMember();
    const seen: string[] = [];
    b.services.hook("service:validate", ({ tags }) => {
      seen.push(tags.join());
      if (!tags.includes("billing")) throw new Error("not on the list");
    });
    const early = await a.services.send({ services: ["b"], broadcast: true, data: "early" });
    await settle();
    expect([early.means, seen, box.length]).toEqual(["datagram", [], 0]);
    expect(b.services.stats().refused).toEqual({ "datagram:details": 1 });
    come();
    await a.services.send({ services: ["b"], broadcast: true, data: "late" });
    await settle();
    expect([seen, box.map(({ data }) => data)]).toEqual([["billing"], ["late"]]);
  });

  it("keep back what is sent to it", async () => {
    const { a, b, come } = newMember();
    b.services.hook("service:discovered", () => {
      throw new Error("unwanted");
    });
    const error = async (broadcast: boolean): Promise<unknown> =>
      (await b.services.send({ services: ["a"], broadcast })).failed[0]?.error;
    for (const broadcast of [true, false])
      expect(await error(broadcast)).toMatchObject({
        code: "EHOSTUNREACH",
        message: "the details of a@here, which hooks decide by, have not come",
      });
    come();
    b.services.onMember("discovered", a.service);
    expect(await error(true)).toMatchObject({ code: "ERR_VETOED", stage: "service:discovered" });
    expect([b.multicasts, b.sent]).toEqual([0, []]);
  });
});
