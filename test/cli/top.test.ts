import { createServer } from "node:http";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Pull, Push } from "../../src/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { listening } from "../support/listening.js";
import { LONG } from "../support/long.js";
import { missing, peerAt } from "../support/peers.js";
import { freePort } from "../support/ports.js";
import { fails, keygen, run, startWithout } from "./in-process.js";
import { Child, ipc, jsonOf, MAIN, startStreamer, useShoal, written } from "./support.js";

useShoal();

const PYTHON = peerAt("python3");

const open = closeAfterEach();

describe("shoal top", () => {
  it("--once --json: what two proxies do, by metrics and by the control socket, and that a third is away", async () => {
    const control = ipc();
    const one = await startStreamer(startWithout, ["--control", control, "--name", "orders"]);
    const push = open(new Push());
    const pull = open(new Pull());
    push.connect(await one.at("frontend"));
    pull.connect(await one.at("backend"));
    expect(one.proxy.stderr).toMatch(/ info shoal proxy orders: backend listening at /);
    for (let i = 0; i < 5; i++) {
      await push.send("12345678");
      await pull.receive();
    }
    const away = `http://127.0.0.1:${await freePort()}`;
    // What does not answer within the interval has no rates.
    const args = ["top", one.url, control, away, "--once", "--json", "--interval", "2"];
    const { code, stdout, stderr } = await run("", ...args);
    expect([code, stderr]).toEqual([1, "shoal top: not every address answers\n"]);
    const [metrics, status, gone, ...others] = jsonOf(stdout);
    expect(others).toEqual([]);
    const sides = [
      { side: "frontend", peers: 1, in: 5, out: 0, inBytes: 40, queued: 0, dropped: 0, rates: { in: 0 } },
      { side: "backend", peers: 1, in: 0, out: 5, outBytes: 40 },
    ];
    const sources = [{ name: "orders", kind: "streamer", state: "running", sides }];
    expect(metrics).toMatchObject({ address: one.url, up: true, sources });
    expect(metrics.memory).toBeGreaterThan(10_000_000);
    expect(status).toMatchObject({ address: control, up: true, sources });
    expect(gone).toMatchObject({ address: away, up: false, reason: expect.stringMatching(/ECONNREFUSED/) });
  });

  it.runIf(LONG)("reads no more while its lines are not read, and goes on when they are", async () => {
    const addresses = 100;
    let requests = 0;
    let onRequest = (): void => undefined;
    const server = createServer((_, response) => {
      requests += 1;
      onRequest();
      response.writeHead(404).end("nothing here");
    });
    const port = await listening(server);
    const urls = Array.from({ length: addresses }, (_, at) => `http://127.0.0.1:${port}/${at}`);
    const top = new Child(process.execPath, [MAIN, "top", ...urls, "--json", "--interval", "0.1"], {
      stdin: "ignore",
    });
    top.process.stdout.pause();
    await new Promise<void>((resolve, reject) => {
      let quiet: NodeJS.Timeout | undefined;
      onRequest = () => {
        clearTimeout(quiet);
        if (requests > 100 * addresses) reject(new Error("read on and on"));
        else quiet = setTimeout(resolve, 1_000);
      };
    });
    const before = requests;
    top.process.stdout.resume();
    await new Promise<void>((resolve) => {
      onRequest = () => requests > before + 3 * addresses && resolve();
    });
  });

  it("a table per reading without a terminal: rates; and a source that goes away and comes back", async () => {
    const { proxy, url, at } = await startStreamer(startWithout);
    const top = startWithout("top", url, "--interval", "0.1");
    await top.until("stdout", /streamer +frontend +running /);
    const push = open(new Push());
    const pull = open(new Pull());
    push.connect(await at("frontend"));
    pull.connect(await at("backend"));
    let isOver = false;
    const flow = (async () => {
      while (!isOver) {
        await push.send("x");
        await pull.receive();
        await new Promise(setImmediate);
      }
    })();
    await top.until("stdout", /frontend +running +[1-9]/);
    isOver = true;
    await flow;
    proxy.signal("SIGTERM");
    await top.until("stdout", new RegExp(`${url} {2}away since .*\\n`));
    await proxy.ended; // On a busy machine it is away before its address is free.
    const again = await startStreamer(startWithout, [], new URL(url).host);
    await top.until("stdout", /away since [\s\S]*frontend +running +–[\s\S]*frontend +running +0/);
    top.signal("SIGINT");
    expect((await top.ended).code).toBe(0);
    again.proxy.signal("SIGTERM");
  });

  it("asks secured control sockets, with PLAIN and with CURVE, and says why one does not let it in", async () => {
    const [server, stranger] = await Promise.all([keygen(), keygen()]);
    const at = { curve: ipc(), plain: ipc() };
    const proxy = (control: string): string =>
      `{ kind: streamer, frontend: { bind: "${ipc()}" }, backend: { bind: "${ipc()}" }, control: { ${control} } }`;
    const path = written(
      `
proxies:
  curve: ${proxy(`bind: "${at.curve}", curveCertificate: ${server.secretFile}`)}
  plain: ${proxy(`bind: "${at.plain}", plainUsers: { ann: "pass:word" }`)}
`,
    );
    const proxies = startWithout("proxy", "--config", path);
    await proxies.until("stderr", /plain has started\n/);
    const top = async (...args: string[]) => {
      const { code, stdout, stderr } = await run("", "top", ...args, "--once", "--json", "--interval", "0.2");
      return { code, stderr, looks: jsonOf(stdout) };
    };
    const running = (name: string) => ({ up: true, sources: [{ name, kind: "streamer", state: "running" }] });
    const curve = ["--curve-server-key", server.publicKey];
    const results = await Promise.all([
      top(at.curve, ...curve),
      top(at.curve, ...curve, "--curve-certificate", stranger.secretFile),
      top(at.plain, "--plain", "ann:pass:word"),
      top(at.curve),
      top(at.curve, "--curve-server-key", stranger.publicKey),
      top(at.plain, "--plain", "ann:guess"),
    ]);
    for (const [at, name] of ["curve", "curve", "plain"].entries())
      expect(results[at]).toMatchObject({ code: 0, stderr: "", looks: [running(name)] });
    const reasons = results.slice(3).map(({ code, looks }) => [code, looks[0]?.up, looks[0]?.reason]);
    expect(reasons).toEqual([
      [1, false, expect.stringMatching(/^the peer uses the mechanism CURVE, this socket NULL/)],
      [1, false, expect.stringMatching(/wrong server key\?/)],
      [1, false, expect.stringMatching(/^authentication failed/)],
    ]);
    for (const args of [
      [at.plain, "--plain", "ann"],
      [at.plain, "--plain", "ann:pass:word", ...curve],
      [at.curve, "--curve-certificate", stranger.secretFile],
      [at.curve, "--curve-server-key", "short"],
      ["http://127.0.0.1:9464", ...curve],
    ]) {
      const { code, stderr, looks } = await top(...args);
      expect([args, code, looks]).toEqual([args, 2, []]);
      expect(stderr).not.toContain("pass:word");
    }
  });

  it("is not impressed by what is no shoal", async () => {
    const server = createServer((request, response) => {
      if (request.url === "/hang") return;
      if (request.url === "/redirect") response.writeHead(302, { Location: "/metrics" });
      if (request.url === "/error") response.writeHead(500);
      if (request.url === "/endless") {
        const more = () => void (response.destroyed || response.write("x".repeat(1_000_000), more));
        more();
        return;
      }
      response.end(
        'shoal_source_info{name="\u001b[2J",kind="queue"} 1\nshoal_proxy_messages_total{proxy="} x\n\u0000',
      );
    });
    const url = `http://127.0.0.1:${await listening(server)}`;
    const paths = ["/metrics", "/hang", "/redirect", "/error", "/endless"];
    // An answer has 2 s: 16 MiB take their time on a busy machine.
    const args = [...paths.map((path) => url + path), "--once", "--interval", "2"];
    const { code, stdout } = await run("", "top", ...args);
    const lines = String(stdout).split("\n");
    expect(lines.slice(3, 5)).toEqual([
      expect.stringMatching(/^\\u\{1b\}\[2J +frontend +unknown /),
      expect.stringMatching(/^\\u\{1b\}\[2J +backend +unknown /),
    ]);
    expect(lines.slice(5)).toEqual([
      expect.stringMatching(/hang {2}away since [\d:]+: no answer in time$/),
      expect.stringMatching(/redirect {2}away since /),
      expect.stringMatching(/error {2}away since [\d:]+: HTTP 500$/),
      expect.stringMatching(/endless {2}away since [\d:]+: the answer exceeds 16777216 bytes$/),
      "",
    ]);
    expect(code).toBe(1);
  });

  it("says what is no address", async () => {
    for (const address of ["127.0.0.1:9464", "http://", "tcp://nowhere", "ftp://x"])
      await fails(2, /^shoal top: /, ["top", address]);
    expect((await run("", "top")).code).toBe(2);
    expect((await run("", "top", "http://x", "--interval", "0")).code).toBe(2);
  });

  it.skipIf(missing("python3"))(
    "on a terminal: a table that fits, follows its size, and ends by Ctrl-C",
    async () => {
      const { url } = await startStreamer(startWithout);
      const program = join(import.meta.dirname, "peers/terminal.py");
      const args = [program, process.execPath, MAIN, "top", url, "--interval", "0.2"];
      const top = new Child(PYTHON, args);
      const { stdout, stderr } = await top.ended;
      expect([String(stdout), stderr]).toEqual(["0\n", ""]);
    },
  );
});
