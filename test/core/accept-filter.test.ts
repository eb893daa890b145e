/** Connections that are refused as they are accepted: no stream is made of them. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { filterAccepts } from "../../src/core/accept-filter.js";

let server: Server;

afterEach(() => {
  server.close();
});

async function serve(admits: (address: string) => boolean): Promise<{ port: number; made: () => number }> {
  let made = 0;
  server = createServer((socket) => {
    made += 1;
    socket.end("welcome");
  });
  filterAccepts(server, admits);
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

describe("a filter of accepted connections", () => {
  it("resets those of an address that may not connect, before a stream is made", async () => {
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

  it("asks of each connection again", async () => {
    let isOpen = false;
    const { port } = await serve(() => isOpen);
    expect(await dial(port, "127.0.0.1")).toBe("ECONNRESET");
    isOpen = true;
    expect(await dial(port, "127.0.0.1")).toBe("welcome");
  });
});
