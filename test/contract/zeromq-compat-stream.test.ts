/** Programs for the package `zeromq` that send to a raw TCP peer before it is there. They run on shoal and on the package. */
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import * as shoal from "../../src/index.js";
import { freePort } from "../support/ports.js";
import { failure, nextEvent, until, within } from "./support/wait.js";
import { own, PACKAGES, usePrograms } from "./support/zeromq-programs.js";

usePrograms();

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that keeps what its clients send, and ends each after `bytes` of it. */
async function listen(port = 0, bytes = Number.POSITIVE_INFINITY) {
  const heard: string[] = [];
  const server = createServer((socket) => {
    const at = heard.push("") - 1;
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      heard[at] += String(data);
      if ((heard[at] as string).length >= bytes) socket.end();
    });
  });
  servers.push(server);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return { heard, port: (server.address() as { port: number }).port, server };
}

describe.each(PACKAGES)("a program for zeromq on %s", (_, zmq) => {
  it("sends to a named raw peer at once after connect: it gets all of it, in order", async () => {
    const { heard, port } = await listen();
    const stream = own(new zmq.Stream());
    stream.connect(`tcp://127.0.0.1:${port}`, { routingId: "server" });
    await stream.send(["server", "one "]);
    await stream.send(["server", "two"]);
    await until(() => heard[0] === "one two", "the bytes");
    expect((await within(stream.receive(), "the notice")).map(String)).toEqual(["server", ""]);
  });

  it("closes with a linger, and what it sent before the connection stood arrives", async () => {
    const { heard, port } = await listen();
    const stream = new zmq.Stream({ linger: 8_000 });
    stream.connect(`tcp://127.0.0.1:${port}`, { routingId: "server" });
    await stream.send(["server", "bye"]);
    await stream.close();
    await until(() => heard[0] === "bye", "the bytes");
  });
});

describe("shoal on the engine zmtp", () => {
  const context = new shoal.Context({ engine: "zmtp" });

  it("keeps what was sent until the peer is there, up to the mark, and counts it", async () => {
    const port = await freePort();
    const stream = own(new shoal.Stream({ context, reconnectInterval: 10, sendHighWaterMark: 2, linger: 0 }));
    stream.connect(`tcp://127.0.0.1:${port}`, { routingId: "server" });
    await nextEvent(stream, "connect:retry");
    await stream.send(["server", "one "]);
    await stream.send(["server", "two "]);
    expect((await failure(stream.send(["server", "three"]))).code).toBe("EAGAIN");
    expect(stream.stats()).toMatchObject({ queued: 2, pendingSends: 0, dropped: { "peer-full": 1 } });
    const { heard } = await listen(port);
    await until(() => heard[0] === "one two ", "the bytes");
  });

  it("keeps nothing for a next connection, and nothing with `immediate`", async () => {
    const { heard, port } = await listen(0, 3);
    const stream = own(new shoal.Stream({ context, reconnectInterval: 20, notify: false }));
    stream.connect(`tcp://127.0.0.1:${port}`, { routingId: "server" });
    const left = nextEvent(stream, "peer:leave");
    await stream.send(["server", "one"]);
    await left;
    expect((await failure(stream.send(["server", "two"]))).code).toBe("EHOSTUNREACH");
    await until(() => heard.length > 1, "another connection");
    expect(heard).toEqual(["one", ""]);
    const immediate = own(new shoal.Stream({ context, immediate: true }));
    immediate.connect(`tcp://127.0.0.1:${port}`, { routingId: "server" });
    expect((await failure(immediate.send(["server", "one"]))).code).toBe("EHOSTUNREACH");
  });

  it("counts what was sent to a peer that never came as dropped when it is disconnected", async () => {
    const port = await freePort();
    const stream = own(new shoal.Stream({ context, linger: 0 }));
    stream.connect(`tcp://127.0.0.1:${port}`, { routingId: "server" });
    await stream.send(["server", "one"]);
    stream.disconnect(`tcp://127.0.0.1:${port}`);
    expect(stream.stats()).toMatchObject({ queued: 0, dropped: { disconnected: 1 } });
    expect((await failure(stream.send(["server", "two"]))).code).toBe("EHOSTUNREACH");
  });
});
