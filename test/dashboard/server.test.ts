/** The dashboard over HTTP: its pages, who is refused, the stream, and what is steered. */
import { once } from "node:events";
import { type IncomingMessage, type RequestListener, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { boundedServer, shut } from "../../src/core/http-server.js";
import type { DashboardList, DashboardOptions, DashboardState } from "../../src/dashboard/index.js";
import { type DashboardSourcesByName, serveDashboard } from "../../src/dashboard/index.js";
import { Dealer, Pull, Push, Router } from "../../src/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../src/patterns/majordomo/index.js";
import { PirateQueue } from "../../src/patterns/pirate/index.js";
import { SocketProxy } from "../../src/proxy/index.js";
import { closeAfterEach } from "../support/close-after-each.js";

const ANY = "tcp://127.0.0.1:*";
const TOKEN = "0123456789abcdef";
const own = closeAfterEach();

async function serve(sources: DashboardSourcesByName, options: DashboardOptions = {}): Promise<string> {
  return own(await serveDashboard("127.0.0.1:0", sources, { interval: 200, ...options })).url;
}

async function streamer(): Promise<SocketProxy> {
  const [frontend, backend] = [{ type: "pull", bind: ANY } as const, { type: "push", bind: ANY } as const];
  const proxy = own(new SocketProxy({ frontend, backend }));
  await proxy.start();
  return proxy;
}

async function stateAt(url: string): Promise<DashboardState> {
  return (await fetch(`${url}/api/state`)).json() as Promise<DashboardState>;
}

async function listAt(url: string, query: Record<string, string>): Promise<DashboardList> {
  return (await fetch(`${url}/api/list?${new URLSearchParams(query)}`)).json() as Promise<DashboardList>;
}

/** A request with a Host of one's own, which fetch does not send. */
function statusWith(url: string, headers: object, method = "GET", path = "/api/state"): Promise<number> {
  return new Promise((resolve, reject) => {
    request(`${url}${path}`, { headers: { ...headers }, method }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on("error", reject)
      .end();
  });
}

/** States of a stream, until one is as wanted. */
async function until(url: string, wanted: (state: DashboardState) => boolean): Promise<DashboardState> {
  const response = await fetch(`${url}/api/events`);
  let text = "";
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString("utf8");
    const events = text.split("\n\n");
    text = events.pop() ?? "";
    for (const event of events) {
      const data = /^event: state\ndata: (.*)$/.exec(event)?.[1];
      if (data === undefined) continue;
      const state = JSON.parse(data) as DashboardState;
      if (wanted(state)) return state;
    }
  }
  throw new Error("the stream ended");
}

function steer(url: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/api/control`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${TOKEN}`, ...headers },
    body: JSON.stringify(body),
  });
}

describe("the dashboard's server", () => {
  it("answers a state with sockets, a proxy, and who is connected to whom; and rates on its stream", async () => {
    const proxy = await streamer();
    const push = own(new Push());
    const pull = own(new Pull());
    push.connect(proxy.endpoints.frontend[0] as string);
    pull.connect(proxy.endpoints.backend[0] as string);
    const url = await serve({ orders: proxy, push, pull });
    const first = await stateAt(url);
    expect(first).toMatchObject({ version: 1, interval: 200, control: false, omitted: 0 });
    expect(first.links.map(({ from, to, toSide }) => [from, to, toSide])).toEqual([
      ["p0/push", "p0/orders", "frontend"],
      ["p0/pull", "p0/orders", "backend"],
    ]);

    // A message for each state, until one has been on its way between two.
    const rated = until(url, ({ processes }) => {
      push.trySend("hello");
      const [orders] = processes[0]?.sources ?? [];
      return (orders?.sides[0]?.rates.in ?? 0) > 0 && (orders?.sides[1]?.out ?? 0) > 0;
    });
    const state = await rated;
    expect(state.processes[0]).toMatchObject({ address: "this program", up: true });
    const [, second] = state.processes[0]?.sources ?? [];
    const sides = [{ side: "socket", type: "push", peers: 1 }];
    expect(second).toMatchObject({ kind: "push", state: "open", sides });
    expect(second?.sides[0]?.out).toBeGreaterThan(0);
  });

  it("lists the peers of a socket with their queues, and says why messages were dropped", async () => {
    const router = own(new Router());
    const endpoint = await router.bind(ANY);
    const dealer = own(new Dealer({ routingId: "boat 7" }));
    const peer = own(new Dealer());
    for (const socket of [dealer, peer]) socket.connect(endpoint);
    await router.ready({ peers: 2 });
    await router.send(["nobody", "lost"]);
    const url = await serve({ router });
    const state = await stateAt(url);
    const sides = [{ dropped: 1, drops: { unroutable: 1 } }];
    expect(state.processes[0]?.sources[0]).toMatchObject({ lists: { peers: 2 }, sides });
    const list = await listAt(url, { source: "p0/router", name: "peers" });
    expect(list.items).toHaveLength(2);
    const address = expect.stringMatching(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    const boat = { name: "boat 7", state: "connected", address };
    const shown = list.items.find(({ name }) => name === "boat 7");
    expect(shown).toEqual({ ...boat, detail: "dealer, 0 to send, 0 received and waiting" });
  });

  it("says why a drain failed that had been accepted", async () => {
    const proxy = await streamer();
    proxy.drain = () => Promise.reject(new Error("the disk is full"));
    const url = await serve({ proxy }, { token: TOKEN });
    expect((await steer(url, { source: "p0/proxy", action: "drain" })).status).toBe(204);
    const state = await until(url, ({ processes }) => processes[0]?.sources[0]?.refusal !== undefined);
    expect(state.processes[0]?.sources[0]?.refusal).toBe("drain: the disk is full");
  });

  it("drains a node of its own program, and shows the state of drivers that drain or are closed", async () => {
    const node = own(new ClusterNode({ registry: false, multicast: false }));
    await node.start();
    const [drained, closed] = [own(new PirateQueue()), own(new PirateQueue())];
    await drained.drain();
    await closed.close();
    const url = await serve({ node, drained, closed }, { token: TOKEN });
    const sources = async () => (await stateAt(url)).processes[0]?.sources;
    expect(await sources()).toMatchObject([
      { id: "p0/node", state: "running", actions: ["drain"] },
      { id: "p0/drained", state: "draining", actions: [] },
      { id: "p0/closed", state: "closed", actions: [] },
    ]);
    expect((await steer(url, { source: "p0/node", action: "pause" })).status).toBe(409);
    expect((await steer(url, { source: "p0/node", action: "drain" })).status).toBe(204);
    expect(node.draining).toBe(true);
    expect((await sources())?.[0]).toMatchObject({ state: "draining", actions: [] });
  });

  it("serves a page without anything from elsewhere, with headers that keep scripts of others out", async () => {
    const url = await serve({});
    const page = await fetch(url);
    const text = await page.text();
    expect(text).not.toMatch(
      /https?:|<style|<script(?! type="module" src="\/page\/main\.js"><\/script>)|\son\w+=/,
    );
    const policy = page.headers.get("content-security-policy");
    expect(policy).toContain("default-src 'none'; script-src 'self';");
    expect(policy).not.toMatch(/unsafe|\*/);
    expect(page.headers.get("x-content-type-options")).toBe("nosniff");
    let bytes = text.length;
    for (const path of ["/page.css", "/page/main.js"]) {
      const part = await fetch(`${url}${path}`);
      expect([path, part.status]).toEqual([path, 200]);
      bytes += (await part.text()).length;
    }
    expect(bytes).toBeLessThan(100_000);
    expect((await fetch(`${url}/page/../../package.json`)).status).toBe(404);
    expect((await fetch(`${url}/page/%2e%2e/main.js`)).status).toBe(404);
  });

  it("refuses a Host that is a name, unless it was allowed", async () => {
    const url = await serve({}, { hosts: ["ops.example"] });
    expect(await statusWith(url, { Host: "evil.example" })).toBe(403);
    expect(await statusWith(url, { Host: "evil.example" }, "POST", "/api/control")).toBe(403);
    expect(await statusWith(url, { Host: "ops.example:9465" })).toBe(200);
    expect(await statusWith(url, { Host: "localhost:1" })).toBe(200);
    expect(await statusWith(url, {}, "PUT")).toBe(405);
    expect(await statusWith(url, {}, "POST", "/api/state")).toBe(405);
  });

  it("pauses and resumes for who has the token, from its own origin", async () => {
    const proxy = await streamer();
    const url = await serve({ orders: proxy }, { token: TOKEN });
    expect((await stateAt(url)).processes[0]?.sources[0]?.actions).toEqual(["pause", "drain"]);
    const order = { source: "p0/orders", action: "pause" };
    const wrong = await steer(url, order, { Authorization: "Bearer 0123456789abcdeX" });
    expect(wrong.status).toBe(401);
    expect(await wrong.text()).toContain('"wrong token"');
    expect((await steer(url, order, { Origin: "http://evil.example" })).status).toBe(403);
    expect((await steer(url, order, { "Content-Type": "text/plain" })).status).toBe(415);
    expect((await steer(url, { source: "p0/orders", action: "kill" })).status).toBe(400);
    expect((await steer(url, { source: "p0/none", action: "pause" })).status).toBe(409);
    expect((await steer(url, { pad: "x".repeat(5_000) })).status).toBe(413);
    expect(proxy.state).toBe("running");
    expect((await steer(url, order)).status).toBe(204);
    expect(proxy.state).toBe("paused");
    expect((await steer(url, { source: "p0/orders", action: "resume" }, { Origin: url })).status).toBe(204);
    expect(proxy.state).toBe("running");
  });

  it("only shows without a token", async () => {
    const proxy = await streamer();
    const url = await serve({ orders: proxy });
    expect((await stateAt(url)).processes[0]?.sources[0]?.actions).toEqual([]);
    expect((await steer(url, { source: "p0/orders", action: "pause" })).status).toBe(403);
    expect(proxy.state).toBe("running");
  });

  it("has room for who looks next: the oldest stream ends", async () => {
    const url = await serve({});
    const look = () =>
      new Promise<{ isOver: boolean; readonly over: Promise<void> }>((resolve, reject) => {
        const asked = request(`${url}/api/events`, { agent: false }, (response) => {
          if (response.statusCode !== 200) reject(new Error(`answered with ${response.statusCode}`));
          const over = new Promise<void>((settle) => response.on("close", settle));
          const stream = { isOver: false, over };
          void over.then(() => {
            stream.isOver = true;
          });
          // One that is cut off says so, too.
          response.on("error", () => undefined).resume();
          resolve(stream);
        });
        asked.on("error", reject).end();
        own({ close: () => asked.destroy() });
      });
    const oldest = await look();
    const others: Awaited<ReturnType<typeof look>>[] = [];
    for (let n = 0; n < 64; n++) others.push(await look());
    await oldest.over;
    expect(others.some(({ isOver }) => isOver)).toBe(false);
  });

  it("a stream outlives the time that a response may take", async () => {
    const streams: ServerResponse[] = [];
    const listener: RequestListener = (asked, response) => {
      response.write("first");
      if (asked.url === "/stream") streams.push(response);
    };
    const stream = { isStream: ({ url }: IncomingMessage) => url === "/stream" };
    const server = boundedServer(listener, { responseTime: 100 }, undefined, stream);
    await once(server.listen(0, "127.0.0.1"), "listening");
    own({ close: () => shut(server) });
    const { port } = server.address() as AddressInfo;
    const lasting = (await fetch(`http://127.0.0.1:${port}/stream`)).text();
    await expect(fetch(`http://127.0.0.1:${port}/other`).then((other) => other.text())).rejects.toThrow();
    streams[0]?.end(" last");
    expect(await lasting).toBe("first last");
  });

  it("has a list of 10,000 members in pages, and no more of them in the state", async () => {
    const members = Array.from({ length: 10_000 }, (_, at) => {
      const state = at % 100 === 7 ? "suspect" : "alive";
      return { name: `node-${at}`, state, addresses: [`10.0.0.1:${at}`], tags: ["eu"] };
    });
    const node = { kind: "cluster", stats: () => ({ members: 10_000 }), members: () => members } as const;
    const url = await serve({ billing: node });
    const state = await stateAt(url);
    expect(state.processes[0]?.sources[0]?.lists).toEqual({ members: 10_000 });
    expect(state.processes[0]?.sources[0]?.members).toHaveLength(32);
    expect(JSON.stringify(state).length).toBeLessThan(4_000);
    const query = { source: "p0/billing", name: "members", filter: "suspect", offset: "90" };
    expect(await listAt(url, query)).toMatchObject({ total: 100, offset: 90, items: { length: 10 } });
    expect(await statusWith(url, {}, "GET", "/api/list?source=p0/billing&name=members&limit=1e9")).toBe(400);
    expect(await statusWith(url, {}, "GET", "/api/list?source=p0/billing&name=constructor")).toBe(404);
  });

  it("lists the services of a broker and the keys of a map, made when they are asked for", async () => {
    const broker = own(new MajordomoBroker());
    const endpoint = await broker.bind(ANY);
    own(new MajordomoWorker(endpoint, "echo", (body) => body));
    const client = own(new MajordomoClient(endpoint));
    await client.request("echo", "hello");
    expect([...broker.services()]).toEqual([
      { name: "echo", workers: 1, queued: 0, requests: 1, replies: 1, failures: 0 },
    ]);
    let made = 0;
    function* entries() {
      made += 1;
      yield ["colour", Buffer.from("secret")] as const;
    }
    const map = { kind: "clone-client", stats: () => ({}), entries, size: 1 } as const;
    const url = await serve({ orders: broker, map }, { interval: 60_000 });
    const [process] = (await stateAt(url)).processes;
    expect(process?.sources.map(({ lists }) => lists)).toEqual([{ services: 1, peers: 2 }, { keys: 1 }]);
    expect(made).toBe(0);
    expect(await listAt(url, { source: "p0/orders", name: "services" })).toMatchObject({
      items: [{ name: "echo", state: "1 worker", detail: "0 queued, 1 requests, 0 failures" }],
    });
    expect(await listAt(url, { source: "p0/map", name: "keys" })).toMatchObject({
      items: [{ name: "colour", state: "6 bytes" }],
    });
  });

  it("shows a source whose statistics fail, and the others", async () => {
    const fails = () => {
      throw new Error("not <b>now</b>");
    };
    const other = { kind: "queue", stats: () => ({}) } as const;
    const url = await serve({ own: { kind: "queue", stats: fails }, other });
    const [process] = (await stateAt(url)).processes;
    expect(process?.up).toBe(true);
    const states = process?.sources.map(({ name, state }) => `${name}: ${state}`);
    expect(states).toEqual(["other: unknown", "own: not read: not <b>now</b>"]);
  });

  it("goes on with a source whose statistics and lists are none that it can show", async () => {
    const steered = { pause: () => undefined, resume: () => undefined, drain: async () => undefined };
    const side = { in: {}, out: { dropped: 1n }, connected: 5 };
    const stats = () => ({ state: "running", frontend: side, backend: side });
    const url = await serve({
      own: { kind: "queue", stats, ...steered } as never,
      map: { kind: "clone-client", stats: () => ({}), entries: () => [], size: 1n } as never,
    });
    const [process] = (await stateAt(url)).processes;
    expect(process?.sources.map(({ name, lists }) => [name, lists])).toEqual([
      ["own", {}],
      ["map", { keys: 0 }],
    ]);
  });

  it("shows no member without a name, and the other sources", async () => {
    const members = () => [
      { name: undefined, state: "alive" },
      { name: "b", state: "alive" },
    ];
    const url = await serve({
      node: { kind: "cluster", stats: () => ({}), members } as never,
      box: { kind: "black-box", stats: () => ({}) },
    });
    const { processes } = await stateAt(url);
    expect(processes[0]?.sources.map(({ name, members }) => [name, members])).toEqual([
      ["node", ["b"]],
      ["box", undefined],
    ]);
  });

  it("shows a source whose statistics do not come, asked for once, and goes on with the others", async () => {
    let asked = 0;
    let answer: (stats: object) => void = () => undefined;
    let received = 0;
    const stats = () => {
      asked += 1;
      return new Promise<object>((resolve) => (answer = resolve));
    };
    const other = { kind: "black-box", stats: () => ({ received: ++received }) } as const;
    const url = await serve({ own: { kind: "queue", stats }, other });
    const own = ({ processes: [process] }: DashboardState) =>
      process?.sources.find(({ name }) => name === "own")?.state;
    await until(url, (state) => own(state) === "not read: no answer in time");
    const before = received;
    await until(url, () => received > before + 2);
    expect(asked).toBe(1);
    answer({});
    await until(url, () => asked === 2);
  });

  it("refuses bad options and sources with EINVAL, an address in use with EADDRINUSE", async () => {
    const invalid = { code: "EINVAL" };
    for (const options of [{ interval: 0 }, { token: "short" }, { hosts: "x" }, { tokn: TOKEN }])
      await expect(serveDashboard("127.0.0.1:0", {}, options as object)).rejects.toMatchObject(invalid);
    await expect(serveDashboard("nowhere", {})).rejects.toMatchObject(invalid);
    await expect(serveDashboard("127.0.0.1:0", { x: {} as never })).rejects.toMatchObject(invalid);
    for (const wrong of [undefined, null, 5, "x", Symbol("x")])
      await expect(serveDashboard("127.0.0.1:0", wrong as never)).rejects.toMatchObject(invalid);
    const url = await serve({});
    await expect(serveDashboard(new URL(url).host, {})).rejects.toMatchObject({ code: "EADDRINUSE" });
  });
});
