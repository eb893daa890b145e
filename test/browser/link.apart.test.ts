/** A link over the standard WebSocket that Node.js brings, to a program's own HTTP server. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { type MultiplexLink, openLink, webSocketStream } from "../../src/link/index.js";
import { acceptWebSockets, type ServerEnd } from "../support/web-socket-server.js";

const links: MultiplexLink[] = [];
const servers: Server[] = [];
afterEach(async () => {
  for (const link of links.splice(0)) await link.close({ linger: 0 });
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** Both ends of a WebSocket, and the socket beneath the server's. */
async function webSocket(): Promise<{
  client: WebSocket;
  server: Promise<ServerEnd>;
  socket: Promise<Socket>;
}> {
  const http = createServer();
  servers.push(http);
  const socket = new Promise<Socket>((resolve) => http.once("upgrade", (request) => resolve(request.socket)));
  const server = new Promise<ServerEnd>((resolve) => acceptWebSockets(http, resolve));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as { port: number };
  return { client: new WebSocket(`ws://127.0.0.1:${port}/link`), server, socket };
}

async function linked(password: string): Promise<[client: MultiplexLink, server: MultiplexLink, Socket]> {
  const { client, server, socket } = await webSocket();
  // Before it is open.
  const dialling = openLink(webSocketStream(client), { role: "initiator", password });
  const accepting = openLink(await server, {
    role: "responder",
    password,
    onChannel: (channel) => {
      channel.on("error", () => undefined);
      channel.pipe(channel);
    },
  });
  const pair = await Promise.all([dialling, accepting]);
  links.push(...pair);
  return [...pair, await socket];
}

describe("a link over a WebSocket of the standard", () => {
  it("carries channels whole and in order, encrypted, and ends", async () => {
    const [client] = await linked("correct horse battery");
    expect(client.isEncrypted).toBe(true);
    const bodies = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const channel = await client.open(`echo ${i}`);
        const sent = Buffer.alloc(300_000, i + 1);
        channel.end(sent);
        return (await buffer(channel)).equals(sent);
      }),
    );
    expect(bodies).toEqual(Array(10).fill(true));
  });

  it.each(["client", "server"] as const)("is closed by its %s without an error at the other", async (by) => {
    const [client, server] = await linked("correct horse battery");
    const [closing, other] = by === "client" ? [client, server] : [server, client];
    const ended = new Promise<{ error?: unknown }>((resolve) => other.events.once("link:ended", resolve));
    await closing.close();
    expect((await ended).error).toBeUndefined();
  });

  it("that is cut fails its channels", async () => {
    const [client, , socket] = await linked("correct horse battery");
    const channel = await client.open("echo");
    channel.write("x");
    await once(channel, "data");
    const failed = once(channel, "error");
    const ended = new Promise<{ error?: unknown }>((resolve) => client.events.once("link:ended", resolve));
    socket.destroy();
    const [error] = await failed;
    expect(error).toMatchObject({ code: "ERR_TRANSPORT" });
    expect(await ended).toMatchObject({ error: { code: "ERR_TRANSPORT" } });
  });
});
