// @ts-check
/** Colours code: each piece gets a class of one letter, whose colour the style sheet has for light and dark. */
import { createCssVariablesTheme, createHighlighter } from "shiki";
import { createJavaScriptRegexEngine } from "shiki/engine/javascript";
import { escapeHtml } from "./html.js";

const LANGUAGES = ["ts", "js", "json", "yaml", "sh", "console", "xml"];
/** Shiki's names of colours, and the classes that stand for them; what is in neither is plain text. */
const CLASSES = /** @type {const} */ ({
  constant: "n",
  string: "s",
  "string-expression": "s",
  comment: "c",
  keyword: "k",
  function: "f",
  parameter: "p",
});

const theme = createCssVariablesTheme({ name: "site", variablePrefix: "", fontStyle: false });
const highlighter = await createHighlighter({
  themes: [theme],
  langs: LANGUAGES,
  engine: createJavaScriptRegexEngine(),
});

/** @param {string} code @param {string} language @returns {string} HTML */
export function highlight(code, language) {
  if (!LANGUAGES.includes(language)) return escapeHtml(code);
  const lines = highlighter.codeToTokensBase(code, {
    lang: /** @type {import("shiki").BundledLanguage} */ (language),
    theme,
  });
  return lines
    .map((tokens) => {
      let html = "";
      let pending = { kind: "", text: "" };
      const flush = () => {
        const text = escapeHtml(pending.text);
        html += pending.kind === "" ? text : `<i class=${pending.kind}>${text}</i>`;
      };
      for (const { content, color = "" } of tokens) {
        const name = /token-([a-z-]+)\)/.exec(color)?.[1] ?? "";
        const kind = CLASSES[/** @type {keyof typeof CLASSES} */ (name)] ?? "";
        if (kind === pending.kind || content.trim() === "") pending.text += content;
        else {
          flush();
          pending = { kind, text: content };
        }
      }
      flush();
      return html;
    })
    .join("\n");
}
