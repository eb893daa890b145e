/**
 * Programs for the package `zeromq` v6, as its documentation writes them: sockets that
 * talk. Each runs on shoal and on the package itself, with only the import changed, so
 * a wrong idea of what the package does fails here, too.
 */
import { createServer } from "node:net";
import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import { listening } from "../support/listening.js";
import { failure, thrown, until, within } from "./support/wait.js";
import { facts, inproc, own, PACKAGES, settled, usePrograms } from "./support/zeromq-programs.js";

usePrograms();

describe.each(PACKAGES)("a program for zeromq on %s", (_, zmq) => {
  it("pushes work to a puller that iterates and destructures", async () => {
    const push = own(new zmq.Push());
    await push.bind("tcp://127.0.0.1:*");
    const pull = own(new zmq.Pull());
    pull.connect(push.lastEndpoint as string);
    for (const work of ["one", "two", "three"]) await push.send(work);
    const done: string[] = [];
    for await (const [work] of pull) {
      done.push(String(work));
      if (done.length === 3) break;
    }
    expect(done).toEqual(["one", "two", "three"]);
    expect(pull.closed).toBe(false);
  });

  it("publishes a topic and a body to those who subscribed", async () => {
    const pub = own(new zmq.Publisher());
    await pub.bind("tcp://127.0.0.1:*");
    const sub = own(new zmq.Subscriber());
    sub.connect(pub.lastEndpoint as string);
    sub.subscribe("cats", Buffer.from("dogs"));
    sub.unsubscribe("dogs");
    const news = sub.receive();
    let heard = false;
    void news.then(() => {
      heard = true;
    });
    while (!heard) {
      await pub.send(["dogs", "woof"]);
      await pub.send(["cats", "meow"]);
      await new Promise(setImmediate);
    }
    const [topic, body] = await news;
    expect([String(topic), String(body)]).toEqual(["cats", "meow"]);
  });

  it("routes by id between a router and a dealer", async () => {
    const router = own(new zmq.Router({ mandatory: true }));
    await router.bind("tcp://127.0.0.1:*");
    const dealer = own(new zmq.Dealer({ routingId: "worker" }));
    dealer.connect(router.lastEndpoint as string);
    await dealer.send(["", "ready"]);
    const [id, empty, body] = await router.receive();
    expect([String(id), String(empty), String(body)]).toEqual(["worker", "", "ready"]);
    await router.send([id as Buffer, null, "go"]);
    expect((await dealer.receive()).map(String)).toEqual(["", "go"]);
    const error = await failure(router.send(["nobody", "hello"]));
    expect(facts(error)).toMatchObject({ code: "EHOSTUNREACH", errno: constants.errno.EHOSTUNREACH });
  });

  it("lets a router name the peer that it connects to", async () => {
    const dealer = own(new zmq.Dealer());
    await dealer.bind("tcp://127.0.0.1:*");
    const router = own(new zmq.Router({ mandatory: true }));
    router.connect(dealer.lastEndpoint as string, { routingId: "there" });
    await until(() => router.writable, "the router has a peer");
    await router.send(["there", "hello"]);
    expect(String((await dealer.receive())[0])).toBe("hello");
  });

  it("passes subscriptions through XPUB and XSUB as messages", async () => {
    const xpub = own(new zmq.XPublisher({ verbosity: "allSubsUnsubs" }));
    await xpub.bind("tcp://127.0.0.1:*");
    const xsub = own(new zmq.XSubscriber());
    xsub.connect(xpub.lastEndpoint as string);
    await xsub.send(Buffer.from("\u0001a"));
    expect(await xpub.receive()).toEqual([Buffer.from("\u0001a")]);
    await xpub.send(["a", "news"]);
    expect((await xsub.receive()).map(String)).toEqual(["a", "news"]);
    await xsub.send(Buffer.from("\u0000a"));
    expect(await xpub.receive()).toEqual([Buffer.from("\u0000a")]);
  });

  it("talks plain TCP through a stream", async () => {
    const server = createServer((socket) => socket.on("data", (data) => socket.end(`echo ${data}`)));
    const port = await listening(server);
    const stream = own(new zmq.Stream());
    stream.connect(`tcp://127.0.0.1:${port}`);
    const [id, connected] = await stream.receive();
    await stream.send([id, "hi"]);
    const [, data] = await stream.receive();
    expect([connected.length, String(data)]).toEqual([0, "echo hi"]);
    await new Promise((resolve) => server.close(resolve));
  });

  it("sends each kind of MessageLike", async () => {
    const [a, b] = [own(new zmq.Pair()), own(new zmq.Pair())];
    const endpoint = inproc();
    await a.bind(endpoint);
    b.connect(endpoint);
    const bytes = new Uint8Array([1, 2, 3, 4]);
    await a.send(["é", 16.5, null, Buffer.from("buf"), bytes, bytes.buffer, new Uint16Array([0x0201])]);
    const received = await b.receive();
    expect(received.every(Buffer.isBuffer)).toBe(true);
    expect(received.map((frame) => frame.toString("hex"))).toEqual([
      "c3a9",
      Buffer.from("16.5").toString("hex"),
      "",
      Buffer.from("buf").toString("hex"),
      "01020304",
      "01020304",
      "0102",
    ]);
  });

  it("sets up CURVE by properties", async () => {
    const server = zmq.curveKeyPair();
    const client = zmq.curveKeyPair();
    const reply = own(new zmq.Reply());
    reply.curveServer = true;
    reply.curvePublicKey = server.publicKey;
    reply.curveSecretKey = server.secretKey;
    await reply.bind("tcp://127.0.0.1:*");
    const request = own(new zmq.Request());
    request.curveServerKey = server.publicKey;
    request.curvePublicKey = client.publicKey;
    request.curveSecretKey = client.secretKey;
    request.connect(reply.lastEndpoint as string);
    await request.send("secret");
    expect(String(await reply.receive())).toBe("secret");
    expect([reply.securityMechanism, request.securityMechanism]).toEqual(["curve", "curve"]);
  });

  it("runs a proxy until it is terminated", async () => {
    const proxy = new zmq.Proxy(own(new zmq.Router()), own(new zmq.Dealer()));
    expect(facts(thrown(() => proxy.terminate()))).toMatchObject({ code: "EBADF" });
    expect(facts(await settled(() => proxy.run()))).toMatchObject({ code: "EINVAL" });
    const [front, back] = [inproc(), inproc()];
    await proxy.frontEnd.bind(front);
    await proxy.backEnd.bind(back);
    const running = proxy.run();
    const reply = own(new zmq.Reply());
    reply.connect(back);
    const request = own(new zmq.Request());
    request.connect(front);
    const answer = async (): Promise<void> => reply.send(await reply.receive());
    await Promise.all([request.send("first"), answer()]);
    expect(String(await request.receive())).toBe("first");
    proxy.terminate();
    await within(running, "the proxy's end");
    expect([proxy.frontEnd.closed, proxy.backEnd.closed]).toEqual([true, true]);
    expect((thrown(() => proxy.terminate()) as { code?: string }).code).toBe("EBADF");
  });
});
