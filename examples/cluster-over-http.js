// @ts-check
/** A cluster whose nodes meet over an HTTP request to a path of a web server, with a password and no further open port. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { ClusterNode } from "shoal/cluster";
import { acceptLinks, dialLink } from "shoal/link";

const options = { cluster: "shop", password: "correct horse battery staple", multicast: false };

// The web server of the shop: pages for browsers, and a node at one path.
const shop = new ClusterNode({ name: "shop", ...options });
await shop.start();
const server = createServer((_, response) => response.end("Welcome to the shop"));
acceptLinks(server, (stream) => shop.link(stream), { path: "/cluster" });
server.listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
shop.serve("price", (/** @type {string} */ what) => (what === "tea" ? 4 : 5));

// A till somewhere else, which may reach the web server alone; `dialLink` also goes through a proxy. docs/clusters.md shows
// how to dial again when the stream closes.
const till = new ClusterNode({ name: "till", ...options });
await till.start();
await till.link(await dialLink(`http://127.0.0.1:${port}/cluster`));
assert.equal(await till.request("price", "tea", { waitForReady: true }), 4);
console.log("the till asks the shop over HTTP: tea costs 4");

const page = await fetch(`http://127.0.0.1:${port}/`);
console.log(await page.text());

await till.close();
await shop.close();
server.close();
