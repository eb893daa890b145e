// @ts-check
/** Finds links of a built site that lead nowhere, and whatever a page would ask of another host. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

/** @param {string} folder of the site @returns {string[]} one line for each fault */
export function brokenLinks(folder) {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) =>
    name.replaceAll("\\", "/"),
  );
  /** @type {Map<string, { ids: Set<string>, text: string }>} */
  const pages = new Map();
  for (const name of files.filter((each) => each.endsWith(".html"))) {
    const text = readFileSync(join(folder, name), "utf8");
    pages.set(name, {
      text,
      ids: new Set(Array.from(text.matchAll(/\sid="([^"]+)"/g), ([, id = ""]) => decode(id))),
    });
  }
  const found = [];
  for (const [name, { text }] of pages) {
    // A link in a script or a block of code is text.
    const read = text.replace(
      /<script\b[^>]*>[\s\S]*?<\/script>/g,
      (all) => /^<script[^>]*>/.exec(all)?.[0] ?? "",
    );
    for (const [, tag = "", attributes = ""] of read.matchAll(/<([a-z]+)\s([^>]*)>/g))
      for (const [, attribute, value = ""] of attributes.matchAll(/(?:^|\s)(href|src|srcset)="([^"]*)"/g)) {
        const link = decode(value);
        if (/^(?:[a-z]+:)?\/\//.test(link)) {
          if (tag !== "a") found.push(`${name}: <${tag}> asks another host: ${link}`);
        } else if (link.startsWith("/")) found.push(`${name}: not relative: ${link}`);
        else if (!/^(?:data|mailto):/.test(link)) {
          const [path = "", anchor] = link.split("#");
          const target = path === "" ? name : posix.normalize(posix.join(posix.dirname(name), path));
          const page = pages.get(target);
          if (target.startsWith("..") || (page === undefined && !existsSync(join(folder, target))))
            found.push(`${name}: ${attribute} to ${link}: not there`);
          else if (anchor && page !== undefined && !page.ids.has(decodeURIComponent(anchor)))
            found.push(`${name}: ${attribute} to ${link}: no such heading`);
        }
      }
  }
  return found;
}

/** @param {string} text */
const decode = (text) =>
  text.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
