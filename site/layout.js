// @ts-check
/** The frame of each page: header, sidebar, the page, what is on it. All links are relative: the site works below any path. */
import { escapeHtml } from "./html.js";
import { relative } from "./markdown.js";

/**
 * @typedef {{ title: string, path: string }} Link
 * @typedef {{ title: string, links: readonly Link[], groups: readonly { title: string, links: readonly Link[] }[] }} SidebarPart
 * @typedef {{
 *   path: string, title: string, description: string, html: string,
 *   headings: readonly import("./markdown.js").Heading[],
 *   sidebar: readonly SidebarPart[], edit: string | undefined,
 *   previous: Link | undefined, next: Link | undefined, landing: string | undefined, repository: string | undefined,
 * }} Frame
 */

/** Before anything is drawn, so that a dark page is never light first. The reference of the API keeps its choice there, too. */
const THEME = `document.documentElement.dataset.theme=(()=>{try{return localStorage.getItem("tsd-theme")||"os"}catch{return"os"}})()`;

const SEARCH_ICON = `<svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true"><path d="M13 13l5 5M8.5 15a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13z" fill="none" stroke="currentColor" stroke-width="2"/></svg>`;
const THEME_ICON = `<svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true"><circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="2"/><path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor"/></svg>`;

/** @param {Frame} frame @returns {string} */
export function frame({
  path,
  title,
  description,
  html,
  headings,
  sidebar,
  edit,
  previous,
  next,
  landing,
  repository,
}) {
  const to = (/** @type {string} */ target) => escapeHtml(relative(path, target));
  const root = relative(path, "assets").replace(/assets$/, "");
  const link = (/** @type {Link} */ { title, path: target }) => {
    const here = target === path ? ' aria-current="page"' : "";
    return `<li><a href="${to(target)}"${here}>${escapeHtml(title)}</a></li>`;
  };
  const group = (/** @type {SidebarPart["groups"][number]} */ { title, links }) => {
    const open = links.some(({ path: target }) => target === path) ? " open" : "";
    return `<li><details${open}><summary>${escapeHtml(title)}</summary><ul>${links.map(link).join("")}</ul></details></li>`;
  };
  const part = (/** @type {SidebarPart} */ { title, links, groups }) => {
    const all = [...links, ...groups.flatMap(({ links }) => links)];
    const open =
      all.some(({ path: target }) => target === path) || (landing !== undefined && title === "Guide");
    const items = links.map(link).join("") + groups.map(group).join("");
    return `<details${open ? " open" : ""}><summary>${escapeHtml(title)}</summary><ul>${items}</ul></details>`;
  };
  const own = headings.filter(({ level }) => level === 2 || level === 3);
  const toc = own.map(
    ({ level, id, text }) =>
      `<li class="level${level}"><a href="#${escapeHtml(id)}">${escapeHtml(text)}</a></li>`,
  );
  const around = [
    previous === undefined
      ? ""
      : `<a rel="prev" href="${to(previous.path)}">← ${escapeHtml(previous.title)}</a>`,
    next === undefined ? "" : `<a rel="next" href="${to(next.path)}">${escapeHtml(next.title)} →</a>`,
  ];
  const edited = edit === undefined ? "" : `<p><a href="${escapeHtml(edit)}">Edit this page</a></p>`;
  const source = repository === undefined ? "" : `<a href="${escapeHtml(repository)}">Source</a>`;
  const onPage =
    toc.length < 2
      ? ""
      : `<nav class="toc" aria-label="On this page"><p>On this page</p><ul>${toc.join("")}</ul></nav>`;
  const whole = landing === undefined ? `${title} · shoal` : "shoal: fast messaging without a broker";
  return `<!doctype html>
<html lang="en" data-theme="os">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${escapeHtml(description)}">
<title>${escapeHtml(whole)}</title>
<link rel="icon" href="${root}assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${root}assets/site.css">
<script>${THEME}</script>
<script src="${root}assets/site.js" data-root="${root}" defer></script>
</head>
<body${landing === undefined ? "" : ' class="landing"'}>
<a class="skip" href="#content">Skip to the page</a>
<header>
<button class="menu" aria-expanded="false" aria-controls="sidebar">Menu</button>
<a class="home" href="${to("index.html")}"><img src="${root}assets/icon.svg" alt="" width="26" height="26">shoal</a>
<nav aria-label="Parts"><a href="${to("getting-started.html")}">Guide</a><a href="${to("choosing.html")}">Patterns</a><a href="${to("clusters.html")}">Cluster</a><a href="${to("api/index.html")}">API</a>${source}</nav>
<button class="search" aria-keyshortcuts="/">${SEARCH_ICON}<span>Search</span><kbd>/</kbd></button>
<button class="theme" aria-label="Colours: as the system">${THEME_ICON}</button>
</header>
<div class="body">
<nav id="sidebar" aria-label="Pages">${sidebar.map(part).join("")}<p><a href="${to("api/index.html")}">API reference</a></p></nav>
<main id="content">
${landing ?? ""}<article>
${html}</article>
<footer>${edited}<nav aria-label="Next pages">${around.join("")}</nav></footer>
</main>
${onPage}
</div>
<dialog aria-label="Search"><form method="dialog"><input type="search" aria-label="Search the pages" placeholder="Search the pages and the API" autocomplete="off" spellcheck="false"><button aria-label="Close">Esc</button></form><ol></ol><p role="status"></p></dialog>
</body>
</html>
`;
}
