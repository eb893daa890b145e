/** A configuration as written: YAML 1.2 with anchors and merge keys (`<<`), and every fault's line and column. */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLError,
  type YAMLMap,
} from "yaml";
import { type Finding, type Path, type Problem, pathText, problemLine } from "./file.js";

interface Found {
  /** Position of the path's last key; absent for list items and the top. */
  readonly key: number | undefined;
  readonly value: number;
}

export class Source {
  readonly file: string;
  readonly value: unknown;
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;

  private constructor(file: string, document: Document.Parsed, lines: LineCounter) {
    this.file = file;
    this.#document = document;
    this.#lines = lines;
    this.value = document.toJS();
  }

  /** @returns all YAML faults, if any */
  static read(file: string, text: string): Source | readonly Problem[] {
    const lines = new LineCounter();
    const document = parseDocument(text, {
      lineCounter: lines,
      merge: true,
      prettyErrors: false, // They repeat lines with secrets.
    });
    const problemAt = (offset: number, message: string): Problem => {
      return { file, ...placeIn(lines, offset), path: "", message: `YAML: ${message}` };
    };
    const faults = [...document.errors, ...document.warnings].map((error) =>
      problemAt(error.pos[0], textOf(error)),
    );
    // The package repeats a fault for each level that it ends.
    const problems = [...new Map(faults.map((problem) => [problemLine(problem), problem])).values()];
    // An alias's `resolve` searches the whole document.
    const anchors = new Map<string, Node>();
    visit(document, {
      Value: (_, node) => {
        if (node.anchor !== undefined) anchors.set(node.anchor, node);
      },
      Alias: (_, alias, parents) => {
        const anchored = anchors.get(alias.source);
        // A value that contains itself would never end a walk.
        if (anchored !== undefined && !parents.includes(anchored)) return;
        const message =
          anchored === undefined
            ? `no anchor &${alias.source} stands before`
            : `*${alias.source} stands within what it repeats`;
        problems.push(problemAt(alias.range?.[0] ?? 0, message));
      },
      Pair: (_, { key }) => {
        const node = isAlias(key) ? anchors.get(key.source) : (key as Node | null);
        const value = isScalar(node) ? node.value : node;
        if (typeof value !== "object" || value === null) return;
        // The key would become a text with all its contents, secrets included, and be printed.
        problems.push(problemAt((key as Node).range?.[0] ?? 0, "expected a text as the key"));
      },
    });
    if (problems.length > 0) return problems;
    try {
      return new Source(file, document, lines);
    } catch {
      return [problemAt(0, "its aliases lead to far too many values")];
    }
  }

  problems(findings: readonly Finding[]): readonly Problem[] {
    return findings
      .map(({ path, atKey, message }) => {
        const found = this.#find(path);
        const offset = atKey === true ? (found.key ?? found.value) : found.value;
        return { file: this.file, ...placeIn(this.#lines, offset), path: pathText(path), message };
      })
      .sort((one, other) => one.line - other.line || one.column - other.column);
  }

  /** Position of a path, or of its nearest existing parent. */
  #find(path: Path): Found {
    let node = this.#document.contents as Node | null;
    let found: Found = { key: undefined, value: node?.range?.[0] ?? 0 };
    for (const part of path) {
      node = this.#followed(node);
      let key: Node | undefined;
      if (isMap(node)) {
        const pair = this.#pair(node, String(part));
        if (pair === undefined) break;
        key = pair.key as Node;
        node = pair.value as Node | null;
      } else if (isSeq(node)) node = (node.items[Number(part)] as Node | undefined) ?? null;
      else break;
      const start = key?.range?.[0];
      found = { key: start, value: node?.range?.[0] ?? start ?? found.value };
    }
    return found;
  }

  #pair(map: YAMLMap, name: string): Pair | undefined {
    for (const pair of map.items) if (keyOf(pair) === name) return pair;
    for (const pair of map.items) {
      if (keyOf(pair) !== "<<") continue;
      const merged = this.#followed(pair.value as Node | null);
      for (const each of isSeq(merged) ? merged.items : [merged]) {
        const other = this.#followed(each as Node | null);
        const inherited = isMap(other) ? this.#pair(other, name) : undefined;
        if (inherited !== undefined) return inherited;
      }
    }
    return undefined;
  }

  #followed(node: Node | null): Node | null {
    return isAlias(node) ? ((node.resolve(this.#document) as Node | undefined) ?? null) : node;
  }
}

/** The merge key is a symbol in some versions. */
function keyOf({ key }: Pair): string {
  const value: unknown = isScalar(key) ? key.value : key;
  return typeof value === "symbol" ? (value.description ?? "") : String(value ?? "");
}

function placeIn(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

function textOf({ code, message }: YAMLError): string {
  if (code === "MULTIPLE_DOCS") return "expected one document; another begins here";
  return message.replace(/: ".*$/s, ""); // The rest is part of the file.
}
