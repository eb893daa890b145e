/** The tables of the documentation, as rows of cells. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "../..");

/**
 * The rows of the first table under a heading, without its head and rule.
 *
 * @param file below docs/
 * @param heading its text, without the marks
 */
export function tableUnder(file: string, heading: string): string[][] {
  const lines = readFileSync(join(ROOT, "docs", file), "utf8").split("\n");
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, "") === heading);
  if (start < 0) throw new Error(`docs/${file} has no heading "${heading}"`);
  const rows: string[][] = [];
  for (const line of lines.slice(start + 1)) {
    if (line.startsWith("|")) rows.push(cellsOf(line));
    else if (rows.length > 0 || /^#+ /.test(line)) break;
  }
  if (rows.length < 3) throw new Error(`docs/${file} has no table under "${heading}"`);
  return rows.slice(2);
}

/** A pipe inside a cell is written `\|`. */
function cellsOf(line: string): string[] {
  return line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** The names in code marks of a cell. */
export function codes(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code as string);
}

/** What each row of the first table under a heading is called, and the bytes in its second cell. */
export function vectorsUnder(file: string, heading: string): [what: string, hex: string][] {
  return tableUnder(file, heading).map(([what = "", hex = ""]) => [what, codes(hex)[0] ?? ""]);
}
