// @ts-check
/**
 * A page with the sockets of shoal: a chart of prices that it subscribes to, and a button that asks for a quote. One program
 * serves the page, the library and the sockets, on one port.
 *
 *   node examples/browser-page.js --serve 8080     then open the address that it prints
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { json, Publisher, Reply, Subscriber } from "shoal";

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>shoal in a page</title>
<style>
  body { font: 16px system-ui, sans-serif; margin: 2rem; color: #1b2a33 }
  svg { display: block; width: 40rem; height: 12rem; border: 1px solid #c8d3d9; background: #f7fafb }
  polyline { fill: none; stroke: #0b7285; stroke-width: 2 }
  button { font: inherit; padding: .4rem 1rem; margin: 1rem 1rem 0 0 }
</style>
<h1>Prices, as they come</h1>
<svg viewBox="0 0 100 100" preserveAspectRatio="none"><polyline vector-effect="non-scaling-stroke"/></svg>
<p><span id="count">0</span> prices, the last <b id="price">none</b></p>
<button>Ask for a quote</button><output id="quote"></output>
<script type="module" src="/page.js"></script>
`;

const SCRIPT = `
import { json, pageEndpoint, Request, Subscriber } from "/shoal.js";

const find = (name) => document.querySelector(name);

const prices = new Subscriber({ codec: json() });
prices.connect(pageEndpoint("/prices"));
prices.subscribe("EUR");

const quotes = new Request({ relaxed: true, correlate: true });
quotes.connect(pageEndpoint("/quotes"));
find("button").onclick = async () => {
  find("#quote").value = await quotes.request("EUR", { timeout: 2_000 }).then(String, (error) => error.message);
};

const shown = [];
let count = 0;
for await (const [, price] of prices) {
  shown.push(price);
  if (shown.length > 50) shown.shift();
  find("polyline").setAttribute("points", shown.map((y, x) => \`\${x * 2},\${100 - y}\`).join(" "));
  find("#price").textContent = price.toFixed(2);
  find("#count").textContent = String(++count);
}
`;

/** @type {Record<string, { type: string, text: () => string | Buffer }>} */
const FILES = {
  "/": { type: "text/html", text: () => PAGE },
  "/page.js": { type: "text/javascript", text: () => SCRIPT },
  "/shoal.js": {
    type: "text/javascript",
    text: () => readFileSync(fileURLToPath(import.meta.resolve("shoal/browser/min"))),
  },
};

const server = createServer((request, response) => {
  const file = FILES[request.url ?? ""];
  if (file === undefined) response.writeHead(404).end("Not found\n");
  else response.writeHead(200, { "Content-Type": `${file.type}; charset=utf-8` }).end(file.text());
});

const [flag, wanted = "0"] = process.argv.slice(2);
const isServing = flag === "--serve";
server.listen(Number(wanted), "127.0.0.1");
await once(server, "listening");
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());

// The sockets take the upgrades at their paths. Only pages of this server may connect (option wsOrigins).
const prices = new Publisher({ codec: json() });
await prices.bind({ server, path: "/prices" });
const quotes = new Reply();
await quotes.bind({ server, path: "/quotes" });

let price = 50;
const ticking = setInterval(() => {
  price = Math.min(95, Math.max(5, price + (Math.random() - 0.5) * 10));
  void prices.send(["EUR", price]);
}, 100);

const answering = (async () => {
  for await (const [currency] of quotes) await quotes.send(`${currency}: ${price.toFixed(2)}`);
})();

console.log(`http://127.0.0.1:${port}/`);

if (!isServing) {
  // What the page does, from here.
  const page = await fetch(`http://127.0.0.1:${port}/`);
  assert.match(await page.text(), /Prices, as they come/);
  const subscriber = new Subscriber({ codec: json() });
  subscriber.connect(`ws://127.0.0.1:${port}/prices`);
  subscriber.subscribe("EUR");
  const [topic, first] = await subscriber.receive({ timeout: 5_000 });
  assert.equal(String(topic), "EUR");
  assert.equal(typeof first, "number");
  clearInterval(ticking);
  await Promise.all([subscriber.close(), prices.close(), quotes.close(), answering]);
  server.closeAllConnections();
  server.close();
}
