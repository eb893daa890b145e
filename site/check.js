// @ts-check
/**
 * Looks at the built site as a reader's browser does:
 *
 *   node site/check.js [--screenshots FOLDER] [--sample] [PAGE…]
 *
 * The site is served below a path that the build does not know. Of each page: no request to another host, none that fails, at
 * most 300 kB, one heading of the first level and no level left out, names for links, buttons and pictures, contrast of
 * text (WCAG 2: 4.5, large text 3) in light and dark, nothing wider than a small screen. Then search, colours and menu are used.
 * `--sample` takes each tenth page of the API reference, which are all made alike; without a Chromium it is an error.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { Chromium } from "./chromium.js";

const OUT = fileURLToPath(new URL("dist", import.meta.url));
/** Bytes of a page with all that it loads, compressed where servers compress. */
const HEAVIEST = 300_000;
const BASE = "/some/where/";
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };
const SIZES = { phone: [390, 844], tablet: [820, 1180], desktop: [1440, 900] };

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { screenshots: { type: "string" }, sample: { type: "boolean", default: false } },
});

/** Bytes sent for the page that is looked at. */
let weight = 0;
const server = createServer(({ url = "" }, response) => {
  const path = decodeURIComponent(new URL(url, "http://site").pathname);
  try {
    if (!path.startsWith(BASE) || path.includes("..")) throw new Error("not below the site's path");
    const file = readFileSync(join(OUT, path.slice(BASE.length)));
    const body = gzipSync(file, { level: 6 });
    weight += body.length;
    const type = TYPES[/** @type {keyof typeof TYPES} */ (extname(path))] ?? "application/octet-stream";
    response.writeHead(200, { "content-type": type, "content-encoding": "gzip" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
const address = server.address();
const origin = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;

/** @type {string[]} */
const faults = [];
const requests = /** @type {{ url: string }[]} */ ([]);
let loaded = () => {};
let page = "";
const chromium = await Chromium.start();
const call = await chromium.open((method, params) => {
  if (method === "Network.requestWillBeSent") requests.push({ url: params.request.url });
  if (method === "Network.responseReceived" && params.response.status >= 400)
    faults.push(`${page}: ${params.response.status} ${params.response.url}`);
  if (method === "Runtime.exceptionThrown")
    faults.push(`${page}: ${params.exceptionDetails.exception?.description}`);
  if (method === "Page.loadEventFired") loaded();
});
for (const domain of ["Network", "Page", "Runtime"]) await call(`${domain}.enable`);
await call("Network.setCacheDisabled", { cacheDisabled: true });

/** @param {string} path */
async function visit(path) {
  page = path;
  weight = 0;
  requests.length = 0;
  const done = new Promise((resolve) => {
    loaded = () => resolve(undefined);
  });
  await call("Page.navigate", { url: origin + BASE + path });
  await done;
  // TypeDoc shows a page when its script has run.
  await evaluate(
    'new Promise((resolve) => { const look = () => document.body.style.display === "none" ? setTimeout(look, 10) : resolve(); look(); })',
  );
}

/** @param {string} expression @returns {Promise<any>} */
async function evaluate(expression) {
  const parameters = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
  const { result, exceptionDetails } = await call("Runtime.evaluate", parameters);
  if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description);
  return result.value;
}

const resize = (/** @type {number} */ width, /** @type {number} */ height) =>
  call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 500 });
const setTheme = (/** @type {string} */ theme) =>
  evaluate(`document.documentElement.dataset.theme = ${JSON.stringify(theme)}`);

/** Runs in the page. @returns {string[]} what is wrong with its structure */
function structure() {
  const wrong = [];
  const levels = [
    ...document.querySelectorAll(
      "main h1, main h2, main h3, main h4, .col-content h1, .col-content h2, .col-content h3, .col-content h4",
    ),
  ].map((heading) => Number(heading.tagName.slice(1)));
  if (levels.filter((level) => level === 1).length !== 1)
    wrong.push(`${levels.filter((level) => level === 1).length} headings of the first level`);
  // What TypeDoc leaves out is its own.
  const own = document.querySelector("article") !== null;
  levels.forEach((level, index) => {
    if (own && index > 0 && level > (levels[index - 1] ?? 0) + 1)
      wrong.push(`a heading of level ${level} after ${levels[index - 1]}`);
  });
  for (const image of document.querySelectorAll("img"))
    if (!image.hasAttribute("alt")) wrong.push(`no alt text: ${image.src}`);
  for (const image of document.querySelectorAll("article img"))
    if (image.getAttribute("alt") === "") wrong.push(`an empty alt text: ${image.getAttribute("src")}`);
  for (const image of document.querySelectorAll('svg[role="img"]'))
    if (!image.getAttribute("aria-label")) wrong.push("a diagram without a description");
  for (const each of document.querySelectorAll("a[href], button")) {
    const name = each.getAttribute("aria-label") ?? each.getAttribute("title") ?? each.textContent ?? "";
    if (name.trim() === "" && each.querySelector("img[alt]:not([alt=''])") === null && each.checkVisibility())
      wrong.push(`no name: ${each.outerHTML.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll("article [id]")].map(({ id }) => id);
  const twice = ids.filter((id, index) => ids.indexOf(id) !== index);
  if (twice.length > 0) wrong.push(`ids that are there twice: ${[...new Set(twice)].slice(0, 3)}`);
  if (document.documentElement.lang === "") wrong.push("no language");
  if (document.title === "") wrong.push("no title");
  return wrong;
}

/** Runs in the page. @returns {string[]} text whose colour is too near to that behind it */
function contrast() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = /** @type {CanvasRenderingContext2D} */ (
    canvas.getContext("2d", { willReadFrequently: true })
  );
  /** @type {Map<string, number[]>} */
  const known = new Map();
  const channels = (/** @type {string} */ color) => {
    let found = known.get(color);
    if (found === undefined) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
      const [r = 0, g = 0, b = 0, a = 0] = context.getImageData(0, 0, 1, 1).data;
      found = [r, g, b, a / 255];
      known.set(color, found);
    }
    return found;
  };
  const light = (/** @type {number[]} */ color) => {
    const [r = 0, g = 0, b = 0] = color.map((value) =>
      value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (/** @type {Element} */ element) => {
    for (let each = /** @type {Element | null} */ (element); each !== null; each = each.parentElement) {
      const color = channels(getComputedStyle(each).backgroundColor);
      if ((color[3] ?? 0) > 0.9) return color;
    }
    return channels(getComputedStyle(document.documentElement).colorScheme === "dark" ? "#000" : "#fff");
  };
  const wrong = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (
      element === null ||
      walker.currentNode.textContent?.trim() === "" ||
      /^(?:SCRIPT|STYLE|TEMPLATE)$/.test(element.tagName)
    )
      continue;
    const style = getComputedStyle(element);
    // What is shown on hovering alone has no place of its own yet.
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const inDiagram = element.closest(".diagram svg") !== null;
    const fore = channels(inDiagram ? style.fill : style.color);
    const box = inDiagram ? element.closest("text")?.previousElementSibling : null;
    const filled = box?.matches(".node, .note, .group") ? channels(getComputedStyle(box).fill) : undefined;
    const [a, b] = [light(fore), light(filled ?? behind(element))].sort((x, y) => y - x);
    const ratio = ((a ?? 0) + 0.05) / ((b ?? 0) + 0.05);
    const size = Number.parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5))
      wrong.add(
        `contrast ${ratio.toFixed(2)}: <${element.tagName.toLowerCase()} class="${element.getAttribute("class") ?? ""}"> ${walker.currentNode.textContent?.trim().slice(0, 30)}`,
      );
  }
  return [...wrong].slice(0, 4);
}

const everything = readdirSync(OUT, { recursive: true, encoding: "utf8" })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.endsWith(".html"))
  .sort();
const chosen =
  positionals.length > 0
    ? positionals
    : everything.filter(
        (name, index) =>
          !options.sample ||
          !name.startsWith("api/") ||
          index % 10 === 0 ||
          /api\/(?:index|modules)\.html/.test(name),
      );
/** @type {[weight: number, page: string][]} */
const weights = [];
const begun = performance.now();
try {
  await resize(1440, 900);
  for (const path of chosen) {
    await visit(path);
    const report = (/** @type {string[]} */ found) =>
      faults.push(...found.map((fault) => `${path}: ${fault}`));
    report(
      requests
        .filter(({ url }) => !url.startsWith(origin) && !url.startsWith("data:"))
        .map(({ url }) => `asks ${url}`),
    );
    weights.push([weight, path]);
    if (weight > HEAVIEST) report([`${weight} bytes`]);
    report(await evaluate(`(${structure})()`));
    for (const theme of ["light", "dark"]) {
      await setTheme(theme);
      report((await evaluate(`(${contrast})()`)).map((/** @type {string} */ fault) => `${theme}: ${fault}`));
    }
    if (!path.startsWith("api/")) {
      await resize(390, 844);
      const wide = await evaluate("document.documentElement.scrollWidth");
      if (wide > 390) report([`${wide} px wide on a screen of 390`]);
      await resize(1440, 900);
    }
  }
  if (positionals.length === 0) await use();
  if (options.screenshots !== undefined) await takePictures(options.screenshots);
} finally {
  await chromium.close();
  server.close();
}
weights.sort(([a], [b]) => b - a);
for (const fault of faults) console.error(fault);
console.log(
  `${chosen.length} pages in ${Math.round((performance.now() - begun) / 1000)} s, ${faults.length} faults`,
);
console.log(
  `Heaviest: ${weights
    .slice(0, 3)
    .map(([bytes, path]) => `${path} ${Math.ceil(bytes / 1000)} kB`)
    .join(", ")}`,
);
if (faults.length > 0) process.exitCode = 1;

/** Search, colours and menu, as a reader uses them. */
async function use() {
  const expect = (/** @type {boolean} */ holds, /** @type {string} */ what) => {
    if (!holds) faults.push(`${page}: ${what}`);
  };
  const key = async (/** @type {string} */ name) => {
    const text = name.length === 1 ? { text: name } : {};
    await call("Input.dispatchKeyEvent", {
      type: "keyDown",
      key: name,
      code: name,
      windowsVirtualKeyCode: { Enter: 13, Escape: 27, ArrowDown: 40 }[name] ?? 0,
      ...text,
    });
    await call("Input.dispatchKeyEvent", { type: "keyUp", key: name, code: name });
  };
  await visit("patterns/clone.html");
  await key("/");
  expect(
    await evaluate('document.querySelector("dialog").open && document.activeElement.type === "search"'),
    "/ does not open the search",
  );
  await call("Input.insertText", { text: "high-water" });
  await evaluate(
    'new Promise((resolve, reject) => { const end = Date.now() + 10000; const look = () => document.querySelector("dialog li a") ? resolve() : Date.now() > end ? reject(new Error("nothing found")) : setTimeout(look, 20); look(); })',
  );
  const first = await evaluate('document.querySelector("dialog li a").href');
  expect(first.startsWith(origin + BASE), `the search leads to ${first}`);
  const arrived = new Promise((resolve) => {
    loaded = () => resolve(undefined);
  });
  await key("Enter");
  await arrived;
  expect((await evaluate("location.href")) === first, "Enter does not go to what was found");
  await visit("performance.html");
  const shown = 'document.querySelector("picture img").currentSrc';
  await evaluate("localStorage.setItem('tsd-theme', 'dark')");
  await visit("performance.html");
  expect(
    (await evaluate("document.documentElement.dataset.theme")) === "dark",
    "the choice of colours is forgotten",
  );
  await evaluate('document.querySelector("picture").scrollIntoView()');
  expect(/-dark\.svg$/.test(await evaluate(shown)), "a dark page has a light picture");
  await evaluate(
    'document.querySelector("button.theme").click(); document.querySelector("button.theme").click()',
  );
  expect(
    (await evaluate("document.documentElement.dataset.theme")) === "light",
    "the button does not change the colours",
  );
  await evaluate("localStorage.clear()");
  await resize(390, 844);
  await visit("index.html");
  expect(
    !(await evaluate('document.querySelector("#sidebar").checkVisibility()')),
    "the sidebar covers a small screen",
  );
  await evaluate('document.querySelector("button.menu").click()');
  expect(await evaluate('document.querySelector("#sidebar").checkVisibility()'), "the menu does not open");
  await key("Escape");
  expect(
    !(await evaluate('document.querySelector("#sidebar").checkVisibility()')),
    "Escape does not close the menu",
  );
}

/** @param {string} folder */
async function takePictures(folder) {
  mkdirSync(folder, { recursive: true });
  const shown =
    positionals.length > 0
      ? positionals
      : [
          "index.html",
          "getting-started.html",
          "choosing.html",
          "operation.html",
          "patterns/clone.html",
          "performance.html",
          "api/index.html",
        ];
  for (const path of shown)
    for (const [size, [width = 0, height = 0]] of Object.entries(SIZES))
      for (const theme of ["light", "dark"]) {
        await resize(width, height);
        await visit(path);
        await evaluate(`localStorage.setItem("tsd-theme", "${theme}")`);
        await visit(path);
        const { data } = await call("Page.captureScreenshot", { format: "png" });
        writeFileSync(
          join(folder, `${path.replaceAll("/", "-").replace(".html", "")}-${size}-${theme}.png`),
          Buffer.from(data, "base64"),
        );
      }
  await evaluate("localStorage.clear()");
}
