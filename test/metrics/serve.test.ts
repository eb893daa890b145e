/** Metrics over HTTP, with clients as they should be and as they should not. */
import { EventEmitter, once } from "node:events";
import { Agent, get, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { parsePrometheusText } from "../../src/cli/subjects.js";
import { boundedServer, type HttpLimits, shut } from "../../src/core/http-server.js";
import { thisProcess } from "../../src/core/packages.js";
import { Pull, Push, Reply } from "../../src/index.js";
import type { MetricsServer, MetricsSources, MetricsSourcesByName } from "../../src/metrics/index.js";
import { serveMetrics } from "../../src/metrics/index.js";
import { isRead, readingOf } from "../../src/metrics/readings.js";
import { STATS_TIME } from "../../src/metrics/sources.js";
import { FreelanceFailoverClient } from "../../src/patterns/freelance/index.js";
import { LoadBalancer, LoadBalancerClient } from "../../src/patterns/load-balancer/index.js";
import { PirateClient, PirateWorker } from "../../src/patterns/pirate/index.js";
import { StreamerProxy } from "../../src/proxy/index.js";
import { ANY, back, front, LIMIT, useWorld } from "../proxy/support.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { listening } from "../support/listening.js";

const world = useWorld();
const own = closeAfterEach();

async function serve(sources: MetricsSources): Promise<MetricsServer> {
  return own(await serveMetrics("127.0.0.1:0", sources));
}

function open(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  own({ close: () => socket.destroy() });
  return socket;
}

/** Statistics that come when the test says. */
function silent<S = object>() {
  const asks = new EventEmitter();
  const asked: ((stats: S) => void)[] = [];
  const stats = () =>
    new Promise<S>((resolve) => {
      asked.push(resolve);
      asks.emit("asked");
    });
  return { asks, asked, stats };
}

afterEach(() => void vi.useRealTimers());

/** The response of a server that has waited for statistics as long as it does. Time stands still from then on. */
async function late(asks: EventEmitter, ask: () => Promise<Response>): Promise<Response> {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const begun = once(asks, "asked");
  const response = ask();
  await begun;
  await new Promise(setImmediate);
  vi.advanceTimersByTime(STATS_TIME);
  return response;
}

const portOf = (server: MetricsServer) => Number(new URL(server.url).port);

describe("serveMetrics", () => {
  it("answers over loopback for localhost and addresses, and not for a name that points there", async () => {
    const port = portOf(await serve({}));
    const statusFor = async (host: string | undefined): Promise<string> => {
      const socket = open(port);
      const version = host === undefined ? "1.0" : "1.1";
      const line = host === undefined ? "" : `Host: ${host}\r\n`;
      socket.write(`GET /metrics HTTP/${version}\r\n${line}Connection: close\r\n\r\n`);
      return (await text(socket)).slice(9, 12);
    };
    for (const host of ["localhost", `127.0.0.1:${port}`, "[::1]", "10.0.0.1", "a.localhost", undefined])
      expect([host, await statusFor(host)]).toEqual([host, "200"]);
    for (const host of ["rebound.example", "localhost.example:80", "notlocalhost"])
      expect([host, await statusFor(host)]).toEqual([host, "403"]);
  });

  it("has what passed, of each source that is there at the time", async () => {
    const streamer = await world.start(new StreamerProxy(world.sides));
    let sources: MetricsSourcesByName = {};
    const server = await serve(() => sources);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    sources = { 'a "work"': streamer };
    const push = world.peer(new Push(), front(streamer));
    const pull = world.peer(new Pull(), back(streamer));
    for (const body of ["1", "22", "333"]) await push.send(body);
    for (let i = 0; i < 3; i++) await pull.receive({ timeout: LIMIT });
    const response = await fetch(`${server.url}/metrics`);
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(response.headers.get("shoal-process")).toBe(thisProcess().instance);
    const lines = (await response.text()).split("\n");
    const labels = (direction: string, side: string) =>
      `{proxy="a \\"work\\"",side="${side}",direction="${direction}"}`;
    expect(lines).toContain(`shoal_proxy_messages_total${labels("in", "frontend")} 3`);
    expect(lines).toContain(`shoal_proxy_bytes_total${labels("in", "frontend")} 6`);
    expect(lines).toContain(`shoal_proxy_messages_total${labels("out", "backend")} 3`);
    expect(lines).toContain('shoal_proxy_state{proxy="a \\"work\\"",state="running"} 1');
    expect(lines).toContain("# TYPE shoal_proxy_messages_total counter");
    for (const name of ["process_cpu_seconds_total", "nodejs_eventloop_lag_p99_seconds", "shoal_build_info"])
      expect(lines.some((line) => line.startsWith(name))).toBe(true);
    // Counting them by prom-client's call ended a process on Node.js 20.
    expect(lines.filter((line) => /^nodejs_active_(?:handles|requests)/.test(line))).toEqual([]);
    expect(lines.some((line) => line.startsWith("nodejs_active_resources_total"))).toBe(true);
    const ready = await fetch(`${server.url}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([200, 'a "work": ready\n']);
    await streamer.close();
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    sources = {};
    expect(await (await fetch(`${server.url}/metrics`)).text()).not.toMatch(/shoal_proxy/);
  });

  it("answers other paths and methods with what they are, and sources that fail with 500", async () => {
    let fails = false;
    const server = await serve(() => {
      if (fails) throw new Error("no");
      return {};
    });
    const status = async (path: string, init: RequestInit = {}) =>
      (await fetch(`${server.url}${path}`, init)).status;
    expect(await status("/")).toBe(200);
    expect(await status("/nothing")).toBe(404);
    expect(await status("/healthz?why=1")).toBe(200);
    expect(await status("/metrics", { method: "POST", body: "x".repeat(100_000) })).toBe(405);
    expect(await status("/healthz", { method: "DELETE" })).toBe(405);
    fails = true;
    for (const path of ["/metrics", "/readyz"]) {
      const response = await fetch(`${server.url}${path}`);
      expect([response.status, await response.text()]).toEqual([500, "the sources cannot be read: no\n"]);
    }
    const head = await fetch(`${server.url}/healthz`, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "3", ""]);
  });

  it("shows the other sources when one fails, and its reason", async () => {
    const stats = () => {
      throw new Error("no\nup 1");
    };
    const server = await serve({
      broken: { kind: "queue", stats },
      box: { kind: "black-box", stats: () => ({ received: 7 }) },
      empty: { kind: "black-box", stats: () => undefined as never },
      getter: {
        kind: "black-box",
        stats: () => ({
          get received(): number {
            throw new Error("not now");
          },
        }),
      },
    });
    const metrics = await fetch(`${server.url}/metrics`);
    expect(metrics.status).toBe(200);
    const text = await metrics.text();
    const lines = text.split("\n");
    expect(lines.slice(0, 3).sort()).toEqual([
      "# broken: not read: no up 1",
      "# empty: not read: statistics must be an object; got undefined",
      "# getter: not read: not now",
    ]);
    expect(lines).toContain('shoal_black_box_received_total{subscriber="box"} 7');
    expect(lines).toContain('shoal_source_up{name="box",kind="black-box"} 1');
    expect(lines).toContain('shoal_source_up{name="broken",kind="queue"} 0');
    expect(lines).toContain('shoal_source_up{name="empty",kind="black-box"} 0');
    expect(lines).toContain('shoal_source_up{name="getter",kind="black-box"} 0');
    const { sources } = readingOf(parsePrometheusText(text, isRead));
    const states = sources.map(({ name, state }) => `${name}: ${state}`);
    expect(states).toEqual(["broken: not read", "box: running", "empty: not read", "getter: not read"]);
    const ready = await fetch(`${server.url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.text()).toBe("broken: not read: no up 1\nbox: ready\nempty: ready\ngetter: ready\n");
  });

  it("names an address that is taken, and an invalid one", async () => {
    const server = await serve({});
    const address = `127.0.0.1:${portOf(server)}`;
    const taken = { code: "EADDRINUSE", endpoint: address, message: expect.stringContaining(address) };
    await expect(serveMetrics(address, {})).rejects.toMatchObject(taken);
    for (const wrong of ["nowhere", undefined, null, 9_464, {}, Object.create(null), Symbol("x")])
      await expect(serveMetrics(wrong as never, {})).rejects.toMatchObject({ code: "EINVAL" });
    for (const wrong of [undefined, null, 5, "x", Symbol("x")])
      await expect(serveMetrics("127.0.0.1:0", wrong as never)).rejects.toMatchObject({ code: "EINVAL" });
  });

  it("has the metrics of drivers, and whether each is ready", async () => {
    const broker = own(new LoadBalancer());
    const backend = await broker.bind("backend", ANY);
    const server = await serve({ broker });
    const page = async (path: string) => {
      const response = await fetch(`${server.url}/${path}`);
      return { status: response.status, text: await response.text() };
    };
    expect(await page("readyz")).toEqual({ status: 200, text: "broker: ready\n" });
    const frontend = await broker.bind("frontend", ANY);
    const worker = own(new PirateWorker(backend, async (request) => request, { dialect: "simple" }));
    const client = own(new LoadBalancerClient(frontend));
    await client.request("hello", { timeout: LIMIT });
    const both = await serve({ worker, client, broker });
    expect(await (await fetch(`${both.url}/readyz`)).text()).toBe(
      "worker: ready\nclient: ready\nbroker: ready\n",
    );
    const lines = (await (await fetch(`${both.url}/metrics`)).text()).split("\n");
    expect(lines).toContain('shoal_load_balancer_requests_total{broker="broker"} 1');
    expect(lines).toContain('shoal_load_balancer_busy_workers{broker="broker"} 0');
    expect(lines).toContain('shoal_pirate_worker_replies_total{worker="worker"} 1');
    expect(lines).toContain('shoal_load_balancer_client_replies_total{client="client"} 1');
    expect(lines).toContain('shoal_source_info{name="client",kind="load-balancer-client"} 1');
    await broker.drain();
    expect(await page("readyz")).toEqual({ status: 503, text: "broker: draining\n" });
    await broker.close({ linger: 0 });
    expect(await page("readyz")).toEqual({ status: 503, text: "broker: closed\n" });
  });

  it("has a client that asks one server at a time as ready while one of its servers is there", async () => {
    const [server, other] = [own(new Reply()), new Reply()];
    const [gone, there] = [await other.bind(ANY), await server.bind(ANY)];
    await other.close({ linger: 0 });
    const asked = own(new PirateClient(there));
    const fresh = own(new FreelanceFailoverClient([gone, there]));
    const reply = asked.request("hello", { attemptTimeout: LIMIT });
    await server.send(await server.receive());
    await reply;
    const { url } = await serve({ asked, fresh });
    expect(await (await fetch(`${url}/readyz`)).text()).toBe("asked: ready\nfresh: ready\n");
  });

  it("has drivers that are not usable yet as not ready", async () => {
    const client = own(new LoadBalancerClient("inproc://nobody"));
    const broker = own(new LoadBalancer());
    const server = await serve({ client, broker });
    const response = await fetch(`${server.url}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.text()).toBe("client: not connected\nbroker: not bound\n");
    expect((await fetch(`${server.url}/metrics`)).status).toBe(200);
  });

  it("refuses what is not a driver or a source, by its name", async () => {
    for (const [source, message] of [
      [{}, /^Metrics source thing: expected a driver/],
      [null, /^Metrics source thing: expected a driver/],
      [{ stats: () => ({}) }, /^Metrics source thing: unknown kind undefined/],
      [{ stats: () => ({}), kind: "quue" }, /unknown kind quue; did you mean queue\?/],
    ] as const)
      await expect(serveMetrics("127.0.0.1:0", { thing: source as never })).rejects.toMatchObject({
        code: "EINVAL",
        message: expect.stringMatching(message),
      });
  });

  it("does not wait for statistics that never come, nor asks for them again, and has them when they do", async () => {
    const { asks, asked, stats } = silent();
    const server = await serve({ box: { kind: "black-box", stats } });
    const scrape = () => fetch(`${server.url}/metrics`);
    const response = await late(asks, scrape);
    expect(await response.text()).toMatch(/^# box: not read: no answer in time\n/);
    // No time passes for the second one.
    expect(await (await scrape()).text()).toMatch(/^# box: not read: no answer in time\n/);
    vi.useRealTimers();
    expect(asked).toHaveLength(1);
    asked[0]?.({ received: 7 });
    await new Promise(setImmediate);
    const again = once(asks, "asked");
    const next = scrape();
    await again;
    asked[1]?.({ received: 8 });
    expect(await (await next).text()).toContain('shoal_black_box_received_total{subscriber="box"} 8');
  });

  it("whose sources never answer holds no timer after its close", async () => {
    const { asks, stats: never } = silent<never>();
    const server = await serve({ box: { kind: "black-box", stats: never, unready: never } });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const ended: Promise<unknown>[] = [];
    for (const path of ["/metrics", "/readyz"]) {
      const asked = once(asks, "asked");
      const socket = open(portOf(server));
      ended.push(once(socket, "close"));
      socket.write(`GET ${path} HTTP/1.0\r\n\r\n`);
      await asked;
    }
    const closed = server.close();
    vi.advanceTimersByTime(1_000); // Of responses in flight.
    await Promise.all([closed, ...ended]);
    await new Promise(setImmediate);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("names a source as not ready whose readiness never comes, asked for once", async () => {
    const { asks, asked, stats: unready } = silent<never>();
    const box = { kind: "black-box", stats: () => ({}), unready } as const;
    const { url } = await serve({ box });
    const response = await late(asks, () => fetch(`${url}/readyz`));
    expect([response.status, await response.text()]).toEqual([503, "box: not read: no answer in time\n"]);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    expect(asked).toHaveLength(1);
  });

  it("settles a second close with the first one", async () => {
    const { asks, stats } = silent();
    const server = await serve({ box: { kind: "black-box", stats } });
    const asked = once(asks, "asked");
    const socket = open(portOf(server));
    socket.write("GET /metrics HTTP/1.0\r\n\r\n");
    await asked;
    const settled: string[] = [];
    const note = (name: string) => () => void settled.push(name);
    await Promise.all([server.close().then(note("first")), server.close().then(note("second"))]);
    expect(settled).toEqual(["first", "second"]);
  });

  it("closes with clients that hold on to their connections", async () => {
    const server = await serveMetrics("127.0.0.1:0", {});
    const idle = open(portOf(server));
    await once(idle, "connect");
    await server.close();
    await server.close();
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
  });

  it("refuses garbage, and goes on", async () => {
    const server = await serve({});
    const answerTo = async (bytes: string | Buffer): Promise<string> => {
      const socket = open(portOf(server));
      socket.write(bytes);
      return text(socket);
    };
    expect(await answerTo("\u0000\u0001ZMTP garbage\r\n\r\n")).toMatch(/^HTTP\/1.1 400 /);
    expect(
      await answerTo(`GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ${"y".repeat(20_000)}\r\n\r\n`),
    ).toMatch(/^HTTP\/1.1 431 /);
    expect(await answerTo(Buffer.from("ff00000000000000017f", "hex"))).toMatch(/^HTTP\/1.1 400 /);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  });
});

describe("a server with bounds", () => {
  const LONG = { idleTime: 60_000, responseTime: 60_000 };
  const QUICK: HttpLimits = { requestTime: 100, ...LONG, checkInterval: 20, connections: 10 };

  const ok: RequestListener = (_, response) => response.end("ok");

  async function quick(limits: Partial<HttpLimits>, listener = ok): Promise<number> {
    const server = boundedServer(listener, { ...QUICK, ...limits });
    own({ close: () => shut(server) });
    return listening(server);
  }

  it("does not wait for a head that comes a byte at a time", async () => {
    const socket = open(await quick({}));
    const drip = setInterval(() => socket.write("x"), 10);
    own({ close: () => clearInterval(drip) });
    socket.write("GET / HTTP/1.1\r\nX: ");
    expect(await text(socket)).toMatch(/^HTTP\/1.1 408 /);
  });

  it("does not wait for a body that never ends", async () => {
    const socket = open(await quick({}));
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc");
    expect(await text(socket)).toMatch(/^HTTP\/1.1 (?:200|408) /);
  });

  it("does not wait for a client that says nothing", async () => {
    const socket = open(await quick({ idleTime: 50 }));
    // Read: a busy machine may answer 408 first.
    await once(socket.resume(), "close");
  });

  it("ends a connection that does not wait for an answer", async () => {
    const answers: ServerResponse[] = [];
    const port = await quick({ requestTime: 60_000 }, (_, response) => answers.push(response));
    const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const socket = open(port);
    socket.write(request.repeat(100));
    await once(socket.resume(), "close");
    const [answer] = answers;
    if (answer?.closed === false) await once(answer, "close");
    expect(answers).toHaveLength(1);
  });

  it("answers one request after the other on a connection", async () => {
    const sockets = new Set<Socket>();
    const port = await quick({ requestTime: 60_000 }, ({ socket }, response) => {
      sockets.add(socket);
      response.end(Buffer.alloc(200_000));
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    own({ close: () => agent.destroy() });
    for (let i = 0; i < 50; i++) {
      const [response] = (await once(get({ port, agent }), "response")) as [IncomingMessage];
      expect((await buffer(response)).length).toBe(200_000);
    }
    expect(sockets.size).toBe(1);
  });

  it("ends the oldest connections where there are too many", async () => {
    const port = await quick({ requestTime: 60_000, connections: 10 });
    const sockets = Array.from({ length: 50 }, () => open(port));
    await Promise.all(sockets.slice(0, 40).map((socket) => once(socket.resume(), "close")));
    expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe("ok");
  });

  it("does not keep a response for who does not read it", async () => {
    const server = new EventEmitter();
    const port = await quick({ responseTime: 100 }, (_, response) => {
      response.on("close", () => server.emit("gone")); // Nothing else would end it.
      response.end("x".repeat(64_000_000));
    });
    open(port).pause().write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(server, "gone");
  });
});
