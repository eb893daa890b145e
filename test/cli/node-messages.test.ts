/** `shoal node pub` and `shoal node sub`: messages through running nodes. */
import { EventEmitter, on } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { KeptLog, type MessagingNode, NodeMessages } from "../../src/cli/node-messages.js";
import { run as runCommand } from "../../src/cli/program.js";
import type { ClusterMessage, MessageClient } from "../../src/cluster/index.js";
import { Envelope, Router } from "../../src/index.js";
import { type Command, fails, run, start, startWithout } from "./in-process.js";
import { newCluster, replyTo } from "./nodes.js";
import { file, ipc, useFolder, useRuntimeFolder, written } from "./support.js";

useFolder();
useRuntimeFolder();

let cluster = "";

beforeEach(() => {
  cluster = newCluster();
});

async function pair(): Promise<[Command, Command]> {
  const [a, b] = ["a", "b"].map((name) =>
    startWithout("node", "start", "--name", name, "--cluster", cluster),
  ) as [Command, Command];
  await Promise.all([a.until("stdout", /b@\S+ joined/), b.until("stdout", /a@\S+ joined/)]);
  return [a, b];
}

/** A subscriber through node b that the others know of. */
async function subscriber(...args: string[]): Promise<Command> {
  const command = startWithout("node", "sub", ...args, "--node", "b");
  await command.until("stderr", /subscribed, until a signal/);
  return command;
}

describe("shoal node pub and sub", () => {
  it("carry lines from one node's publisher to another one's subscriber, a message once", async () => {
    await pair();
    const sub = await subscriber("plant/+/temp", "plant/7/#", "--count", "5");
    const one = await run("", "node", "pub", "plant/7/temp", "21.5", "--node", "a");
    expect(one.stderr).toMatch(/ info shoal node pub: published 1 message, 1 copy\n$/);
    expect(one.code).toBe(0);
    expect((await run("x\ny z\n\n", "node", "pub", "plant/8/temp", "--node", "a")).code).toBe(0);
    const lines = '{"topic":"other","data":"?"}\n{"topic":"plant/7/é","data":{"base64":"/w=="}}';
    expect((await run(lines, "node", "pub", "--json", "--node", "a")).code).toBe(0);
    const { code, stdout } = await sub.ended;
    expect(code).toBe(0);
    const text = "plant/7/temp 21.5\nplant/8/temp x\nplant/8/temp y z\nplant/8/temp \nplant/7/é ";
    expect(stdout).toEqual(Buffer.concat([Buffer.from(text), Buffer.of(0xff, 0x0a)]));
  });

  it("print with --json what --json reads, until a signal", async () => {
    await pair();
    const sub = await subscriber("#", "--json");
    const lines =
      '{"topic":"a","data":"text \\" é"}\n{"topic":"b/c","data":{"base64":"/w=="}}\n{"topic":"d","data":""}\n';
    expect((await run(lines, "node", "pub", "--json", "--node", "b")).code).toBe(0);
    await sub.until("stdout", /"d"/);
    expect(String((await sub.stop()).stdout)).toBe(lines);
  });

  it("are what routes lists, by filter, and those that match a topic", async () => {
    await pair();
    const subs = await Promise.all([subscriber("plant/+/temp", "z/#"), subscriber("z/#")]);
    const own = startWithout("node", "sub", "plant/#", "--node", "a");
    await own.until("stderr", /subscribed, until a signal/);
    const all = await run("", "node", "routes", "--node", "a");
    expect(String(all.stdout)).toMatch(/^plant\/# a@\S+\nplant\/\+\/temp b@\S+\nz\/# b@\S+\n$/);
    expect(await replyTo("routes", "plant/7/temp", "--node", "b")).toMatchObject({
      routes: [{ filter: "plant/#" }, { filter: "plant/+/temp" }],
    });
    expect((await run("", "node", "routes", "a/#", "--node", "b")).code).toBe(2);
    for (const sub of [...subs, own]) sub.signal("SIGTERM");
    await Promise.all([...subs, own].map(({ ended }) => ended));
    expect(String((await run("", "node", "routes", "--node", "b")).stdout)).not.toContain("z/#");
  });

  it("end with an exit code that is not 0 for what is not a topic, a line or a filter", async () => {
    await pair();
    const sub = await subscriber("ok", "--count", "1");
    const ok = '{"topic":"ok","data":"1"}\n{"topic":"a/#","data":"2"}\n';
    const refused: [number, RegExp, string, ...string[]][] = [
      [2, /wildcards/, "", "pub", "a/+", "x"],
      [2, /at least one character/, "", "pub", "", "x"],
      [2, /expected a topic/, "", "pub"],
      [2, /each line has its topic/, "", "pub", "a", "--json"],
      [1, /line 2: A topic must have no wildcards/, ok, "pub", "--json"],
      [1, /line 1: A topic must have at least one/, '{"topic":"","data":"2"}\n', "pub", "--json"],
      [1, /line 1: expected \{"topic"/, '{"topic":"a"}\n', "pub", "--json"],
      [1, /line 1: expected \{"topic"/, '{"topic":"a","data":"","more":1}\n', "pub", "--json"],
      [1, /line 1: invalid JSON/, "hello\n", "pub", "--json"],
      [1, /at most 65536 bytes as JSON; this one has 70\d\d\d/, `${"x".repeat(70_000)}\n`, "pub", "a"],
      [2, /whole level/, "", "sub", "a/#/b"],
      [2, /shared subscriptions/, "", "sub", "ok", "$share/g/a"],
      [2, /expected a filter/, "", "sub"],
    ];
    for (const [code, why, input, ...args] of refused)
      await fails(code, why, ["node", ...args, "-q", "--node", "a"], input);
    // What was before a line that is not one was published.
    expect(String((await sub.ended).stdout)).toBe("ok 1\n");
  });

  it("give a topic a value with --retain, which --retained prints first, and take it back", async () => {
    await pair();
    const retained = (...lines: string[]) =>
      run(lines.map((line) => `${line}\n`).join(""), "node", "pub", "--json", "--retain", "--node", "a");
    expect((await retained('{"topic":"v/1","data":"one"}', '{"topic":"v/2","data":"two"}')).code).toBe(0);
    await run("", "node", "pub", "v/1", "not a value", "--node", "a");
    expect((await run("", "node", "pub", "v/2", "", "--retain", "--node", "a")).code).toBe(0);
    const [first, plain] = await Promise.all([
      subscriber("v/#", "--retained", "--count", "2"),
      subscriber("v/#"),
    ]);
    expect((await run("", "node", "pub", "v/3", "three", "--node", "a")).code).toBe(0);
    expect(String((await first.ended).stdout)).toBe("v/1 one\nv/3 three\n");
    await plain.until("stdout", /three/);
    expect(String(plain.stdout)).toBe("v/3 three\n");
  });

  it("a node logs that it has no ipc socket for messages", async () => {
    const config = written(`name: a\ncluster: ${cluster}\nmessaging: { protocols: [ipc, tcp] }\n`);
    const { TMPDIR } = process.env;
    vi.stubEnv("TMPDIR", file());
    onTestFinished(() => void vi.stubEnv("TMPDIR", TMPDIR));
    const node = startWithout("node", "start", "--config", config);
    await node.until("stdout", /ready/);
    await node.until("stderr", /others do not reach this node's messages by ipc: .*ENOENT/);
  });

  it("end with the node", async () => {
    const [, b] = await pair();
    const sub = await subscriber("#");
    b.signal("SIGTERM");
    await sub.fails(/the node has ended/);
  });
});

/** A control socket with these replies to commands, none for `null`; it ends its connections when it is asked once more. */
async function controlSocket(...replies: (object | null)[]) {
  const endpoint = ipc();
  const router = new Router();
  onTestFinished(async () => void (await router.close()));
  await router.bind(endpoint);
  const asked: string[] = [];
  const commands = new EventEmitter();
  const ended = (async () => {
    for await (const message of router) {
      const { envelope, body } = Envelope.parse(message);
      const { command } = JSON.parse(String(body[0])) as { command: string };
      const reply = replies[asked.length];
      asked.push(command);
      commands.emit("asked", asked.length);
      if (reply === undefined) break;
      if (reply === null) continue;
      await router.reply(envelope, JSON.stringify({ ok: true, command, ...reply }));
    }
    await router.close();
  })();
  return { endpoint, asked, commands, ended, close: () => router.close() };
}

describe("a command whose connection to the node ends", () => {
  const SUBSCRIBED = { session: 1, ready: true };
  // Not by the end of its time-out.
  const HOUR = ["--timeout", "3600000"];

  it.each([
    ["sub", ["t"], [SUBSCRIBED, { messages: [], next: 0, missed: 0 }]],
    ["watch", [], [{ events: [], next: 1, missed: 0 }]],
    ["status", [], []],
  ])("%s fails, and says why, while it waits for a reply", async (name, args, replies) => {
    const { endpoint, ended } = await controlSocket(...replies);
    const command = start("node", name, ...args, "--control", endpoint, ...HOUR).end();
    await command.fails(`the connection to ${endpoint} has ended`);
    await ended;
  });

  it.each([
    ["pub", ["t"], { nodes: [1] }, "published 1 message"],
    ["request", ["upper"], { reply: "yes" }, "yes"],
  ])("%s fails, and says why, while it waits for a line", async (name, args, reply, printed) => {
    const { endpoint, asked, close } = await controlSocket(reply);
    const command = start("node", name, ...args, "--control", endpoint, ...HOUR);
    command.write("1\n");
    await expect.poll(() => asked).toEqual([name]);
    if (name === "request") await command.until("stdout", /\n/);
    await close();
    await command.fails(`the connection to ${endpoint} has ended`);
    expect(command.stdout + command.stderr).toContain(printed);
  });
});

it.each<[string, object]>([
  ["no messages", {}],
  ["no message in a place", { messages: [null] }],
  ["a topic that is a number", { messages: [{ topic: 7, data: "x" }] }],
  ["data of another form", { messages: [{ topic: "t", data: { base64: 7 } }] }],
])("a program that answers in place of a node with %s fails shoal node sub, which says so", async (_, reply) => {
  const replies = [{ session: 1, ready: true }, { next: 1, missed: 0, ...reply }, {}];
  const { endpoint } = await controlSocket(...replies);
  await fails(1, "its reply is not a node's", ["node", "sub", "t", "-q", "--control", endpoint]);
});

describe("a reader that goes away", () => {
  /**
   * A command whose output fails with its first line: at once, or when the command waits for the reply that does not come.
   *
   * @returns its exit code, and what it logged
   */
  async function unread(error: string, replies: (object | null)[], ...args: string[]) {
    const { endpoint, commands } = await controlSocket(...replies);
    const waits = replies.indexOf(null) === -1 ? undefined : untilAsked(commands, replies.indexOf(null) + 1);
    let logged = "";
    const own = {
      stdin: args.includes("-") ? new PassThrough().end("1\n2\n3\n") : undefined,
      stdout: new Writable({
        write: (_chunk, _encoding, done) => {
          const fault = Object.assign(new Error(`write ${error}`), { code: error });
          if (waits === undefined) done(fault);
          else void waits.then(() => done(fault));
        },
      }),
      stderr: new Writable({
        write: (chunk, _encoding, done) => {
          logged += chunk;
          done();
        },
      }),
      signals: new EventEmitter(),
    };
    const words = args.filter((each) => each !== "-");
    const at = ["-q", "--control", endpoint, "--timeout", "3600000"];
    return [await runCommand(["node", "shoal", "node", ...words, ...at], own), logged];
  }

  async function untilAsked(commands: EventEmitter, wanted: number): Promise<void> {
    for await (const [asked] of on(commands, "asked")) if (asked === wanted) return;
  }

  const message = { messages: [{ topic: "t", data: "1" }], next: 1, missed: 0 };
  const response = { reply: "yes" };
  const event = { events: [{ event: "left", name: "b" }], next: 2 };
  const commands: [string, string[], (object | null)[]][] = [
    ["request of lines", ["request", "upper", "-"], [response, response, response]],
    ["request of lines, of which the second waits", ["request", "upper", "-"], [response, null]],
    ["request", ["request", "upper", "?"], [response]],
    ["status --json", ["status", "--json"], [{}]],
    ["sub", ["sub", "t"], [{ session: 1, ready: true }, message, null, {}]],
    ["watch", ["watch"], [{ events: [], next: 1 }, event, null]],
  ];

  it.each(commands)("ends %s quietly with exit code 0", async (_, args, replies) => {
    expect(await unread("EPIPE", replies, ...args)).toEqual([0, ""]);
  });

  it.each(commands)("is not a full disk, which is a failure of %s", async (_, args, replies) => {
    const failure = expect.stringMatching(/cannot write standard output: write ENOSPC/);
    expect(await unread("ENOSPC", replies, ...args)).toEqual([1, failure]);
  });
});

describe("what a node keeps for subscribers", () => {
  function messages() {
    const handlers: ((message: ClusterMessage) => void)[] = [];
    let closed = 0;
    const node = new NodeMessages({
      publish: () => Promise.resolve(0),
      createClient: () =>
        ({
          subscribe: (_: string, __: object, handler: (message: ClusterMessage) => void) => {
            handlers.push(handler);
            return { ready: Promise.resolve() };
          },
          close: () => void closed++,
        }) as unknown as MessageClient,
    } as unknown as MessagingNode);
    const arrive = (topic: string, data: Buffer) => handlers[0]?.({ topic, data } as ClusterMessage);
    return { node, arrive, closed: () => closed };
  }

  it("is bounded in messages and bytes, in order, and again until the reader has it", async () => {
    const { node, arrive } = messages();
    const { session } = await node.subscribe(["#"]);
    for (let i = 0; i < 20_000; i++) arrive("t", Buffer.from(`${i}`));
    const first = await node.next(session, 0, 0);
    expect([first.messages.length, first.next, first.missed]).toEqual([16_384, 20_000, 20_000 - 16_384]);
    expect(first.messages.at(-1)).toEqual({ topic: "t", data: "19999" });
    // The reply was lost.
    expect(await node.next(session, 0, 0)).toEqual(first);
    const none = node.next(session, first.next, 10_000);
    arrive("t", Buffer.from("then"));
    expect((await none).messages).toEqual([{ topic: "t", data: "then" }]);
    for (let i = 0; i < 20; i++) arrive("t", Buffer.alloc(1_048_000));
    const large = await node.next(session, first.next + 1, 0);
    expect([large.messages.length, large.missed]).toEqual([1, 12]);
    node.end();
    await expect(node.next(session, large.next, 0)).rejects.toMatchObject({ code: "EFSM" });
  });

  it("is of so many, and ends with its client", async () => {
    const { node, closed } = messages();
    const sessions = await Promise.all(Array.from({ length: 16 }, () => node.subscribe(["a"])));
    await expect(node.subscribe(["a"])).rejects.toMatchObject({ code: "ERR_TOO_MANY_PENDING" });
    node.endSession(sessions[3]?.session as number);
    node.endSession(sessions[3]?.session as number);
    expect(closed()).toBe(1);
    await node.subscribe(["a"]);
    const waiting = node.next(sessions[0]?.session as number, 0, 60_000);
    node.end();
    expect((await waiting).ended).toBe(true);
    expect(closed()).toBe(17);
  });

  it("is all there for a reader that knew an earlier run of the node, and the first entry if it waits", async () => {
    const log = new KeptLog<string>(10, 1_000);
    const waiting = log.after(7, 60_000);
    log.add("a", 1);
    const all = { entries: ["a"], next: 1, missed: 0 };
    expect([await waiting, await log.after(7, 0)]).toEqual([all, all]);
  });
});
