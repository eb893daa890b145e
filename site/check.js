/**
 * Checks the built site: questions find their page first, every page has its heading and its text, links to headings lead
 * somewhere, and no page loads anything from another host. VitePress itself has refused links to pages that do not exist.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import MiniSearch from "minisearch";
import { search } from "./.vitepress/search.js";

const DIST = fileURLToPath(new URL("dist", import.meta.url));
const base = process.env.SITE_BASE ?? "/";
/** Each with the place that answers it; the first part of a longer name is enough. */
const QUESTIONS = {
  "how do I retry a request": "docs/getting-started.html#requests",
  "what happens when a queue is full": "docs/getting-started.html#full-queues",
  "how do nodes find each other": "docs/clusters.html#finding-each-other",
  "nothing arrives": "docs/troubleshooting.html#messages-do-not-arrive",
  CloneServerOptions: "api/shoal/clone/interfaces/CloneServerOptions.html",
};

const files = readdirSync(DIST, { recursive: true }).map((name) => name.replaceAll("\\", "/"));
const faults = [];

const chunk = files.find((name) => name.includes("@localSearchIndex"));
const { default: text } = await import(join(DIST, chunk));
const { options, searchOptions } = search.miniSearch;
const index = MiniSearch.loadJSON(text, { fields: ["title", "titles", "text"], searchOptions, ...options });
for (const [question, page] of Object.entries(QUESTIONS)) {
  const found = index.search(question).map(({ id }) => id);
  if (!found[0]?.startsWith(base + page))
    faults.push(`"${question}" finds ${found.slice(0, 5).join(", ")} before ${page}`);
}

const pages = new Map();
for (const name of files.filter((name) => name.endsWith(".html") && name !== "404.html"))
  pages.set(name, readFileSync(join(DIST, name), "utf8").replace(/<script\b[^>]*>[\s\S]*?<\/script>/g, ""));
for (const [name, html] of pages) {
  if (!/<h1\b[^>]*>[\s\S]*?<\/h1>[\s\S]*<(?:p|table|pre)\b/.test(html))
    faults.push(`${name}: no heading or no text`);
  const loaded = html.match(
    /<(?:script|img|link|source|iframe)\b[^>]*\b(?:src|href|srcset)="(?:https?:)?\/\/[^"]*/g,
  );
  for (const tag of loaded ?? []) faults.push(`${name}: loads from another host: ${tag}`);
  for (const [, path, anchor] of html.matchAll(/<a\b[^>]* href="([^"#:]*)#([^"]+)"/g)) {
    const target = path.startsWith(base) ? path.slice(base.length) : posix.join(dirname(name), path);
    const page = path === "" ? name : target.replace(/(?:^|(?<=\/))$/, "index.html");
    if (!pages.get(page)?.includes(` id="${decodeURIComponent(anchor)}"`))
      faults.push(`${name}: no ${path}#${anchor}`);
  }
}
for (const name of files.filter((name) => name.endsWith(".css")))
  if (/(?:url\(|@import )["']?(?:https?:)?\/\//.test(readFileSync(join(DIST, name), "utf8")))
    faults.push(`${name}: loads from another host`);

for (const fault of faults) console.error(fault);
console.log(`${pages.size} pages, ${faults.length} faults`);
if (faults.length > 0) process.exitCode = 1;
