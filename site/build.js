// @ts-check
/**
 * Makes the site in site/dist out of docs/, README.md, the examples and the comments of the source:
 *
 *   node site/build.js [--no-api] [--repository URL]
 *
 * All links are relative, and nothing is asked of another host, so that the site works below any path, and as files. A link
 * that leads nowhere, a page that no part of the sidebar has and a diagram that cannot be drawn are errors.
 */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { PARTS, UNSEARCHED } from "./contents.js";
import { escapeHtml } from "./html.js";
import { frame } from "./layout.js";
import { brokenLinks } from "./links.js";
import { codeBlock, plain, renderPage } from "./markdown.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const HERE = fileURLToPath(new URL(".", import.meta.url));
const OUT = join(HERE, "dist");

const { values: options } = parseArgs({
  options: {
    "no-api": { type: "boolean", default: false },
    repository: { type: "string", ...given(process.env.SITE_REPOSITORY ?? packageRepository()) },
  },
});

/** @param {string | undefined} value */
function given(value) {
  return value === undefined || value === "" ? {} : { default: value };
}

function packageRepository() {
  const { repository } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const url = typeof repository === "string" ? repository : repository?.url;
  return url?.replace(/^git\+/, "").replace(/\.git$/, "");
}

const read = (/** @type {string} */ file) => readFileSync(join(ROOT, file), "utf8");
const write = (/** @type {string} */ path, /** @type {string} */ text) => {
  mkdirSync(dirname(join(OUT, path)), { recursive: true });
  writeFileSync(join(OUT, path), text);
};

/** The file of a page of the sidebar. @param {string} name */
const fileOf = (name) => (name.startsWith("../") ? `${name.slice(3)}.md` : `docs/${name}.md`);

/** Programs of the examples, each shown as a page. */
const PROGRAMS = readdirSync(join(ROOT, "examples"), { recursive: true, encoding: "utf8" })
  .map((name) => `examples/${name.replaceAll("\\", "/")}`)
  .filter((name) => /\/[\w-]+\.(?:js|ts)$/.test(name))
  .sort();

/** @param {string} file of the repository @returns {string | undefined} */
function locate(file) {
  if (file === "README.md") return "index.html";
  if (file === "docs/index.md") return "pages.html";
  if (file === "LICENSE" || file === "LICENSE.md") return "license.html";
  if (PROGRAMS.includes(file)) return file.replace(/\.[jt]s$/, ".html");
  if (/^docs\/.*\.md$/.test(file))
    return existsSync(join(ROOT, file)) ? `${file.slice(5, -3)}.html` : undefined;
  if (/^(?:CHANGELOG|SECURITY|CODE_OF_CONDUCT)\.md$/.test(file))
    return `project/${file.slice(0, -3).toLowerCase()}.html`;
  if (/^docs\/images\/.*\.svg$/.test(file)) return file.slice(5);
  return undefined;
}

const begun = performance.now();
// The tables of the pages come from the source.
const built = spawnSync(process.execPath, ["scripts/build.js", "code", "--quiet"], {
  cwd: ROOT,
  stdio: "inherit",
});
if (built.status !== 0) process.exit(1);
rmSync(OUT, { recursive: true, force: true });
if (!options["no-api"]) makeReference();

const pages = new Map(
  ["README", ...PARTS.flatMap(({ pages }) => pages)].map((name) => {
    const file = name === "README" ? "README.md" : fileOf(name);
    return [file, renderPage(read(file), file, locate)];
  }),
);
checkAllListed();

const sidebar = PARTS.map(({ title, pages: names }) => ({
  title,
  links: names.map((name) => linkTo(fileOf(name))),
  groups: names.includes("guide") ? chapters() : [],
}));
const order = sidebar.flatMap(({ links }) => links);

for (const [file, page] of pages) {
  const path = locate(file) ?? "";
  const at = order.findIndex((link) => link.path === path);
  const isLanding = file === "README.md";
  write(
    path,
    frame({
      ...page,
      path,
      html: isLanding ? page.html.replace(/^<h1[\s\S]*?<\/h1>\s*<p>[\s\S]*?<\/p>/, "") : page.html,
      headings: isLanding ? [] : page.headings,
      description: describe(page),
      sidebar,
      edit: editLink(file),
      previous: order[at - 1],
      next: at === -1 ? undefined : order[at + 1],
      landing: isLanding ? landing(page) : undefined,
      repository: options.repository,
    }),
  );
}
for (const file of PROGRAMS) writeProgram(file);
writeLicence();
for (const name of readdirSync(join(ROOT, "docs/images"))) {
  mkdirSync(join(OUT, "images"), { recursive: true });
  copyFileSync(join(ROOT, "docs/images", name), join(OUT, "images", name));
}
mkdirSync(join(OUT, "assets"), { recursive: true });
for (const name of readdirSync(join(HERE, "assets")))
  if (name !== "api.css") copyFileSync(join(HERE, "assets", name), join(OUT, "assets", name));
writeIndex();

const faults = brokenLinks(OUT).filter((fault) => !options["no-api"] || !/api\/\S*: not there/.test(fault));
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
console.log(
  `${pages.size} pages, ${PROGRAMS.length} programs, ${faults.length} broken links, ${Math.round(performance.now() - begun)} ms: site/dist`,
);

function makeReference() {
  const typedoc = join(ROOT, "node_modules/typedoc/bin/typedoc");
  const settings = ["--options", join(HERE, "typedoc.json")];
  const { status } = spawnSync(process.execPath, [typedoc, ...settings], { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) process.exit(1); // It has said why.
}

/** A page of docs/ that the sidebar lacks would never be found. */
function checkAllListed() {
  const lacking = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .map((name) => `docs/${name.replaceAll("\\", "/")}`)
    .filter((name) => name.endsWith(".md") && !name.startsWith("docs/api/") && !pages.has(name));
  if (lacking.length > 0) throw new Error(`site/contents.js lacks ${lacking.join(", ")}`);
}

/** @param {string} file */
function linkTo(file) {
  return { title: (pages.get(file)?.title ?? file).replace(/^Wire form: /, ""), path: locate(file) ?? "" };
}

/** The Guide's chapters with the programs of each. */
function chapters() {
  const folders = [
    ...new Set(PROGRAMS.flatMap((file) => /^examples\/guide\/(chapter\d)\//.exec(file)?.[1] ?? [])),
  ];
  return folders.map((folder) => ({
    title: folder.replace("chapter", "Chapter "),
    links: PROGRAMS.filter((file) => file.includes(`/${folder}/`)).map((file) => ({
      title: nameOf(file),
      path: locate(file) ?? "",
    })),
  }));
}

/** @param {string} file of a program */
function nameOf(file) {
  const name = (file.split("/").at(-1) ?? "").replace(/\.[jt]s$/, "").replaceAll("-", " ");
  return name[0]?.toUpperCase() + name.slice(1);
}

/** @param {string} file */
function editLink(file) {
  return options.repository === undefined ? undefined : `${options.repository}/edit/main/${file}`;
}

/** @param {import("./markdown.js").Page} page */
function describe({ sections, title }) {
  const text = sections.find(({ text }) => text.length > 40)?.text ?? title;
  return text.length < 160 ? text.trim() : `${text.slice(0, 157).replace(/\s\S*$/, "")} …`;
}

/** The head of the first page: the first paragraph of the README, and where to begin. @param {import("./markdown.js").Page} page */
function landing({ html }) {
  const [, claim = ""] = /<p><strong>([\s\S]*?)<\/strong><\/p>/.exec(html) ?? [];
  if (claim === "") throw new Error("README.md does not begin with what shoal is");
  return `<div class="hero"><h1>shoal</h1><p>${claim}</p><p class="actions"><a class="primary" href="getting-started.html">Get started</a> <a href="choosing.html">Which pattern do I need?</a> <a href="api/index.html">API reference</a></p></div>\n`;
}

/** @param {string} file */
function writeProgram(file) {
  const path = locate(file) ?? "";
  const text = read(file);
  const [, chapter] = /guide\/chapter(\d)\//.exec(file) ?? [];
  const up = "../".repeat(path.split("/").length - 1);
  const its =
    chapter === undefined
      ? `One of <a href="${up}guide.html">the examples</a>.`
      : `Of <a href="https://zguide.zeromq.org/docs/chapter${chapter}/">chapter ${chapter} of the ZeroMQ Guide</a>; <a href="${up}guide.html">all of them</a> have what differs, and why.`;
  const html = `<h1>${nameOf(file)}</h1>\n<p>${its} <code>${escapeHtml(file)}</code></p>\n${codeBlock(text, file.slice(-2))}`;
  const head = /\/\*\*([\s\S]*?)\*\//.exec(text)?.[1]?.replace(/^\s*\*/gm, "") ?? nameOf(file);
  const [description = ""] = plain(head).split(/(?<=\.) /);
  write(
    path,
    frame({
      path,
      title: nameOf(file),
      description,
      html,
      headings: [],
      sidebar,
      edit: editLink(file),
      previous: undefined,
      next: undefined,
      landing: undefined,
      repository: options.repository,
    }),
  );
}

function writeLicence() {
  const html = `<h1>Licence</h1>\n<pre class="text" tabindex="0">${escapeHtml(read("LICENSE"))}</pre>`;
  const none = { edit: undefined, previous: undefined, next: undefined, landing: undefined, headings: [] };
  const words = {
    path: "license.html",
    title: "Licence",
    description: "The licence of shoal: MIT",
    html,
    sidebar,
  };
  write("license.html", frame({ ...words, ...none, repository: options.repository }));
}

/** What is searched: a script, since a page that is a file may load one, and may not fetch. */
function writeIndex() {
  const parts = new Map(
    PARTS.flatMap(({ pages, ...part }) => pages.map((name) => [fileOf(name), { ...part, name }])),
  );
  const entries = [...pages].flatMap(([file, { title, sections }]) => {
    const part = parts.get(file);
    if (part === undefined || UNSEARCHED.has(part.name)) return [];
    const path = locate(file) ?? "";
    return sections
      .filter(({ heading, text }) => heading !== "" || text !== "")
      .map(({ id, heading, text }) => [
        id === "" ? path : `${path}#${id}`,
        title,
        id === "" ? "" : heading,
        part.short === true ? "" : text.trim(),
      ]);
  });
  for (const file of PROGRAMS) entries.push([locate(file) ?? "", nameOf(file), "", file]);
  write("assets/search.js", `searchIndex(${JSON.stringify([...entries, ...apiEntries()])})`);
}

/** The pages of the API reference: their names alone. */
function apiEntries() {
  const folder = join(OUT, "api");
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => name.replaceAll("\\", "/"))
    .flatMap((name) => {
      const [, kind = "", entry = ""] =
        /^(classes|functions|interfaces|types|variables)\/(.+)\.html$/.exec(name) ?? [];
      return kind === ""
        ? []
        : [
            [
              `api/${name}`,
              entry.split(".").at(-1) ?? "",
              "",
              `API: ${entry.split(".")[0]?.replaceAll("_", "/")}`,
            ],
          ];
    });
}
