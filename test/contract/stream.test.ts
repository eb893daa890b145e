import { once } from "node:events";
import { createServer, type Server, type Socket as TcpSocket, connect as tcpConnect } from "node:net";
import { expect, it } from "vitest";
import type { Stream } from "../../src/index.js";
import { listening } from "../support/listening.js";
import { describeEngines } from "./support/engines.js";
import { failure, until, within } from "./support/wait.js";

const WAIT = { timeout: 8_000 };

/** Reads pieces of one peer's stream until they make up `text`. */
async function read(stream: Stream, text: string): Promise<Buffer> {
  let got = "";
  let from: Buffer | undefined;
  while (got.length < text.length) {
    const [id, piece] = await stream.receive(WAIT);
    from = id;
    got += piece;
  }
  expect(got).toBe(text);
  return from as Buffer;
}

describeEngines("STREAM", (world) => {
  function client(endpoint: string): TcpSocket {
    const socket = tcpConnect(Number(endpoint.split(":")[2]), "127.0.0.1");
    socket.on("error", () => undefined);
    world.after(() => socket.destroy());
    return socket;
  }

  it("refuses messages for a client that does not read; other clients go on", async () => {
    const stream = world.stream({ sendHighWaterMark: 10 });
    const endpoint = await world.bind(stream);
    client(endpoint).pause();
    const [deaf] = await stream.receive(WAIT);
    const other = client(endpoint);
    const [id] = await stream.receive(WAIT);
    const piece = Buffer.alloc(100_000);
    let refusal: unknown;
    for (let i = 0; i < 5_000 && refusal === undefined; i++)
      await stream.send([deaf, piece], { timeout: 2_000 }).catch((error) => {
        refusal = error;
      });
    expect(refusal).toMatchObject({ code: "EAGAIN" });
    expect(stream.stats().dropped).toMatchObject({ "peer-full": 1, timeout: 0 });
    const heard = once(other, "data");
    await stream.send([id, "hello"], WAIT);
    expect(String((await within(heard, "the other client hears"))[0])).toBe("hello");
    await stream.close({ linger: 0 });
  });

  it("talks raw TCP to a client, and reports its coming and going", async () => {
    const stream = world.stream();
    const socket = client(await world.bind(stream));
    const [id, empty] = await stream.receive(WAIT);
    expect(empty.length).toBe(0);
    expect(id.length).toBeGreaterThan(0);
    socket.write("GET / HTTP/1.0\r\n\r\n");
    expect(await read(stream, "GET / HTTP/1.0\r\n\r\n")).toEqual(id);
    const data = once(socket, "data");
    await stream.send([id, "HTTP/1.0 200 OK\r\n\r\n"]);
    expect(String((await within(data, "the answer"))[0])).toBe("HTTP/1.0 200 OK\r\n\r\n");
    socket.end();
    expect(await stream.receive(WAIT)).toEqual([id, Buffer.alloc(0)]);
  });

  it("an empty frame ends the connection", async () => {
    const stream = world.stream();
    const socket = client(await world.bind(stream));
    const [id] = await stream.receive(WAIT);
    const closed = once(socket, "close");
    socket.resume();
    await stream.send([id, ""]);
    await within(closed, "the connection's end");
  });

  it("connects to a TCP server, which can be named beforehand", async () => {
    const server: Server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.pipe(socket);
    });
    const port = await listening(server);
    const stream = world.stream({ notify: false });
    stream.connect(`tcp://127.0.0.1:${port}`, { routingId: "server" });
    // Once: what is accepted comes back, however long that takes.
    await until(() => {
      try {
        return stream.trySend(["server", "echo"]);
      } catch {
        return false;
      }
    }, "the connection");
    expect(String(await read(stream, "echo"))).toBe("server");
  });

  it("keeps its peers apart and refuses unknown ones", async () => {
    const stream = world.stream();
    const endpoint = await world.bind(stream);
    const sockets = [client(endpoint), client(endpoint)];
    const ids = [(await stream.receive(WAIT))[0], (await stream.receive(WAIT))[0]];
    expect(ids[0]).not.toEqual(ids[1]);
    const data = sockets.map((socket) => once(socket, "data"));
    for (const id of ids) await stream.send([id, id.toString("hex")]);
    const got = (await within(Promise.all(data), "data")).map(([piece]) => String(piece));
    expect(got.sort()).toEqual(ids.map((id) => id.toString("hex")).sort());
    expect((await failure(stream.send(["nobody", "x"]))).code).toBe("EHOSTUNREACH");
    for (const message of [["one"], ["one", "two", "three"], "one"] as never[])
      expect((await failure(stream.send(message))).code).toBe("EINVAL");
  });
});
