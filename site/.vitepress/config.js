/**
 * The site: docs/ and the project's pages as they are, the home page out of README.md, one page for each example, and the
 * reference, which TypeDoc has written to pages/api. All are copied to pages/ and keep their places there, so that the links
 * of docs/ lead to the same page on GitHub and here. SITE_BASE is the path that the site is served below, such as "/shoal/".
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { renderMermaidSVG } from "beautiful-mermaid";
import { slug } from "github-slugger";
import { search } from "./search.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PAGES = join(ROOT, "site/pages");
const base = process.env.SITE_BASE ?? "/";
const repository = process.env.SITE_REPOSITORY;

const read = (file) => readFileSync(join(ROOT, file), "utf8");
const list = (folder) =>
  readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
    .sort();
const write = (file, text) => {
  mkdirSync(dirname(join(PAGES, file)), { recursive: true });
  writeFileSync(join(PAGES, file), text);
};

// Pages that were removed since the last build.
for (const folder of ["docs", "examples"]) rmSync(join(PAGES, folder), { recursive: true, force: true });
const own = ["CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md"];
const docs = list("docs").filter((file) => file.endsWith(".md"));
for (const file of [...docs, ...own]) write(file, adapt(read(file)));
for (const name of ["overview.svg", "overview-dark.svg"])
  cpSync(join(ROOT, "docs/images", name), join(PAGES, "docs/images", name));
write("index.md", adapt(home(read("README.md"))));
for (const file of list("examples").filter((name) => /\.[jt]s$/.test(name)))
  write(pageOf(file), example(file));

const link = (file) => ({ text: /^# (?:Wire format: )?(.*)/m.exec(read(file))?.[1], link: `/${file}` });
const pages = (names) => names.split(" ").map((name) => link(`docs/${name}.md`));
const group = (text, items) => ({ text, items, collapsed: true });

const sidebar = [
  {
    text: "Learn",
    items: pages("getting-started choosing installing sockets codecs guide engines"),
  },
  {
    text: "How-to",
    items: [
      ...pages("security testing cli browsers proxy links"),
      group(
        "Patterns",
        pages(
          "patterns/pirate patterns/load-balancer patterns/majordomo patterns/titanic patterns/binary-star patterns/freelance " +
            "patterns/clone patterns/sequenced patterns/last-value-cache patterns/suicidal-snail patterns/espresso patterns/black-box",
        ),
      ),
      group("Clusters", pages("clusters messaging services sessions discovery")),
    ],
  },
  { text: "Operate", items: pages("operation troubleshooting metrics dashboard tracing") },
  {
    text: "Reference",
    items: [
      group("API", [
        { text: "All modules", link: "/api/" },
        ...list("site/pages/api")
          .flatMap((file) => /^site\/pages\/api\/(.+)\/index\.md$/.exec(file)?.[1] ?? [])
          .map((module) => ({ text: module, link: `/api/${module}/` })),
      ]),
      ...pages("errors limits guarantees performance performance-method"),
      group("Wire formats", list("docs/spec").map(link)),
      group("How shoal is made", list("docs/internals").map(link)),
      ...[...own, "docs/index.md"].map(link),
    ],
  },
];
const missing = docs.filter((file) => !JSON.stringify(sidebar).includes(`"/${file}"`));
if (missing.length > 0)
  throw new Error(`the sidebar in site/.vitepress/config.js lacks ${missing.join(", ")}`);

export default {
  title: "shoal",
  description: "Fast messaging for Node.js without a broker, over the wire protocols of ZeroMQ",
  lang: "en",
  base,
  head: [["link", { rel: "icon", href: `${base}icon.svg` }]],
  srcDir: "pages",
  outDir: "dist",
  metaChunk: true,
  vite: { publicDir: fileURLToPath(new URL("../public", import.meta.url)) },
  transformPageData: ({ filePath, frontmatter }) => {
    if (!/^docs\/|^[A-Z]/.test(filePath)) frontmatter.editLink = false;
  },
  markdown: {
    anchor: { slugify: slug },
    config: (md) => {
      const { fence } = md.renderer.rules;
      md.renderer.rules.fence = (tokens, index, ...rest) =>
        tokens[index].info.startsWith("mermaid")
          ? draw(tokens[index].content)
          : fence(tokens, index, ...rest);
    },
  },
  themeConfig: {
    logo: "/icon.svg",
    nav: [
      { text: "Learn", link: "/docs/getting-started", activeMatch: "^/docs/getting-started" },
      { text: "Patterns", link: "/docs/choosing" },
      { text: "Clusters", link: "/docs/clusters" },
      { text: "API", link: "/api/", activeMatch: "^/api/" },
    ],
    sidebar,
    outline: [2, 3],
    search: { provider: "local", options: search },
    ...(repository && {
      editLink: { pattern: `${repository}/edit/main/:path` },
      socialLinks: [{ icon: "github", link: repository }],
    }),
  },
};

/**
 * A page as the site has it: links to examples lead to their pages, and a picture with a source for dark colours becomes two
 * images, of which the style shows one.
 */
function adapt(text) {
  return text
    .replace(/(?<=\]\([^)\s]*)\bexamples\/[\w/-]+\.[jt]s(?=\))/g, pageOf)
    .replace(
      /<picture>\s*<source[^>]* srcset="([^"]+)">\s*<img alt="([^"]*)" src="([^"]+)">\s*<\/picture>/g,
      '<img class="light-only" alt="$2" src="./$3"><img class="dark-only" alt="$2" src="./$1">',
    );
}

function pageOf(file) {
  return file.replace(/\.[jt]s$/, ".md");
}

function example(file) {
  const name = file.replace(/^.*\/|\.[jt]s$/g, "").replaceAll("-", " ");
  return `# Example: ${name}\n\n\`${file}\`\n\n\`\`\`${file.slice(-2)}\n${read(file)}\`\`\`\n`;
}

/** The home page: the README's claim and first program, its chart next to them, then what it compares. */
function home(readme) {
  const section = (title) => {
    const text = readme.split(/^## /m).find((part) => part.startsWith(`${title}\n`));
    if (text === undefined) throw new Error(`README.md lacks the section ${title}`);
    return `## ${text}`;
  };
  const claim = /\*\*(.*)\*\*/.exec(readme)?.[1];
  const [install] = /```sh[\s\S]*?```/.exec(section("Install"));
  const [program] = /```ts[\s\S]*?```/.exec(section("Publish and subscribe"));
  return `---
layout: home
title: shoal
titleTemplate: fast messaging without a broker
---
<div class="first">
<div>

# shoal

${claim}

[Get started](docs/getting-started.md) [Which pattern?](docs/choosing.md) [API](api/index.md)
{.actions}

${install}

${program}

</div>
<div>

${section("How fast?")}

</div>
</div>

${["Request and reply", "Why not zeromq.js?", "Don't take it if", "Patterns"].map(section).join("")}`;
}

/** A diagram as SVG, in the colours that the theme gives its variables. */
function draw(code) {
  const svg = renderMermaidSVG(code, { transparent: true }).replace(/<style>[\s\S]*?<\/style>/, "");
  return `<div class="diagram" tabindex="0" v-pre>${svg}</div>\n`;
}
