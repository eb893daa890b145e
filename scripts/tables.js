// @ts-check
/**
 * Writes the tables of the documentation. A page of docs/ has a block, from `<!-- table: NAME -->` to `<!-- /table -->`, and
 * its contents are what TABLES below makes of the rows in the source. Values are those of the build in dist; texts are
 * docstrings. scripts/build.js runs this at its end.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const read = (/** @type {string} */ file) => readFileSync(join(ROOT, file), "utf8");
const code = (/** @type {unknown} */ text) => `\`${text}\``;
const grouped = (/** @type {unknown} */ value) =>
  typeof value === "number" ? value.toLocaleString("en-US") : String(value);
const load = (/** @type {string} */ file) => import(new URL(`../dist/${file}.js`, import.meta.url).href);

const { Context, ENGINE_NAMES, ERROR_CODES } = await load("index");
const { OPTIONS, READABLE, WRITABLE } = await load("micro/core/option-table");
const { FAMILIES, labelsOf } = await load("micro/metrics/metrics-table");
const { PROFILES } = await load("micro/cluster/profiles");

/** Why a default is not that of the package `zeromq`. @type {Record<string, string>} */
const WHY_DIFFERENT = {
  maxMessageSize: "A bound on what one peer can make the process hold.",
  heartbeatInterval: "A dead host is noticed in at most seven intervals.",
  heartbeatTimeout: "-1 is six intervals here and one there: a peer that is busy for seconds is not lost.",
};

/** Tables by name. `undefined` leaves the block as it is. @type {Record<string, () => string | undefined>} */
const TABLES = {
  /** Options that differ in nothing but their names share a row. */
  "socket options"() {
    /** @type {string[][]} */
    const rows = [];
    for (const [name, spec] of Object.entries(OPTIONS)) {
      const { kind, unit, on } = spec;
      const few = on === WRITABLE ? "all that send" : on === READABLE ? "all that receive" : on?.join(", ");
      const cells = [`${RANGES[kind]?.(spec)} ${unit ?? ""}`.trim(), shown(spec.default), few ?? "all"];
      const same = rows.find((row) => row.slice(1).join() === cells.join());
      if (same === undefined) rows.push([code(name), ...cells]);
      else same[0] += `, ${code(name)}`;
    }
    return table("Option | Range | Default | Sockets", rows, (cells) => cells);
  },
  capabilities() {
    let engines;
    try {
      engines = ENGINE_NAMES.map(
        (/** @type {string} */ engine) => new Context({ engine }).load().capabilities,
      );
    } catch {
      return undefined; // One of them cannot be loaded on this machine.
    }
    const head = `Capability | ${ENGINE_NAMES.map(code).join(" | ")} | Meaning`;
    return table(head, docstrings("src/engine/engine.ts", "EngineCapabilities"), ([name, text]) => {
      const values = engines.map((/** @type {any} */ engine) =>
        [engine[name]].flat().map(grouped).join(", "),
      );
      return [
        code(name),
        ...values.map((/** @type {string} */ value) =>
          value.replace(/^true$/, "yes").replace(/^false$/, "no"),
        ),
        text,
      ];
    });
  },
  "defaults that differ"() {
    const rows = Object.entries(OPTIONS).filter(([, spec]) => spec.zeromqDefault !== undefined);
    return table("Option | shoal | zeromq | Why", rows, ([name, spec]) => {
      return [code(name), shown(spec.default), shown(spec.zeromqDefault), WHY_DIFFERENT[name]];
    });
  },
  /** Codes with the same remedy share a row. */
  "error codes"() {
    const classes = errorClasses();
    const remedies = docstrings("src/core/error-codes.ts", "ERROR_CODES");
    /** @type {Map<string, [string, any][]>} */
    const rows = new Map();
    for (const entry of Object.entries(ERROR_CODES)) {
      const remedy = remedies.get(entry[0]);
      if (!remedy) throw new Error(`src/core/error-codes.ts does not say what to do for ${entry[0]}`);
      rows.set(remedy, [...(rows.get(remedy) ?? []), entry]);
    }
    return table("Code | Class | Retryable | Meaning | What to do", rows, ([remedy, codes]) => {
      const own = classes.filter((each) => codes.some(([name]) => each.has(name)));
      return [
        codes.map(([name]) => code(name)).join(", "),
        // The system's other codes.
        own.map((each) => code(each.name)).join(", ") || code("TransportError"),
        [...new Set(codes.map(([, { retryable }]) => retryability(retryable)))].join(", "),
        codes.map(([, { meaning }]) => meaning).join(" "),
        remedy,
      ];
    });
  },
  drivers() {
    /** @type {Map<string, string[]>} */
    const rows = new Map();
    for (const [kind, { driver, ready }] of Object.entries(FAMILIES)) {
      if (driver === undefined) continue;
      rows.set(ready, [...(rows.get(ready) ?? []), `${code(driver)} (${code(kind)})`]);
    }
    return table("Ready when | Class (kind)", rows, ([ready, drivers]) => [ready, drivers.join(", ")]);
  },
  metrics() {
    const end = /_total$/;
    const names = (/** @type {any[]} */ metrics, /** @type {any} */ labels, prefix = "") =>
      metrics
        .map((metric) => {
          const [, ...own] = labels(metric);
          const name = metric.name.replace(prefix, "").replace(end, "");
          return code(name + (own.length > 0 ? `{${own.join()}}` : ""));
        })
        .join(" ");
    const head = "Prefix | Label | Counters, each with `_total` at its end | Gauges";
    return table(head, Object.entries(FAMILIES), ([kind, { label, metrics }]) => {
      const prefix = `shoal_${kind.replaceAll("-", "_")}_`;
      const labels = (/** @type {any} */ metric) => labelsOf(kind, metric);
      const [counters, gauges] = ["counter", "gauge"].map((type) =>
        names(
          metrics.filter((/** @type {any} */ metric) => metric.type === type),
          labels,
          prefix,
        ),
      );
      return [code(prefix), code(label), counters, gauges];
    });
  },
  profiles() {
    const profiles = Object.values(PROFILES);
    const head = ` | ${Object.keys(PROFILES).map(code).join(" | ")}`;
    return table(head, Object.keys(PROFILES.lan), (name) => {
      return [code(name), ...profiles.map((profile) => grouped(profile[name]))];
    });
  },
};

/** A class of errors that the package exports, with its docstring. */
const ERROR_CLASS =
  /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*export class (\w+Error) extends (?:Shoal|Timeout|Type)Error\b/g;

/** What an option's value can be, by the kind of option. @type {Readonly<Record<string, (spec: any) => string>>} */
const RANGES = {
  boolean: () => "`true`, `false`",
  integer: ({ min, max }) => `${grouped(min)}…${grouped(max)}`,
  string: ({ max }) => `text ≤ ${grouped(max)} bytes, \`null\``,
  key: () => "Z85, 32 bytes, `null`",
  bytes: ({ max }) => `text, bytes ≤ ${grouped(max)}, \`null\``,
  choice: ({ choices }) => choices.map(shown).join(", "),
};

for (const name of readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".md")) continue;
  const before = read(join("docs", name));
  let heads = before.split("<!-- table:").length - 1;
  const after = before.replace(
    /(<!-- table: ([a-z ]+?) -->\n)(?:(?!<!-- table:)[\s\S])*?(<!-- \/table -->)/g,
    (block, head, kind, end) => {
      heads -= 1;
      const rows = TABLES[kind];
      if (rows === undefined) throw new Error(`docs/${name} has a table without rows: ${kind}`);
      const made = rows();
      return made === undefined ? block : `${head}\n${made}\n\n${end}`;
    },
  );
  if (heads > 0) throw new Error(`docs/${name} has a table whose block has no name or no end`);
  if (after !== before) writeFileSync(join(ROOT, "docs", name), after);
}

/** @template R @param {string} head @param {Iterable<R>} rows @param {(row: R) => readonly (string | undefined)[]} cellsOf */
function table(head, rows, cellsOf) {
  const titles = head.split(" | ");
  const lines = Array.from(rows, (row) => cellsOf(row).map((cell) => (cell ?? "").replaceAll("|", "\\|")));
  return [titles, titles.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** @param {boolean | readonly string[]} retryable */
function retryability(retryable) {
  if (typeof retryable === "boolean") return retryable ? "yes" : "no";
  return `\`reason\` is ${retryable.map(code).join(", ")}`;
}

/** A value in code. @param {unknown} value */
function shown(value) {
  return code(typeof value === "string" ? JSON.stringify(value) : grouped(value));
}

/** The errors of the package. A class has the codes that its docstring names, and those that the source makes it with. */
function errorClasses() {
  /** @type {{ name: string, from: string, text: string }[]} */
  const classes = [];
  let made = "";
  for (const file of readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).sort()) {
    if (!file.endsWith(".ts")) continue;
    const source = read(join("src", file));
    const pairs = source.match(/\bnew \w+Error\(\s*"[A-Z_]+"/g) ?? [];
    made += pairs.join("").replace(/\s+/g, "");
    const [, entry] = /^(kit|store|patterns|sessions|cluster|testing)\//.exec(file) ?? [];
    const from = entry === undefined ? "shoal" : `shoal/${entry.replace(/kit|store/, "patterns")}`;
    for (const [, comment = "", name = ""] of source.matchAll(ERROR_CLASS))
      classes.push({ name, from, text: plain(comment.replace(/^ *\*/gm, "")) });
  }
  classes.sort((a, b) => a.from.localeCompare(b.from));
  return classes.map((each) => {
    const families = each.text.match(/(?<=`)[A-Z_]+(?=…`)/g) ?? [];
    const has = (/** @type {string} */ name) =>
      families.some((family) => name.startsWith(family)) ||
      each.text.includes(code(name)) ||
      made.includes(`new${each.name}("${name}"`);
    return { ...each, has };
  });
}

/** The docstrings of the members of an interface, a class or a constant, by name. @param {string} file @param {string} of */
function docstrings(file, of) {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const statement of ts.createSourceFile(file, read(file), ts.ScriptTarget.ESNext, true).statements) {
    /** @type {any} */
    let node = ts.isVariableStatement(statement) ? statement.declarationList.declarations[0] : statement;
    if (node.name?.text !== of) continue;
    node = node.initializer ?? node;
    while (node.expression !== undefined) node = node.expression;
    for (const member of (node.members ?? node.properties).filter((/** @type {any} */ each) => each.name)) {
      const [doc] = /** @type {any[]} */ (ts.getJSDocCommentsAndTags(member));
      const text = plain(ts.getTextOfJSDocComment(doc?.comment) ?? "");
      found.set(member.name.text, found.get(member.name.text) || text);
    }
  }
  if (found.size === 0) throw new Error(`${file} has no ${of}`);
  return found;
}

/** The text of a docstring on one line, with links. @param {string} text */
function plain(text) {
  const line = text.trim().replace(/\s+/g, " ");
  return line.replace(/\{@link (.+?)\}/g, "`$1`").replace(/docs\/([\w/-]+)\.md/g, "[$1]($1.md)");
}
