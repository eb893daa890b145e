// @ts-check
/** Makes HTML of a page of docs/: links lead to the site's pages, headings have the names that GitHub gives them. */
import { posix } from "node:path";
import MarkdownIt from "markdown-it";
import { draw } from "./diagram.js";
import { highlight } from "./highlight.js";
import { escapeHtml, slug } from "./html.js";

/**
 * @typedef {{ level: number, id: string, text: string }} Heading
 * @typedef {{ id: string, heading: string, text: string }} Section what the search knows of a part of a page
 * @typedef {{ title: string, html: string, headings: Heading[], sections: Section[] }} Page
 * @typedef {(path: string) => string | undefined} Locate the site's path of a file of the repository, if the site has it
 */

const parser = new MarkdownIt({ html: true });
const { rules } = parser.renderer;

rules.fence = (tokens, index) => {
  const { content, info } = /** @type {import("markdown-it").Token} */ (tokens[index]);
  const [language = ""] = info.split(" ");
  if (language === "mermaid") return draw(content);
  return codeBlock(content, language);
};
rules.code_block = (tokens, index) => codeBlock(tokens[index]?.content ?? "", "text");
rules.heading_close = (tokens, index) => {
  const { tag } = /** @type {import("markdown-it").Token} */ (tokens[index]);
  const id = escapeHtml(String(tokens[index - 2]?.attrGet("id")));
  if (tag === "h1") return "</h1>\n";
  return ` <a class="anchor" href="#${id}" aria-label="Link to this section">#</a></${tag}>\n`;
};
// Wide tables scroll by themselves, by keyboard, too.
rules.table_open = () => '<div class="table" tabindex="0" role="group" aria-label="Table"><table>';
rules.table_close = () => "</table></div>";

/** @param {string} code @param {string} language */
export function codeBlock(code, language) {
  const text = highlight(code.replace(/\n$/, ""), language);
  return `<div class="code"><pre tabindex="0" aria-label="Code"><code>${text}</code></pre></div>\n`;
}

/**
 * @param {string} text
 * @param {string} file of the repository, such as docs/patterns/clone.md
 * @param {Locate} locate
 * @returns {Page}
 */
export function renderPage(text, file, locate) {
  const tokens = parser.parse(text, {});
  /** @type {Heading[]} */
  const headings = [];
  /** @type {Section[]} */
  const sections = [{ id: "", heading: "", text: "" }];
  /** @type {Map<string, number>} */
  const taken = new Map();
  const own = locate(file) ?? fail(file, file);
  /** @param {string} link @returns {string} */
  const relink = (link) => {
    if (/^[a-z]+:/.test(link) || link.startsWith("#")) return link;
    const [path = "", anchor] = link.split("#");
    const target = locate(posix.normalize(posix.join(posix.dirname(file), path))) ?? fail(file, link);
    return relative(own, target) + (anchor === undefined ? "" : `#${anchor}`);
  };
  tokens.forEach((token, index) => {
    if (token.type === "heading_open") {
      const content = tokens[index + 1]?.content ?? "";
      const base = slug(content);
      const count = taken.get(base) ?? 0;
      taken.set(base, count + 1);
      const id = count === 0 ? base : `${base}-${count}`;
      token.attrSet("id", id);
      const heading = { level: Number(token.tag.slice(1)), id, text: plain(content) };
      headings.push(heading);
      sections.push({ id: heading.level === 1 ? "" : id, heading: heading.text, text: "" });
    } else if (token.type === "inline") {
      const section = /** @type {Section} */ (sections.at(-1));
      if (tokens[index - 1]?.type !== "heading_open") section.text += `${plain(token.content)} `;
      const [first] = token.children ?? [];
      // What is still to be checked, in a list of such.
      if (first?.type === "text") first.content = first.content.replace(/^\[ \] /, "☐ ");
      for (const child of token.children ?? []) {
        const href = child.attrGet("href");
        if (href !== null) child.attrSet("href", relink(href));
        const src = child.attrGet("src");
        if (src !== null) child.attrSet("src", relink(src));
        if (child.type === "html_inline") child.content = relinkHtml(child.content, relink);
      }
    } else if (token.type === "html_block") token.content = relinkHtml(token.content, relink);
  });
  const title =
    headings.find(({ level }) => level === 1)?.text ?? fail(file, "no heading of the first level");
  const html = parser.renderer.render(tokens, parser.options, {});
  return { title, html, headings, sections };
}

/** @param {string} html @param {(link: string) => string} relink */
const relinkHtml = (html, relink) =>
  html.replace(
    /\b(src|srcset|href)="([^"\s]+)"/g,
    (_, name, link) => `${name}="${escapeHtml(relink(link))}"`,
  );

/** @param {string} from a page of the site @param {string} to another one */
export const relative = (from, to) => posix.relative(posix.dirname(from), to) || posix.basename(to);

/** What is read of a text with marks. @param {string} text */
export const plain = (text) =>
  text
    .replace(/<[a-z/][^>]*>/g, "")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/[`*]/g, "")
    .replace(/\s+/g, " ")
    .trim();

/** @param {string} file @param {string} what @returns {never} */
function fail(file, what) {
  throw new Error(`${file}: the site does not have ${what}`);
}
