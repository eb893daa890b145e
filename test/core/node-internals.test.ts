/** Connections that are refused as they are accepted: no stream is made of them. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { PassThrough } from "node:stream";
import { TLSSocket } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import {
  bindNow,
  interceptAccepts,
  pendingOf,
  readsInto,
  setWriteAhead,
  verifyError,
} from "../../src/core/node-internals.js";

let server: Server;

afterEach(() => void server.close());

/** @param handle what `interceptAccepts` finds in place of the server's */
async function serve(
  admits: (address: string) => boolean,
  handle?: object,
): Promise<{ port: number; made: () => number }> {
  let made = 0;
  server = createServer((socket) => {
    made += 1;
    socket.on("error", () => undefined).end("welcome");
  });
  const internal = server as unknown as { _handle: object };
  let own: object;
  server.once("listening", () => {
    own = internal._handle;
    internal._handle = handle ?? own;
  });
  interceptAccepts(server, admits);
  server.once("listening", () => {
    internal._handle = own;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, made: () => made };
}

/** What a connection from an address gets: a text, or the code of its error. */
async function dial(port: number, localAddress: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  let text = "";
  socket.on("data", (bytes) => {
    text += String(bytes);
  });
  const failed = new Promise<string>((resolve) =>
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "")),
  );
  return Promise.race([failed, once(socket, "close").then(() => text)]);
}

it("a filter of accepted connections resets those of an address that may not connect, before a stream is made", async () => {
  const asked: string[] = [];
  const { port, made } = await serve((address) => {
    asked.push(address);
    return address === "127.0.0.1";
  });
  expect(await Promise.all(Array.from({ length: 100 }, () => dial(port, "127.0.0.2")))).toEqual(
    Array.from({ length: 100 }, () => "ECONNRESET"),
  );
  expect(made()).toBe(0);
  expect(await dial(port, "127.0.0.1")).toBe("welcome");
  expect(made()).toBe(1);
  expect(asked).toHaveLength(101);
  // What was refused does not keep the server from closing.
  server.close();
  await once(server, "close");
});

describe(`parts that Node.js ${process.version} does not document`, () => {
  it("are there: a failure here says which of them is gone, and its head what happens then", async () => {
    const { port } = await serve(() => true);
    const socket = connect({ port, host: "127.0.0.1" });
    await once(socket, "connect");
    const secure = new TLSSocket(socket);
    for (const each of [socket, secure]) each.on("error", () => undefined); // They are destroyed in the middle.
    const stream = new PassThrough();
    setWriteAhead(stream, 7);
    const { _handle: listener } = server as unknown as { _handle: object };
    const { _handle: raw } = socket as unknown as { _handle: object };
    const { _handle: encrypted } = secure as unknown as { _handle: object };
    const second = createServer();
    expect({
      onconnection: "onconnection" in listener,
      writeQueueSize: "writeQueueSize" in raw,
      useUserBuffer: readsInto(socket) && readsInto(secure),
      verifyError: "verifyError" in encrypted,
      listen2: bindNow(second, "127.0.0.1", 0, 4, 1) && second.listening,
      writeAhead: stream.writableHighWaterMark,
      tlsError: "_tlsError" in secure,
    }).toEqual({
      onconnection: true,
      writeQueueSize: true,
      useUserBuffer: true,
      verifyError: true,
      listen2: true,
      writeAhead: 7,
      tlsError: true,
    });
    second.close();
    secure.destroy();
    socket.destroy();
  });

  it("have ways without them", () => {
    const socket = Object.assign(new PassThrough(), { authorized: false });
    expect(pendingOf(socket as never)).toBe(0);
    expect(readsInto(socket)).toBe(false);
    expect(verifyError(Object.assign(socket, { _handle: {} }) as never)?.message).toBe("it was not verified");
    expect(bindNow({} as never, "127.0.0.1", 0, 4, 1)).toBe(false);
  });

  it("without onconnection, a stream is made of each connection", async () => {
    const handle = {};
    const { port, made } = await serve(() => false, handle);
    expect(handle).toEqual({});
    expect(await dial(port, "127.0.0.1")).toBe("welcome");
    expect(made()).toBe(1);
  });

  it("without _writableState, a stream keeps its amount", () => {
    const stream = { writableHighWaterMark: 11 };
    setWriteAhead(stream as never, 7);
    expect(stream).toEqual({ writableHighWaterMark: 11 });
  });
});
