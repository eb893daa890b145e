/**
 * The sockets in Debian's Chromium, without a window: by default that they talk, the long form has what a page does to them. The same sockets
 * are in sockets.apart.test.ts, and in the contract (the project "page"), without a Chromium.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { curveKeyPair, Publisher, Pull, Push, Reply, Router } from "../../src/index.js";
import { nextEvent } from "../contract/support/wait.js";
import { Child } from "../process/child.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { LONG } from "../support/long.js";
import { missing, peerAt } from "../support/peers.js";
import { Chromium, type Page } from "./support/chromium.js";
import { WEB } from "./support/web.js";

const reason = missing("chromium");
const TIMEOUT = 10_000;
const SECONDS_HIDDEN = 10;

describe.skipIf(reason)(`in Chromium${reason === false ? "" : `: ${reason}`}`, () => {
  const own = closeAfterEach();
  let chromium: Chromium;
  let server: Server;
  let base: string;

  /** Serves an empty page, and what it may import. */
  beforeAll(async () => {
    server = createServer((request, response) => {
      const name = /^\/lib\/([\w./-]+\.js)$/.exec(request.url ?? "")?.[1];
      const type = name === undefined ? "text/html" : "text/javascript";
      response.writeHead(200, { "Content-Type": type });
      response.end(
        name === undefined ? "<!doctype html><title>test</title>" : readFileSync(join(WEB, "min", name)),
      );
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    chromium = await Chromium.start(peerAt("chromium"));
  });
  afterAll(async () => {
    await chromium.close();
    server.closeAllConnections();
    server.close();
  });

  async function openPage(): Promise<Page> {
    const page = await chromium.open(`${base}/`);
    await page.until(`location.origin === ${JSON.stringify(base)} && document.readyState === "complete"`);
    await page.evaluate("import('/lib/index.js').then((all) => { globalThis.shoal = all; })");
    return page;
  }

  it("a page subscribes, requests, is a worker, and has a routing id", async () => {
    const publisher = own(new Publisher());
    await publisher.bind({ server, path: "/publisher" });
    const reply = own(new Reply());
    await reply.bind({ server, path: "/reply" });
    const push = own(new Push());
    await push.bind({ server, path: "/push" });
    const router = own(new Router());
    await router.bind({ server, path: "/router" });
    const page = await openPage();
    const received = page.evaluate<string[]>(`(async () => {
      const subscriber = new shoal.Subscriber();
      subscriber.connect(shoal.pageEndpoint("/publisher"));
      subscriber.subscribe("t");
      const message = await subscriber.receive();
      return message.map(String);
    })()`);
    await publisher.waitForSubscribers({ topic: "t", timeout: TIMEOUT });
    await publisher.send(["t", "grün"]);
    expect(await received).toEqual(["t", "grün"]);

    const answering = reply.receive({ timeout: TIMEOUT }).then(([body]) => reply.send(`${body}?`));
    expect(
      await page.evaluate(`(async () => {
        const request = new shoal.Request();
        request.connect(shoal.pageEndpoint("/reply"));
        return String(await request.request("ready", { timeout: ${TIMEOUT} }));
      })()`),
    ).toBe("ready?");
    await answering;

    const worked = page.evaluate<number>(`(async () => {
      const pull = new shoal.Pull();
      pull.connect(shoal.pageEndpoint("/push"));
      let bytes = 0;
      for (let i = 0; i < 1000; i++) bytes += (await pull.receive())[0].length;
      return bytes;
    })()`);
    for (let i = 0; i < 1_000; i++) await push.send(Buffer.alloc(i));
    expect(await worked).toBe((999 * 1_000) / 2);

    const named = page.evaluate(`(async () => {
      const dealer = new shoal.Dealer({ routingId: "tab" });
      dealer.connect(shoal.pageEndpoint("/router"));
      await dealer.send("hello");
      return String(await dealer.receive());
    })()`);
    expect((await router.receive({ timeout: TIMEOUT })).map(String)).toEqual(["tab", "hello"]);
    await router.send(["tab", "seen"]);
    expect(await named).toBe("seen");
    await page.close();
  });

  it("a page with CURVE requests of a server that knows its key", async () => {
    const keys = curveKeyPair();
    const page = await openPage();
    const publicKey = await page.evaluate<string>(`(async () => {
      const { curveKeyPair, enableCurve } = await import("/lib/curve.js");
      enableCurve();
      globalThis.keys = curveKeyPair();
      return keys.publicKey;
    })()`);
    const reply = own(
      new Reply({
        curveServer: true,
        curveSecretKey: keys.secretKey,
        authenticate: (peer) => peer.publicKey === publicKey,
      }),
    );
    await reply.bind({ server, path: "/curve" });
    const answering = reply.receive({ timeout: TIMEOUT }).then(([body]) => reply.send(`${body}?`));
    expect(
      await page.evaluate(`(async () => {
        const request = new shoal.Request({
          curveServerKey: ${JSON.stringify(keys.publicKey)},
          curvePublicKey: keys.publicKey,
          curveSecretKey: keys.secretKey,
        });
        request.connect(shoal.pageEndpoint("/curve"));
        return String(await request.request("sealed", { timeout: ${TIMEOUT} }));
      })()`),
    ).toBe("sealed?");
    await answering;
    await page.close();
  });

  it.runIf(LONG).each([
    ["stream", /^ZMTP/],
    ["frames", /^ZWS2.0$/],
  ])(
    "a page's messages arrive, from 10 B to 64 MiB, which Chromium sends in fragments: %s",
    {
      timeout: 60_000,
    },
    async (name, protocol) => {
      const pull = own(new Pull({ maxMessageSize: 70_000_000 }));
      await pull.bind({ server, path: `/${name}` });
      const left: unknown[] = [];
      pull.events.on("peer:leave", ({ reason }) => left.push(reason));
      const page = await openPage();
      const sizes = [10, 1_000, 65_535, 65_536, 65_537, 131_072, 300_000, 10, 5_000_000, 67_108_864, 1_000];
      await page.evaluate(`(() => {
      const Standard = WebSocket;
      globalThis.WebSocket = class { constructor(url, all) { return new Standard(url, all.filter((each) => ${protocol}.test(each))); } };
      globalThis.push = new shoal.Push();
      push.connect(shoal.pageEndpoint("/${name}"));
      const bodyOf = (size, i) => { const body = new Uint8Array(size).fill(i); body[size - 1] = 255; return body; };
      globalThis.sending = (async () => {
        for (const [i, size] of ${JSON.stringify(sizes)}.entries()) await push.send([String(i), bodyOf(size, i)]);
        // A burst.
        await Promise.all(Array.from({ length: 200 }, (_, i) => push.send([String(i), bodyOf(1 + i * 700, i & 255)])));
        await push.close();
        return push.stats();
      })();
    })()`);
      for (const [i, size] of [...sizes, ...Array.from({ length: 200 }, (_, n) => 1 + n * 700)].entries()) {
        const [first, body] = (await pull.receive({ timeout: 20_000 })) as [Buffer, Buffer];
        const number = i < sizes.length ? i : i - sizes.length;
        expect([String(first), body.length]).toEqual([String(number), size]);
        expect([body[size - 1], size === 1 || body[0] === (number & 255)]).toEqual([255, true]);
      }
      expect(await page.evaluate("sending")).toMatchObject({ delivered: sizes.length + 200, queued: 0 });
      expect(left.filter((reason) => reason !== "remote")).toEqual([]);
      await pull.close();
      await page.close();
    },
  );

  it.runIf(LONG)("works in a worker of a page", async () => {
    const pull = own(new Pull());
    await pull.bind({ server, path: "/from-worker" });
    const page = await openPage();
    await page.evaluate(`(() => {
      const code = \`
        import { Push } from "${base}/lib/index.js";
        const push = new Push();
        push.connect("${base.replace("http", "ws")}/from-worker");
        await push.send("from a worker");
      \`;
      globalThis.worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
    })()`);
    expect(String(await pull.receive({ timeout: TIMEOUT }))).toBe("from a worker");
    await page.close();
  });

  /** A page that subscribes at a path, and counts what it gets and loses. */
  async function subscribedAt(path: string): Promise<Page> {
    const page = await openPage();
    await page.evaluate(`(() => {
      globalThis.got = [];
      globalThis.lost = [];
      const subscriber = new shoal.Subscriber({ heartbeatInterval: 100, heartbeatTimeout: 300 });
      subscriber.events.on("disconnect", ({ reason }) => lost.push(reason));
      subscriber.connect(shoal.pageEndpoint("${path}"));
      subscriber.subscribe();
      (async () => { for await (const [each] of subscriber) got.push(String(each)); })();
    })()`);
    return page;
  }

  it.runIf(LONG)("a page that nobody sees, whose timers are slow, keeps its connections", async () => {
    const publisher = own(new Publisher({ heartbeatInterval: 100, heartbeatTimeout: 300 }));
    await publisher.bind({ server, path: "/hidden" });
    const left: string[] = [];
    publisher.events.on("disconnect", ({ reason: why }) => left.push(why));
    const page = await subscribedAt("/hidden");
    const front = await openPage();
    await front.call("Page.bringToFront", {});
    await page.until("document.hidden");
    await publisher.waitForSubscribers({ topic: "", timeout: TIMEOUT });
    // Ticks of a slow timer, each as long as three time-outs, and ten heartbeats of the server's.
    for (let second = 0; second < SECONDS_HIDDEN; second++) {
      await publisher.send(String(second));
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    await page.until(`got.length === ${SECONDS_HIDDEN}`);
    expect(await page.evaluate("lost")).toEqual([]);
    expect(left).toEqual([]);
    await Promise.all([page.close(), front.close()]);
  });

  // Chromium ends the WebSocket of a frozen page that gets a message.
  it.runIf(LONG)("a page that was frozen is connected, or connects again", async () => {
    const publisher = own(new Publisher());
    await publisher.bind({ server, path: "/frozen" });
    const page = await subscribedAt("/frozen");
    await publisher.waitForSubscribers({ topic: "", timeout: TIMEOUT });
    await publisher.send("before");
    await page.until("got.includes('before')");
    await page.call("Page.setWebLifecycleState", { state: "frozen" });
    await publisher.send("meanwhile");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await page.call("Page.setWebLifecycleState", { state: "active" });
    const sending = setInterval(() => void publisher.send("after"), 50);
    try {
      await page.until("got.includes('after')");
    } finally {
      clearInterval(sending);
    }
    await page.close();
  });

  it("pages of other origins may not connect", async () => {
    const other = createServer((_, response) => response.end("<!doctype html>")).listen(0, "127.0.0.1");
    await once(other, "listening");
    const pull = own(new Pull());
    await pull.bind({ server, path: "/guarded" });
    const refused = nextEvent(pull, "handshake:error:protocol", ({ error }) =>
      /status 403/.test(error.message),
    );
    const page = await chromium.open(`http://127.0.0.1:${(other.address() as AddressInfo).port}/`);
    await page.until("location.origin.startsWith('http') && document.readyState === 'complete'");
    await page.evaluate(
      `new Promise((resolve) => { new WebSocket("${base.replace("http", "ws")}/guarded", "ZMTP3.1-NULL").onclose = resolve; }).then(() => 1)`,
    );
    expect((await refused).error.message).toMatch(/wsOrigins/);
    await page.close();
    other.closeAllConnections();
    other.close();
  });
});

describe.skipIf(reason || !LONG)("the page of examples/browser-page.js", () => {
  let child: Child;
  let chromium: Chromium;
  afterAll(async () => {
    await child.kill();
    await chromium.close();
  });

  it("draws what it subscribes to, and its button asks", async () => {
    const example = join(import.meta.dirname, "../../examples/browser-page.js");
    child = new Child(process.execPath, [example, "--serve", "0"]);
    const url = await child.line();
    chromium = await Chromium.start(peerAt("chromium"));
    const page = await chromium.open(url);
    await page.until("Number(document.querySelector('#count')?.textContent) >= 10");
    const points = await page.evaluate<string>("document.querySelector('polyline').getAttribute('points')");
    expect(points.split(" ").length).toBeGreaterThanOrEqual(10);
    await page.evaluate("document.querySelector('button').click()");
    await page.until("/^EUR: \\d+\\.\\d\\d$/.test(document.querySelector('#quote').value)");
    const { SHOAL_SCREENSHOT } = process.env;
    const picture = await page.screenshot();
    expect(picture.length).toBeGreaterThan(5_000);
    if (SHOAL_SCREENSHOT !== undefined) (await import("node:fs")).writeFileSync(SHOAL_SCREENSHOT, picture);
  });
});
