// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of configurations
/** shoal proxy --config, between peers that watch what becomes of their connections; with certificates that are renewed, missing, and back again. */
import { once } from "node:events";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import { beforeEach, describe, expect, it } from "vitest";
import { Pull, Push, Reply, Request } from "../../src/index.js";
import { texts } from "../contract/support/wait.js";
import { makeAuthority, makeCertificate } from "../support/certificates.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { sharedFolder } from "../support/folders.js";
import { namedPipe } from "../support/pipe.js";
import { run, startWithout } from "./in-process.js";
import { file, ipc, jsonOf, useShoal } from "./support.js";

useShoal();

const LIMIT = 8_000;
const QUICK = { reconnectInterval: 20, reconnectMaxInterval: 100 };

const open = closeAfterEach();

let path = "";
let at: Record<"work" | "workers" | "clients" | "servers" | "control" | "more", string>;
beforeEach(() => {
  path = `${file()}.yaml`;
  at = { work: ipc(), workers: ipc(), clients: ipc(), servers: ipc(), control: ipc(), more: ipc() };
});

/** Replaces the file as editors do. */
function write(text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

function change(proxy: { signal(name: "SIGHUP"): void }, text: string): void {
  write(text);
  proxy.signal("SIGHUP");
}

/** Two proxies. @param work more for the streamer's frontend @param requests the same for the queue's */
function two(work = "", requests = ""): string {
  return `
proxies:
  work:
    kind: streamer
    frontend: { bind: ["${at.work}"${work} }
    backend: { bind: "${at.workers}" }
  requests:
    kind: queue
    frontend: { bind: ["${at.clients}"${requests} }
    backend: { bind: "${at.servers}" }
    control: { bind: "${at.control}" }
`;
}

async function start(text: string, ...more: string[]): Promise<ReturnType<typeof startWithout>> {
  write(text);
  const proxy = startWithout("proxy", "--config", path, ...more);
  await proxy.until("stderr", /requests has started\n/);
  return proxy;
}

function server(): void {
  const reply = open(new Reply(QUICK));
  reply.connect(at.servers);
  void (async () => {
    for await (const [body] of reply) await reply.send(`${body}!`);
  })();
}

/** A client of the queue, and of a server at its other side: what it asks is answered, on one connection. */
function client() {
  const request = open(new Request());
  server();
  request.connect(at.clients);
  let lost = 0;
  request.events.on("peer:leave", () => void lost++);
  const asks = async (): Promise<void> => {
    expect(texts(await request.request("?", { timeout: LIMIT }))).toEqual(["?!"]);
    expect(lost).toBe(0);
  };
  return { asks, ready: () => request.ready({ timeout: LIMIT }) };
}

describe("shoal proxy --config", () => {
  it("runs two proxies, drains them with SIGTERM, and prints what passed each", async () => {
    const proxy = await start(two("]", "]"), "--json");
    const push = open(new Push());
    push.connect(at.work);
    await push.send("0");
    const pull = open(new Pull());
    pull.connect(at.workers);
    expect(texts(await pull.receive({ timeout: LIMIT }))).toEqual(["0"]);
    await client().asks();
    const accounts = jsonOf((await proxy.stop()).stdout);
    expect(accounts).toHaveLength(2);
    const by = Object.fromEntries(accounts.map((each) => [each.name, each]));
    const passed = { in: { messages: 1 } };
    const drain = { drained: true };
    expect(by.work).toMatchObject({ kind: "streamer", frontend: passed, drain });
    expect(by.requests).toMatchObject({ kind: "queue", backend: passed, drain });
  });

  it("keeps what runs when the file gets bad, and says why", async () => {
    const proxy = await start(two("]", "]"));
    const { asks } = client();
    change(proxy, two("], lingr: 5", "]").replace("kind: queue", "kind: que"));
    await proxy.until("stderr", /the proxies continue unchanged\n/);
    expect(proxy.stderr).toContain(
      `shoal proxy: ${path}:8:11: proxies.requests.kind: expected one of queue, forwarder, streamer, socket; got "que"; did you mean queue?\n`,
    );
    expect(proxy.stderr).toContain(": proxies.work.frontend.lingr: unknown key; did you mean linger?\n");
    expect(proxy.stderr).toContain(`shoal proxy: ${path} has 2 problems; the proxies continue unchanged\n`);
    await asks();
    change(proxy, two("]", "]"));
    await proxy.until("stderr", /again: nothing changed\n/);
    await asks();
  });

  it("continues when the file and its folder have vanished, and reads the file when both are back", async () => {
    const folder = `${file()}.d`;
    path = join(folder, "proxy.yaml");
    mkdirSync(folder);
    const proxy = await start(two("]", "]"));
    const { asks } = client();
    for (const times of [1, 2]) {
      rmSync(folder, { recursive: true });
      proxy.signal("SIGHUP");
      await proxy.until("stderr", new RegExp(`(?:does not exist[\\s\\S]*unchanged\n[\\s\\S]*){${times}}`));
      await asks();
      mkdirSync(folder);
      change(proxy, two(times === 1 ? `, "${at.more}"]` : "]", "]"));
      await proxy.until("stderr", new RegExp(`(?:again: 1 change\n[\\s\\S]*){${times}}`));
    }
    await asks();
  });

  it("turns back a change that cannot be made, and names the endpoint", async () => {
    const proxy = await start(two("]", "]"));
    const taken = open(new Pull());
    await taken.bind(at.more);
    const { asks, ready } = client();
    await ready();
    const free = ipc();
    change(proxy, two(`, "${free}", "${at.more}"]`, "]"));
    await proxy.until("stderr", /the proxies continue unchanged\n/);
    expect(proxy.stderr).toMatch(new RegExp(`${path}: work: .*${at.more}.*; the proxies continue unchanged`));
    expect(proxy.stderr).toContain(`work: the frontend does not listen at ${free} any more`);
    const there = open(new Pull());
    await there.bind(free); // It is free again.
    await taken.close();
    await there.close();
    proxy.signal("SIGHUP");
    await proxy.until("stderr", /again: 2 changes\n/);
    await asks();
  });

  it("starts again what its controller ended, and ends when controllers ended all", async () => {
    const text = two("]", "]").replace(/ {2}work:[\s\S]*(?= {2}requests)/, "");
    const proxy = await start(text);
    const controller = open(new Request(QUICK));
    controller.connect(at.control);
    change(proxy, two("]", "]"));
    await proxy.until("stderr", /work has started\n/);
    await controller.request("TERMINATE", { timeout: LIMIT });
    await proxy.until("stderr", /requests has ended\n/); // The answer to the command comes first.
    proxy.signal("SIGHUP");
    await proxy.until("stderr", /requests has started\n[\s\S]*requests has started\n/);
    change(proxy, text);
    await proxy.until("stderr", /work has ended\n/);
    await controller.request("TERMINATE", { timeout: 4 * LIMIT, retries: 3 });
    expect((await proxy.ended).code).toBe(0);
  });

  it("has PLAIN users whose passwords come from variables, and are reported nowhere", async () => {
    const secret = "tr0ub4dor-and-3";
    process.env.SHOAL_TEST_SECRET = secret;
    const proxy = await start(two('], plainUsers: { me: "${SHOAL_TEST_SECRET}" }', "]"), "-v");
    const stranger = open(new Push({ plainUsername: "me", plainPassword: "guess" }));
    stranger.connect(at.work);
    await expect(stranger.ready({ timeout: LIMIT })).rejects.toMatchObject({ code: "ERR_AUTHENTICATION" });
    const push = open(new Push({ plainUsername: "me", plainPassword: secret }));
    push.connect(at.work);
    await push.ready({ timeout: LIMIT });
    const other = '], plainUsers: { me: "x${SHOAL_TEST_SECRET}" }';
    change(proxy, two(`${other}, linger: "\${SHOAL_TEST_SECRET}"`, "]"));
    await proxy.until("stderr", /the proxies continue unchanged\n/);
    change(proxy, two(other, "]"));
    await proxy.until("stderr", /work has ended, to restart with a new frontend\.plainUsers\n/);
    await proxy.until("stderr", /work has restarted\n/);
    proxy.signal("SIGTERM");
    const { stderr, stdout } = await proxy.ended;
    expect(`${stderr}${stdout}`).not.toContain(secret);
  });

  it("fails where the command line or the file is wrong, or an address is in use, which it names", async () => {
    const taken = open(new Pull());
    await taken.bind(at.clients);
    write(two("]", "]"));
    const cases: [string[], number, RegExp][] = [
      [
        ["--config", "/no/such/file"],
        1,
        /\/no\/such\/file:1:1: cannot read the file: it does not exist\n.*\/no\/such\/file has a problem/,
      ],
      [["--config", "x", "queue", "--frontend", "ipc://x"], 2, /--config FILE defines everything/],
      [["queue", "--config", "x"], 2, /defines everything: use "shoal proxy --config x", without queue/],
      [["--config", "x", "frontend"], 2, /unknown command 'frontend'; expected queue, forwarder/],
      [["--config", "x", "--no-watch"], 2, /unknown option '--no-watch'/],
      [["--frontend", "ipc://x"], 2, /unknown option '--frontend'/],
      [["check"], 2, /missing required argument/],
      [["--config", path], 1, new RegExp(`shoal proxy: ${path}: requests: .*${at.clients}`)],
    ];
    const ended = await Promise.all(cases.map(([args]) => run("", "proxy", ...args)));
    for (const [i, { code, stderr }] of ended.entries()) {
      expect(stderr).toMatch(cases[i]?.[2] as RegExp);
      expect(code).toBe(cases[i]?.[1]);
    }
  });
});

describe("shoal proxy check", () => {
  it("says what a good file has, and all that is wrong with a bad one", async () => {
    const good = `${path}.good`;
    writeFileSync(good, two("]", "]"));
    write(two("], lingr: 5, curveCertificate: nowhere", "]"));
    const check = (...args: string[]) => run("", "proxy", "check", ...args);
    const [fine, bad, json] = await Promise.all([check(good), check(path), check("--json", path)]);
    expect(fine).toMatchObject({ code: 0, stderr: "" });
    expect(String(fine.stdout)).toBe(`${good}: work (streamer), requests (queue)\n`);
    expect(bad.code).toBe(1);
    expect(bad.stdout).toHaveLength(0);
    const lines = bad.stderr.trim().split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/:5:\d+: proxies\.work\.frontend\.lingr: unknown key; did you mean linger\?$/);
    expect(lines[1]).toMatch(
      /:5:\d+: proxies\.work\.frontend\.curveCertificate: cannot read .*: it does not exist$/,
    );
    expect(lines[2]).toBe(`shoal proxy check: ${path} has 2 problems`);
    expect(JSON.parse(String(json.stdout))).toMatchObject({
      ok: false,
      problems: [{ file: path, line: 5, path: "proxies.work.frontend.lingr" }, { line: 5 }],
    });
  });

  it("says once what is wrong at one place, however deep", async () => {
    write("{{{{{{{{\n");
    const { code, stderr } = await run("", "proxy", "check", path);
    const lines = stderr.trim().split("\n");
    expect(code).toBe(1);
    expect(new Set(lines).size).toBe(lines.length);
  });

  it("reads a pipe, and not one that does not end", async () => {
    const pipe = namedPipe(file());
    const check = run("", "proxy", "check", pipe);
    await writeFile(pipe, two("]", "]"));
    expect(await check).toMatchObject({ code: 0, stderr: "" });
    const long = run("", "proxy", "check", pipe);
    await writeFile(pipe, "#".repeat(1_100_000)).catch(() => undefined); // Its reader leaves.
    expect(await long).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/it does not end; expected 1048576/),
    });
  });
});

const folder = sharedFolder();
const pemOf = (name: string): string => join(folder, name);
const pem = (name: string): string => readFileSync(pemOf(name), "latin1");
const own = closeAfterEach();

/** As certbot does: each file is replaced by another. */
function install(name: string): void {
  for (const kind of ["key", "pem"]) {
    writeFileSync(pemOf(`now.${kind}.tmp`), pem(`${name}.${kind}`));
    renameSync(pemOf(`now.${kind}.tmp`), pemOf(`now.${kind}`));
  }
}

async function subjectAt(port: number): Promise<unknown> {
  const peer = connect({ port, host: "127.0.0.1", ca: pem("ca.pem") });
  await once(peer, "secureConnect");
  const { CN } = peer.getPeerCertificate().subject;
  peer.destroy();
  return CN;
}

it("renews certificates on SIGHUP, without a stop", async () => {
  makeAuthority(folder, "ca");
  for (const name of ["old", "new"])
    makeCertificate(folder, name, {
      extensions: "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
      subject: `/CN=${name}`,
    });
  install("old");
  const [work, config] = [ipc(), pemOf("proxy.yaml")];
  writeFileSync(
    config,
    `
proxies:
  work:
    kind: streamer
    frontend: { bind: "tls://127.0.0.1:*", tls: { cert: now.pem, key: now.key } }
    backend: { bind: "${work}" }
`,
  );
  expect(await run("", "proxy", "check", config)).toMatchObject({ code: 0 });
  const proxy = startWithout("proxy", "--config", config);
  const [, port] = (await proxy.until(
    "stderr",
    /tls:\/\/127\.0\.0\.1:(\d+)[\s\S]*work has started\n/,
  )) as RegExpExecArray;
  expect(await subjectAt(Number(port))).toBe("old");
  const push = own(new Push({ tlsCa: pem("ca.pem") }));
  const pull = own(new Pull());
  push.connect(`tls://127.0.0.1:${port}`);
  pull.connect(work);
  await push.send("before");
  expect(String((await pull.receive({ timeout: 8_000 }))[0])).toBe("before");
  let left = 0;
  push.events.on("peer:leave", () => void left++);

  install("new");
  proxy.signal("SIGHUP");
  await proxy.until("stderr", /work: the frontend has new certificates\n/);
  expect(await subjectAt(Number(port))).toBe("new");

  renameSync(pemOf("now.key"), pemOf("away.key"));
  proxy.signal("SIGHUP");
  await proxy.until("stderr", /frontend\.tls\.key: cannot read .*now\.key: it does not exist\n/);
  expect(await run("", "proxy", "check", config)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/tls\.key: cannot read .*now\.key: it does not exist/),
  });
  expect(await subjectAt(Number(port))).toBe("new");
  install("old");
  proxy.signal("SIGHUP");
  await proxy.until("stderr", /has new certificates\n[\s\S]*has new certificates\n/);
  expect(await subjectAt(Number(port))).toBe("old");

  await push.send("after");
  expect(String((await pull.receive({ timeout: 8_000 }))[0])).toBe("after");
  expect(left).toBe(0);
  proxy.signal("SIGTERM");
  expect((await proxy.ended).code).toBe(0);
});
