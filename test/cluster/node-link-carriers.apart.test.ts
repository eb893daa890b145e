/** Two nodes of which neither reaches the other's address meet over what a program can open: a proxy's tunnel, a WebSocket. */
import { createServer } from "node:http";
import type { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import { createWebSocketStream, WebSocket, WebSocketServer } from "ws";
import type { ClusterNode } from "../../src/cluster/index.js";
import { acceptLinks, dialLink } from "../../src/link/index.js";
import { connectProxy } from "../support/connect-proxy.js";
import { event, testNodes, together, webServers } from "./nodes.js";

const { started } = testNodes(() => ({
  multicast: false,
  registry: false,
  password: "correct horse battery staple",
}));
const listen = webServers();

/** Serves a node at a web server. @returns opens a stream to it */
type Carrier = (node: ClusterNode) => Promise<() => Promise<Duplex>>;

const throughProxy: Carrier = async (node) => {
  const web = createServer((_, response) => response.end("a web page"));
  acceptLinks(web, (stream) => node.link(stream), { path: "/cluster" });
  const url = `http://${await listen(web)}/cluster`;
  const { server, asked } = connectProxy("ana:secret");
  const proxy = `http://ana:secret@${await listen(server)}`;
  return async () => {
    const before = asked.length;
    const stream = await dialLink(url, { proxy });
    expect(asked.length).toBe(before + 1);
    return stream;
  };
};

const byWebSocket: Carrier = async (node) => {
  const web = createServer((_, response) => response.end("a web page"));
  new WebSocketServer({ server: web }).on("connection", (webSocket) => {
    const stream = createWebSocketStream(webSocket);
    node.link(stream).catch(() => stream.destroy());
  });
  const url = `ws://${await listen(web)}/cluster`;
  return async () => createWebSocketStream(new WebSocket(url));
};

describe.each<[string, Carrier]>([
  ["a tunnel that an HTTP proxy opens by CONNECT", throughProxy],
  ["a WebSocket", byWebSocket],
])("a cluster over %s", (_, carrier) => {
  it("has members, messages and requests, and loses them with the stream until the next one", {
    timeout: 60_000,
  }, async () => {
    // Nobody listens where they say that they are.
    const shop = await started("shop", { announce: "127.0.0.1:1" });
    const till = await started("till", { announce: "127.0.0.1:2" });
    const dial = await carrier(shop);
    shop.serve("price", (what) => (what === "tea" ? 4 : 5));
    const sold: string[] = [];
    shop.subscribe("sold/+", ({ topic, data }) => void sold.push(`${topic} ${data}`));

    const stream = await dial();
    expect(await till.link(stream)).toBe(shop.address);
    await together(2, shop, till);
    expect(await till.request("price", "tea", { waitForReady: true })).toBe(4);
    // As long as no frame of a WebSocket or a chunk of a tunnel is.
    const large = "x".repeat(1_000_000);
    await till.publish("sold/tea", large);
    await expect.poll(() => sold).toEqual([`sold/tea ${large}`]);
    expect([shop.stats().links, till.stats().links]).toEqual([1, 1]);

    const lost = Promise.all([event(shop, "lost"), event(till, "lost")]);
    stream.destroy();
    expect((await lost).map(({ member }) => member.name)).toEqual([till.name, shop.name]);

    await till.link(await dial());
    await together(2, shop, till);
    expect(await till.request("price", "rum", { waitForReady: true })).toBe(5);
  });

  it("is for nobody with another password", async () => {
    const shop = await started("shop", { announce: "127.0.0.1:1" });
    const thief = await started("thief", { announce: "127.0.0.1:2", password: "another one, as good" });
    const dial = await carrier(shop);
    await expect(thief.link(await dial())).rejects.toMatchObject({ code: "ERR_AUTHENTICATION" });
    expect([shop.members().length, thief.members().length]).toEqual([1, 1]);
  });
});
