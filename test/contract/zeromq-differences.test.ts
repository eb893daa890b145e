/** What shoal does otherwise than the package `zeromq`, on purpose; docs/engines.md has the reasons. */
import { describe, expect, it } from "vitest";
import * as shoal from "../../src/index.js";
import { failure, thrown, within } from "./support/wait.js";
import { inproc, own, settled, usePrograms } from "./support/zeromq-programs.js";

usePrograms();

describe("where shoal differs from zeromq on purpose", () => {
  it("queues calls that would be EBUSY", async () => {
    const [a, b] = [own(new shoal.Pair()), own(new shoal.Pair())];
    const endpoint = inproc();
    const binding = Promise.all([a.bind(endpoint), a.bind("tcp://127.0.0.1:*")]);
    const sending = Promise.all([b.send("1"), b.send("2")]);
    await binding;
    b.connect(endpoint);
    await sending;
    expect((await Promise.all([a.receive(), a.receive()])).flat().map(String)).toEqual(["1", "2"]);
  });

  it("checks options strictly: no undefined, no bytes for text, no CURVE server without a key", async () => {
    const dealer = own(new shoal.Dealer());
    expect(thrown(() => Object.assign(dealer, { sendTimeout: undefined })).code).toBe("EINVAL");
    expect(thrown(() => Object.assign(dealer, { socksProxy: Buffer.from("x") })).code).toBe("EINVAL");
    dealer.curveServer = true;
    expect((await failure(dealer.bind("tcp://127.0.0.1:*"))).code).toBe("EINVAL");
  });

  it("keeps what a closed socket knew, and refuses changes with EBADF", async () => {
    const dealer = own(new shoal.Dealer({ linger: 0, sendTimeout: 7 }));
    const result = await dealer.close();
    expect(result).toEqual({ flushed: 0, discarded: 0, unknown: 0 });
    expect([dealer.sendTimeout, dealer.context]).toEqual([7, shoal.context]);
    expect(
      thrown(() => {
        dealer.sendTimeout = 8;
      }).code,
    ).toBe("EBADF");
  });

  it("lets listeners and reading of events go together, and has observers next to each other", async () => {
    const reply = own(new shoal.Reply());
    const second = new shoal.Observer(reply);
    const heard: string[] = [];
    reply.events.on("bind", ({ address }) => heard.push(address));
    const [first, other] = [reply.events.receive(), second.receive()];
    await reply.bind("tcp://127.0.0.1:*");
    expect((await within(first, "an event")).type).toBe("bind");
    expect((await within(other, "an event")).type).toBe("bind");
    expect(heard).toEqual([reply.lastEndpoint]);
    second.close();
    expect([second.closed, reply.events.closed]).toEqual([true, false]);
  });

  it("does what the package means to do: unbindSync unbinds, CURVE keys can be read, a DataView is bytes", async () => {
    const [a, b] = [own(new shoal.Pair()), own(new shoal.Pair())];
    a.bindSync("tcp://127.0.0.1:*");
    const endpoint = a.lastEndpoint as string;
    a.unbindSync(endpoint);
    await b.bind(endpoint);
    expect(thrown(() => a.unbindSync(endpoint)).code).toBe("ENOENT");
    const key = shoal.curveKeyPair().publicKey;
    const client = own(new shoal.Dealer({ curveServerKey: key }));
    expect(client.curveServerKey).toBe(key);
    client.curveServerKey = Buffer.alloc(32);
    expect(client.curveServerKey).toBe("0".repeat(40));
    a.connect(endpoint);
    await a.send(new DataView(new Uint8Array([1, 2, 3]).buffer, 1, 2));
    expect(await b.receive()).toEqual([Buffer.from([2, 3])]);
  });

  // The package's own proxy blocks the event loop when it is resumed with messages waiting.
  it("holds messages back while a proxy is paused, and passes them when it resumes", async () => {
    const proxy = new shoal.Proxy(own(new shoal.Pull()), own(new shoal.Push()));
    const [front, back] = [inproc(), inproc()];
    await proxy.frontEnd.bind(front);
    await proxy.backEnd.bind(back);
    const running = proxy.run();
    const push = own(new shoal.Push());
    push.connect(front);
    const pull = own(new shoal.Pull());
    pull.connect(back);
    await push.send("before");
    expect(String(await pull.receive())).toBe("before");
    proxy.pause();
    await push.send("while");
    const early = await settled(() => pull.receive({ timeout: 100 }));
    proxy.resume();
    expect(String(await pull.receive())).toBe("while");
    expect(early).toMatchObject({ code: "EAGAIN" });
    proxy.terminate();
    await within(running, "the proxy's end");
  });

  it("has the draft sockets in shoal/draft, on the engine zmtp", () => {
    for (const engine of ["zmtp", "libzmq"]) {
      const { features } = new shoal.Context({ engine }).load();
      expect(features).toMatchObject({ draft: engine === "zmtp", curve: true });
    }
  });

  it("takes conflate of a publisher at construction only, on the engine libzmq", () => {
    const context = new shoal.Context({ engine: "libzmq" });
    const publisher = own(new shoal.Publisher({ context }));
    expect(
      thrown(() => {
        publisher.conflate = true;
      }).code,
    ).toBe("NOT_SUPPORTED");
    expect(own(new shoal.Publisher({ conflate: true })).conflate).toBe(true);
  });

  it("waits, with noDrop, where the package rejects with EAGAIN", async () => {
    const pub = own(new shoal.XPublisher({ noDrop: true, sendHighWaterMark: 1 }));
    const sub = own(new shoal.Subscriber({ receiveHighWaterMark: 1 }));
    const endpoint = inproc();
    await pub.bind(endpoint);
    sub.connect(endpoint);
    sub.subscribe();
    await pub.receive();
    while (pub.trySend("fill"));
    const sent = pub.send("last");
    const received: string[] = [];
    for await (const [frame] of sub) {
      received.push(String(frame));
      if (received.at(-1) === "last") break;
    }
    await sent;
    expect(received.filter((text) => text === "last")).toHaveLength(1);
  });
});
