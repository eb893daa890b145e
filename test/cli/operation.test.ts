/** Metrics, health, logs and the service manager's word. */

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { watchdogInterval } from "../../src/cli/operation.js";
import { Pull, Push, Request } from "../../src/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { fails, startWithout } from "./in-process.js";
import { Child, file, ipc, jsonOf, MAIN, metricsOf, startStreamer, useShoal, written } from "./support.js";

useShoal();

const ANY = "tcp://127.0.0.1:*";
const ENDS = ["--frontend", ANY, "--backend", ANY];
const METRICS = ["--metrics", "127.0.0.1:0"];

const open = closeAfterEach();

async function get(url: string): Promise<{ readonly status: number; readonly body: string }> {
  const response = await fetch(url);
  return { status: response.status, body: await response.text() };
}

/** Asks until the answer has this in it, with pauses: asked all the time, the process does nothing else. */
async function until(url: string, pattern: RegExp): Promise<string> {
  for (;;) {
    const { body } = await get(url);
    if (pattern.test(body)) return body;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("--metrics", () => {
  it.each([
    ["proxy forwarder", ENDS, 'shoal_proxy_peers{proxy="forwarder",side="frontend"} 0'],
    ["majordomo broker", ["--bind", ANY], 'shoal_majordomo_workers{broker="broker"} 0'],
    ["lvc", ENDS, 'shoal_lvc_topics{cache="lvc"} 0'],
    ["clone server", ["--bind", ANY], 'shoal_clone_serving{server="server"} 1'],
  ])("shoal %s", async (command, args, line) => {
    const child = startWithout(...command.split(" "), ...args, ...METRICS);
    const url = await metricsOf(child);
    await until(`${url}/readyz`, /: ready\n/);
    expect((await get(`${url}/metrics`)).body.split("\n")).toContain(line);
    expect(await get(`${url}/healthz`)).toEqual({ status: 200, body: "ok\n" });
    await child.stop();
  });

  it("of a worker: not ready before it is connected", async () => {
    const worker = ["majordomo", "worker", "echo", "--connect", `ipc://${file()}`, "--echo"];
    const child = startWithout(...worker, ...METRICS);
    const url = await metricsOf(child);
    await until(`${url}/readyz`, /^worker: not connected\n$/);
    const { body } = await get(`${url}/metrics`);
    expect(body.split("\n")).toContain('shoal_majordomo_worker_brokers{worker="worker"} 0');
    await child.stop();
  });

  it("answers while the proxy drains: not ready, and how much is left", async () => {
    const { proxy, url, at } = await startStreamer(startWithout, ["--drain", "60"]);
    const push = open(new Push());
    push.connect(await at("frontend"));
    for (const body of ["1", "2", "3"]) await push.send(body);
    await until(`${url}/metrics`, /shoal_proxy_queued_messages\{[^}]*side="frontend",direction="in"\} [1-9]/);
    proxy.signal("SIGTERM");
    expect(await until(`${url}/readyz`, /draining/)).toBe("streamer: draining\n");
    expect((await get(`${url}/readyz`)).status).toBe(503);
    expect((await get(`${url}/healthz`)).status).toBe(200);
    expect((await get(`${url}/metrics`)).body).toMatch(
      /shoal_proxy_state\{proxy="streamer",state="draining"\} 1/,
    );
    const pull = open(new Pull());
    pull.connect(await at("backend"));
    for (const body of ["1", "2", "3"]) expect(String((await pull.receive())[0])).toBe(body);
    expect((await proxy.ended).code).toBe(0);
    await expect(get(`${url}/healthz`)).rejects.toThrow();
  });

  it("of all the proxies of a file, as they come and go", async () => {
    const proxies = (...names: string[]) =>
      `proxies:\n${names.map((name) => `  ${name}: { kind: streamer, frontend: { bind: "${ANY}" }, backend: { bind: "${ANY}" } }\n`).join("")}`;
    const config = written(proxies("orders"));
    const fleet = startWithout("proxy", "--config", config, ...METRICS, "--log-format", "json");
    const url = (await fleet.until("stderr", /(http:\/\/[^/"]+)\/metrics/))[1] as string;
    await until(`${url}/readyz`, /^orders: ready\n$/);
    writeFileSync(config, proxies("orders", "bills"));
    fleet.signal("SIGHUP");
    await until(`${url}/readyz`, /^orders: ready\nbills: ready\n$/);
    expect((await get(`${url}/metrics`)).body).toMatch(
      /shoal_proxy_state\{proxy="bills",state="running"\} 1/,
    );
    writeFileSync(config, proxies("bills"));
    fleet.signal("SIGHUP");
    await until(`${url}/readyz`, /^bills: ready\n$/);
    expect((await get(`${url}/metrics`)).body).not.toMatch(/orders/);
    for (const line of jsonOf((await fleet.stop()).stderr)) expect(line).toHaveProperty("msg");
  });

  it("counts what a policy refuses, and the log says it", async () => {
    const config = written(
      `proxies: { work: { kind: streamer, backend: { bind: "${ANY}" },
        frontend: { bind: "${ANY}", policy: { addresses: { deny: [127.0.0.0/8] } } } } }\n`,
    );
    const fleet = startWithout("proxy", "--config", config, ...METRICS, "--log-format", "json");
    const url = (await fleet.until("stderr", /(http:\/\/[^/"]+)\/metrics/))[1] as string;
    const frontend = (await fleet.until("stderr", /"endpoint":"([^"]+)","msg":"frontend/))[1] as string;
    open(new Push({ reconnectInterval: 20 })).connect(frontend);
    await until(
      `${url}/metrics`,
      /shoal_proxy_refused_total\{proxy="work",side="frontend",reason="address"\} [1-9]/,
    );
    await fleet.until(
      "stderr",
      /"level":"warn".*"event":"policy:refused","side":"frontend","reason":"address","refused":1/,
    );
    await fleet.stop();
  });

  it("ends at once with a second signal, and says so", async () => {
    const { proxy, url, at } = await startStreamer(startWithout, ["--drain", "600"]);
    const push = open(new Push({ linger: 0 }));
    push.connect(await at("frontend"));
    await push.send("nobody pulls");
    await until(`${url}/metrics`, /shoal_proxy_queued_messages\{[^}]*side="frontend",direction="in"\} 1/);
    proxy.signal("SIGTERM");
    await until(`${url}/readyz`, /draining/);
    proxy.signal("SIGTERM");
    await proxy.fails(/stopped before everything in flight was finished\n$/);
  });

  it("names an address that is taken, and an invalid one; nothing runs then", async () => {
    const first = startWithout("majordomo", "broker", "--bind", ANY, ...METRICS);
    const address = new URL(await metricsOf(first)).host;
    const queue = ["proxy", "queue", ...ENDS, "--metrics"];
    await fails(1, new RegExp(`^shoal proxy queue: .*${address}.*EADDRINUSE`), [...queue, address]);
    await fails(2, /"9464": expected HOST:PORT/, [...queue, "9464"]);
  });
});

describe("logs", () => {
  it("--log-format json: an object a line, events with their fields, the failure too", async () => {
    const proxy = startWithout(
      ...["proxy", "streamer", ...ENDS, "--control", ANY, "--drain", "0", "--log-format", "json", "-v"],
    );
    const [, frontend] = await proxy.until("stderr", /"endpoint":"([^"]+)","msg":"frontend listening/);
    const [, control] = await proxy.until("stderr", /"endpoint":"([^"]+)","msg":"control listening/);
    const push = open(new Push({ linger: 0 }));
    push.connect(frontend as string);
    await push.send("nobody pulls");
    const controller = open(new Request());
    controller.connect(control as string);
    for (let arrived = 0; arrived === 0; ) {
      const { in: came } = JSON.parse(String(await controller.request('{"command":"status"}'))).frontend;
      arrived = came.messages + came.queued;
    }
    proxy.signal("SIGTERM");
    const { code, stderr } = await proxy.ended;
    expect(code).toBe(1);
    const lines = jsonOf(stderr);
    for (const line of lines) {
      expect(line).toMatchObject({ command: "proxy streamer", msg: expect.any(String), pid: process.pid });
      expect(new Date(line.time).toISOString()).toBe(line.time);
    }
    for (const each of [
      { level: "debug", event: "peer:joined", side: "frontend" },
      { level: "info", event: "drain:started", timeout: 0 },
    ])
      expect(lines).toContainEqual(expect.objectContaining(each));
    expect(lines.at(-1).msg).toMatch(/stopped with messages left: 1/);
    expect(lines.at(-1).level).toBe("error");
  });

  it("has the warnings of Node.js as lines of its format and level", async () => {
    const call = ["majordomo", "call", "x", "y", "--connect", ipc(), "--timeout", "4000"];
    const [json, quiet] = ["--log-format=json", "-q"].map(
      (flag) => new Child(process.execPath, [MAIN, ...call, flag]),
    );
    const lines = jsonOf((await (json as Child).ended).stderr);
    const msg = expect.stringMatching(/1 message to send, and no connection to ipc:/);
    expect(lines).toMatchObject([{ level: "warn", msg }, { level: "error" }]);
    expect((await (quiet as Child).ended).stderr).toMatch(/^shoal majordomo call: no reply came[^\n]*\n$/);
  });

  it("--log-level has the minimum level", async () => {
    const frontend = `ipc://${file()}`;
    const ends = ["--frontend", frontend, "--backend", ANY];
    const proxy = startWithout("proxy", "streamer", ...ends, ...METRICS, "--log-level", "error");
    const push = open(new Push());
    push.connect(frontend);
    await push.ready();
    expect((await proxy.stop()).stderr).toBe("");
    const both = ["proxy", "streamer", ...ENDS, "--log-level", "debug", "--quiet"];
    await fails(2, /cannot be used with option '-q, --quiet'/, both);
    await fails(2, /error, warn, info, debug/, ["lvc", ...ENDS, "--log-level", "loud"]);
  });
});

describe("a service manager", () => {
  /** Runs a proxy with a `systemd-notify` of its own that keeps what it is sent. */
  function notified(
    script: string,
    env: readonly string[] = [],
  ): { readonly proxy: Child; readonly told: () => string[] } {
    const folder = file();
    mkdirSync(folder);
    const told = join(folder, "told");
    const program = join(folder, "systemd-notify");
    writeFileSync(program, `#!/bin/sh\n${script.replaceAll("FILE", told)}\n`);
    chmodSync(program, 0o755);
    const vars = ["NOTIFY_SOCKET=/nowhere", `PATH=${folder}:/usr/bin:/bin`, ...env];
    const command = [...vars, process.execPath, MAIN, "proxy", "queue", ...ENDS];
    const proxy = new Child("/usr/bin/env", command, { stdin: "ignore" });
    return { proxy, told: () => (existsSync(told) ? readFileSync(told, "utf8").trim().split("\n") : []) };
  }

  it("is notified when the sockets are open, that it lives, and when it ends", async () => {
    const { proxy, told } = notified('echo "$*" >> FILE', ["WATCHDOG_USEC=40000"]);
    await expect.poll(() => told().filter((line) => line === "WATCHDOG=1").length).toBeGreaterThan(1);
    await proxy.stop();
    expect(told()[0]).toBe("--ready STATUS=running");
    expect(told()).toContain("STOPPING=1 STATUS=draining");
  });

  it("waits for signs of life twice as long as they are apart, of the process it means", () => {
    expect(watchdogInterval({ WATCHDOG_USEC: "30000000" }, 5)).toBe(15_000);
    expect(watchdogInterval({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "5" }, 5)).toBe(15_000);
    expect(watchdogInterval({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "6" }, 5)).toBeUndefined();
    for (const WATCHDOG_USEC of ["", "0", "-1", "soon"])
      expect(watchdogInterval({ WATCHDOG_USEC }, 5)).toBeUndefined();
    expect(watchdogInterval({}, 5)).toBeUndefined();
  });
});
