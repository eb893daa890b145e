/** The commands of a running node as an operator uses them: the node is found by itself, mistakes included. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, cpSync, mkdirSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { NODE_COMMANDS, TIMEOUT } from "../../src/cli/node-commands.js";
import { type ClusterNodeEntry, register } from "../../src/cluster/registry.js";
import { Dealer } from "../../src/index.js";
import { QueueProxy } from "../../src/proxy/index.js";
import { LONG } from "../support/long.js";
import { missing } from "../support/peers.js";
import { type Command, fails as failsWith, keygen, run, startWithout } from "./in-process.js";
import { newCluster, readyNode, replyTo } from "./nodes.js";
import { file, ipc, useFolder, useRuntimeFolder } from "./support.js";

useFolder();
useRuntimeFolder();

let runtime = "";
let cluster = "";

beforeEach(() => {
  runtime = process.env.SHOAL_RUNTIME_DIR as string;
  cluster = newCluster();
});

/** A node as this host's registry has it. */
function entryOf(control: readonly string[]): ClusterNodeEntry {
  const own = { id: randomBytes(16).toString("hex"), name: `${cluster}@host`, cluster, control };
  return { ...own, address: "127.0.0.1:7946", port: 7946, pid: process.pid, since: 1_000 };
}

async function show(entry: ClusterNodeEntry): Promise<void> {
  onTestFinished(await register(() => entry));
}

/** A node that the registry has, and that does not answer. */
async function registerSilent(): Promise<void> {
  const path = join(runtime, "0123456789ab.sock");
  mkdirSync(runtime, { mode: 0o700 });
  const silent = createServer(() => undefined).listen(path);
  onTestFinished(() => void silent.close());
  await once(silent, "listening");
  await show(entryOf([`ipc://${path}`]));
}

/** Other tests may run nodes of this user at the same time. */
const NONE = /no node of this user on this host takes commands/;

const node = (name: string, ...args: string[]): Promise<Command> =>
  readyNode("--name", name, "--cluster", cluster, ...args);

async function pair(): Promise<[Command, Command]> {
  const nodes = await Promise.all([
    node("a", "--tag", "eu", "--advertise", "billing=tcp://127.0.0.1:5555"),
    node("b"),
  ]);
  await Promise.all([nodes[0].until("stdout", /b@\S+ joined/), nodes[1].until("stdout", /a@\S+ joined/)]);
  return nodes;
}

const fails = (why: RegExp, ...args: string[]) => failsWith(1, why, ["node", ...args]);
/** The exit code is 2: the node calls an argument wrong. */
const isRefused = (why: RegExp, ...args: string[]) => failsWith(2, why, ["node", ...args]);

describe("which node is meant", () => {
  it("the only one that runs; its socket and the folder are the owner's alone", async () => {
    await fails(NONE, "status");
    await node("a");
    const [name, ...others] = readdirSync(runtime).filter((each) => each.endsWith(".sock"));
    expect(others).toEqual([]);
    expect(statSync(runtime).mode & 0o777).toBe(0o700);
    expect(statSync(join(runtime, name as string)).mode & 0o077).toBe(0);
    expect((await replyTo("status")).name).toMatch(/^a@/);
  });

  it("of two, the one of --node; without it both are listed", async () => {
    await pair();
    await fails(/2 nodes run on this host: .*[ab]@.*choose one with --node NAME/, "status");
    await fails(/called c; there are/, "status", "--node", "c");
    expect((await replyTo("status", "--node", "b")).name).toMatch(/^b@/);
  });

  it("of --node, one that stands still by its name in the registry: its reply is waited for", async () => {
    await registerSilent();
    await node("a");
    await fails(/no reply came within 300 ms/, "status", "--node", cluster, "--timeout", "300");
    expect((await replyTo("status", "--node", "a")).name).toMatch(/^a@/);
    const nowhere = ["--control", "tcp://127.0.0.1:1", "--timeout", "300"];
    await fails(/tcp:\/\/127\.0\.0\.1:1.*ECONNREFUSED/, "status", ...nowhere);
  });

  it("none that takes commands: the error names those that run", async () => {
    await show(entryOf([]));
    await fails(/takes commands; there are \S+ \(takes no commands\);/, "request", "upper", "x");
  });

  it("one that is stopped has the time of --wait for its reply, and a second more", async () => {
    await registerSilent();
    await fails(/no reply came within 1001 ms/, "request", "upper", "x", "--wait", "1");
  });

  it("none in a folder that others can enter, or that is a link: nodes do without, and say so", async () => {
    mkdirSync(runtime);
    chmodSync(runtime, 0o755);
    const a = await node("a");
    expect(a.stderr).toMatch(/no control socket: others can enter the folder .* \(mode 755\)/);
    await fails(NONE, "status");
    process.env.SHOAL_RUNTIME_DIR = file();
    mkdirSync(`${process.env.SHOAL_RUNTIME_DIR}-real`, { mode: 0o700 });
    symlinkSync(`${process.env.SHOAL_RUNTIME_DIR}-real`, process.env.SHOAL_RUNTIME_DIR);
    await fails(NONE, "status");
  });

  it("none where its path is too long: nodes do without, and say so; one that was asked for is an error", async () => {
    const long = join(file(), "d".repeat(90));
    process.env.SHOAL_RUNTIME_DIR = long;
    const a = await node("a");
    expect(a.stderr).toMatch(/no control socket: .* an ipc path has at most 107 bytes/);
    await isRefused(/at most 107 bytes/, "start", "--name", "b", "--control", `ipc://${long}/b`);
  });

  it("not a proxy, whose control socket has other commands", async () => {
    const control = ipc();
    const any = { bind: ["tcp://127.0.0.1:*"] };
    await using proxy = new QueueProxy({ frontend: any, backend: any, control: { bind: [control] } });
    await proxy.start();
    await fails(/has no command clients: it is a proxy's/, "clients", "--control", control);
    await fails(/not a node's control socket/, "status", "--control", control);
  });

  it("tcp elsewhere only with keys; who has the node's certificate is let in, others are not", async () => {
    await isRefused(/anybody who reaches/, "start", "--name", "a", "--control", "tcp://0.0.0.0:*");
    const [own, other] = [await keygen(), await keygen()];
    const args = ["--control", "tcp://0.0.0.0:*", "--control-curve-certificate", own.secretFile];
    const a = await node("a", ...args);
    const [, port] = await a.until("stderr", /control listening at tcp:\/\/\S+:(\d+)/);
    const control = ["--control", `tcp://127.0.0.1:${port}`];
    expect((await replyTo("status", ...control, "--curve-certificate", own.secretFile)).name).toMatch(/^a@/);
    await fails(/./, "status", ...control, "--curve-certificate", other.secretFile, "--timeout", "500");
    const plain = ["status", ...control, "--timeout", "2000"];
    await fails(/no reply came within 2000 ms \(tcp:.*: the peer uses the mechanism CURVE/, ...plain);
  });
});

describe("what an operator does", () => {
  it("sees who runs and who stopped, removes and admits", async () => {
    const [a, b] = await pair();
    const at = ["--node", "a"];
    const { runningNodes, stoppedNodes, state, members } = await replyTo("status", ...at);
    expect(runningNodes).toEqual([expect.stringMatching(/^a@/), expect.stringMatching(/^b@/)]);
    expect([stoppedNodes, state]).toEqual([[], "running"]);
    expect(members).toMatchObject([
      { self: true, state: "running", tags: ["eu"], endpoints: { billing: ["tcp://127.0.0.1:5555"] } },
      { state: "running", endpoints: {} },
    ]);

    await isRefused(/a@\S+ is this node itself: it leaves by "shoal node leave"/, "remove", "a", ...at);
    await fails(/no member is called "nobody"/, "remove", "nobody", ...at);
    await fails(/b is not removed/, "admit", "b", ...at);
    await fails(/in no minority/, "heal", ...at);
    const { code, stderr } = await run("", "node", "remove", "b", ...at);
    expect(stderr).toMatch(/ info shoal node remove: removed b@\S+\n$/);
    expect(code).toBe(0);
    await fails(/b@\S+ is removed already/, "remove", "b", ...at);
    const text = String((await run("", "node", "status", ...at)).stdout);
    expect(text).toMatch(
      /^RUNNING NODES .* ADVERTISES\na@\S+ +running \(this node\).* eu +billing\nSTOPPED NODES.*\nb@\S+ +removed/m,
    );
    await b.until("stdout", /b@\S+ is removed/);
    expect(await replyTo("status", "--node", "b")).toMatchObject({ state: "removed" });
    expect(await run("", "node", "admit", "b", ...at)).toMatchObject({ code: 0 });
    await a.until("stdout", /b@\S+ joined[\s\S]*b@\S+ (?:joined|is back)/);
  });

  it("drains a node, which the others see, and ends it by leave", async () => {
    const [a, b] = await pair();
    expect(await run("", "node", "drain", "--node", "b")).toMatchObject({ code: 0 });
    await a.until("stdout", /b@\S+ is draining/);
    expect(await replyTo("status", "--node", "b")).toMatchObject({ state: "draining" });
    expect(await run("", "node", "leave", "--node", "b")).toMatchObject({ code: 0 });
    expect((await b.ended).code).toBe(0);
    await a.until("stdout", /b@\S+ left/);
    const { stoppedNodes, members } = await replyTo("status");
    expect(stoppedNodes).toEqual([expect.stringMatching(/^b@/)]);
    expect(members).toMatchObject([{ self: true }, { state: "left" }]);
  });

  it("drains and leaves while something is in flight, before the command gives up", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const busy = {
      drain: () => new Promise(() => undefined),
      close: ({ linger }: { readonly linger: number }) => new Promise((end) => setTimeout(end, linger)),
    };
    const replied: string[] = [];
    for (const name of ["drain", "leave"])
      void Promise.resolve(NODE_COMMANDS[name]?.run({ node: busy } as never, {})).then(() =>
        replied.push(name),
      );
    await vi.advanceTimersByTimeAsync(TIMEOUT - 500);
    expect(replied).toEqual(["drain", "leave"]);
  });

  it("joins an address: this node's own, one where nobody is, one of a member", async () => {
    const [, b] = await pair();
    const [, port] = await b.until("stdout", /is ready at 127\.0\.0\.1:(\d+)/);
    const at = ["--node", "b"];
    await isRefused(/is this node itself/, "join", `127.0.0.1:${port}`, ...at);
    await isRefused(/is this node itself/, "join", `localhost:${port}`, ...at);
    const { runningNodes } = await replyTo("join", `127.0.0.1:${port}`, "--node", "a");
    expect(runningNodes).toHaveLength(2);
    await fails(/no node of the cluster \S+ answers at 127\.0\.0\.1:9/, "join", "127.0.0.1:9", ...at);
  });

  it("lists the nodes of the host, and the clients of discovery servers", async () => {
    const folder = file();
    mkdirSync(folder, { mode: 0o700 });
    vi.stubEnv("XDG_RUNTIME_DIR", folder);
    await pair();
    // A node registers in the background: nothing reports when it has.
    const found = async (): Promise<unknown[]> => {
      const { names } = await replyTo("names");
      return (names as { name: string; cluster: string; control: string[] }[])
        .filter((entry) => entry.cluster === cluster)
        .map((entry) => [entry.name[0], entry.cluster, entry.control[0]?.slice(0, 4)])
        .sort();
    };
    await expect.poll(found, { timeout: 10_000 }).toEqual(["a", "b"].map((name) => [name, cluster, "ipc:"]));
    expect(String((await run("", "node", "names")).stdout)).toMatch(/^NODE .*\n[ab]@/s);
    expect(await replyTo("clients", "--node", "a")).toMatchObject({ clients: [], missing: [] });
  });

  it("watches events, and has the end of the node", async () => {
    await node("a");
    const watch = startWithout("node", "watch", "--json", "--node", "a");
    const lines = startWithout("node", "watch", "--node", "a");
    await Promise.all([watch.until("stderr", /watching/), lines.until("stderr", /watching/)]);
    await node("b");
    await Promise.all([watch.until("stdout", /joined/), lines.until("stdout", /joined/)]);
    const [first] = watch.stdout.toString().split("\n");
    expect(JSON.parse(first as string)).toMatchObject({ event: "joined", name: expect.stringMatching(/^b/) });
    expect(lines.stdout.toString()).toMatch(/^\S+Z b@\S+ joined\n/);
    await run("", "node", "leave", "--node", "a");
    const ended = expect.stringMatching(/the node has ended\n$/);
    expect(await watch.ended).toMatchObject({ code: 1, stderr: ended });
    expect((await lines.ended).code).toBe(1);
  });
});

it("arguments that the node calls wrong are bad usage, with its reason", async () => {
  await node("a");
  const at = ["--node", "a"];
  await isRefused(/"host:port".*got "nonsense"/, "join", "nonsense", ...at);
  await isRefused(/"host:port"/, "join", "127.0.0.1:1", "127.0.0.1:70000", ...at);
  await isRefused(/a service's name must have/, "request", "a b", "hello", ...at);
  await isRefused(/must have no wildcards/, "routes", "plant/+", ...at);
});

describe("a node's own key and address family", () => {
  it("admits the nodes whose keys are in its folder, and no others", async () => {
    const allowed = file();
    mkdirSync(allowed);
    const key = file();
    await run("", "keygen", "--cluster", "--out", key);
    const secretOf = async (name: string): Promise<string> => {
      const { publicFile, secretFile } = await keygen();
      if (name !== "c") cpSync(publicFile, join(allowed, `${name}.key`));
      return secretFile;
    };
    const start = async (name: string): Promise<Command> =>
      node(name, "--key", key, "--curve-certificate", await secretOf(name), "--curve-allow", allowed);
    const a = await start("a");
    await start("b");
    await a.until("stdout", /b@\S+ joined/);
    const c = await start("c");
    await Promise.race([
      a.until("stderr", /refused \S+: its key is not allowed/),
      c.until("stderr", /refuses this node/),
    ]);
    expect(String(c.stdout)).not.toMatch(/joined/);
  });

  it("is refused with half of it, or a certificate without a secret key", async () => {
    const { publicFile } = await keygen();
    const start = ["start", "--name", "a", "--curve-certificate", publicFile];
    await isRefused(/--curve-allow: it is missing/, ...start);
    await isRefused(/has no secret key/, ...start, "--curve-allow", file());
  });

  it.skipIf(missing("ipv6"))("has an address of IPv6 with --ipv6", async () => {
    const a = await node("a", "--ipv6");
    const b = await node("b", "--ipv6");
    await b.until("stdout", /a@\S+ joined/);
    expect(a.stderr).toBe("");
  });
});

it("what a monitor sees: metrics, readiness and shoal top, until the node drains", async () => {
  const control = ipc();
  const a = await node("a", "--metrics", "127.0.0.1:0", "--control", control);
  const [, url] = await a.until("stderr", /metrics at (http:\S+)\/metrics/);
  await node("b");
  await a.until("stdout", /b@\S+ joined/);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  const text = await (await fetch(`${url}/metrics`)).text();
  expect(text).toContain('shoal_cluster_members{node="a"} 2');
  expect(text).toContain('shoal_cluster_members_by_state{node="a",state="alive"} 2');
  for (const none of ["sources_down", "minority"])
    expect(text).toContain(`shoal_cluster_${none}{node="a"} 0`);
  await run("", "node", "pub", "topic", "text", "--control", control);
  for (const address of [url as string, control]) {
    const top = await run("", "top", address, "--once", "--json", "--interval", "0.1");
    expect(String(top.stdout)).toMatch(
      /"side":"members","peers":2.*"side":"suspects","peers":0.*"side":"messages","in":0,"out":1,"dropped":0.*"side":"sent to members","in":0,"out":0/s,
    );
    expect(top.code).toBe(0);
  }
  await run("", "node", "drain", "--control", control);
  expect((await fetch(`${url}/readyz`)).status).toBe(503);
  const top = await run("", "top", control, "--once", "--json", "--interval", "0.1");
  expect(String(top.stdout)).toContain('"kind":"cluster","state":"draining"');
  await run("", "node", "leave", "--control", control);
  expect((await a.ended).code).toBe(0);
});

describe("hostile and careless users of a control socket", () => {
  it("one that never reads gets no more than its high-water mark; junk is refused; others are served", async () => {
    const control = ipc();
    await node("a", "--control", control);
    await using flood = new Dealer({ linger: 0, receiveHighWaterMark: 1 });
    flood.connect(control);
    for (let i = 0; i < (LONG ? 2_000 : 200); i++) await flood.send(["", '{"command":"status"}']);
    await using junk = new Dealer({ linger: 0 });
    junk.connect(control);
    const bodies = [["x"], ["{}"], ['{"command":"join","addresses":[1]}'], ["a", "b"], [""]];
    for (const frames of [["x"], ...bodies.map((body) => ["", ...body])]) {
      await junk.send(frames);
      const reply = await junk.receive();
      expect(JSON.parse(String(reply.at(-1)))).toMatchObject({ ok: false, error: { code: "EINVAL" } });
    }
    expect((await replyTo("status", "--control", control)).state).toBe("running");
  });

  it("more than 32 that wait for events are refused; commands have their replies", async () => {
    const control = ipc();
    await node("a", "--control", control);
    await using dealer = new Dealer({ linger: 0 });
    dealer.connect(control);
    for (let i = 0; i < 80; i++) await dealer.send(["", '{"command":"watch","after":0,"wait":60000}']);
    const codes = [];
    for (let i = 0; i < 48; i++)
      codes.push(
        (JSON.parse(String((await dealer.receive()).at(-1))) as { error: { code: string } }).error.code,
      );
    expect(new Set(codes)).toEqual(new Set(["ERR_TOO_MANY_PENDING"]));
    expect(await run("", "node", "status", "--control", control)).toMatchObject({ code: 0, stderr: "" });
    await fails(/32 requests for events wait already/, "watch", "-q", "--control", control);
  });
});
