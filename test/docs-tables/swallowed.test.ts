/**
 * No refusal is swallowed without a reason: where an error of a promise is dropped, or one is caught without being looked at, a
 * comment says why nobody needs it, or who has it already.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, it } from "vitest";
import { ROOT } from "./support/markdown.js";

/** What hands nothing on: no value, or a constant in place of one. */
function isConstant(node: ts.Node | undefined): boolean {
  if (node === undefined) return true;
  if (ts.isArrayLiteralExpression(node)) return node.elements.length === 0;
  if (ts.isObjectLiteralExpression(node)) return node.properties.length === 0;
  // A text says what is wrong.
  if (ts.isStringLiteral(node)) return node.text === "";
  return ts.isLiteralExpression(node) || ["undefined", "null", "true", "false"].includes(node.getText());
}

function isIdle(statement: ts.Statement): boolean {
  if (ts.isBreakOrContinueStatement(statement)) return true;
  return ts.isReturnStatement(statement) && isConstant(statement.expression);
}

/** A function that looks at no error and does nothing: `() => undefined`, `() => {}`. */
function isDeaf(node: ts.Node | undefined): boolean {
  if (node === undefined || !ts.isArrowFunction(node) || node.parameters.length > 0) return false;
  return ts.isBlock(node.body) ? node.body.statements.every(isIdle) : isConstant(node.body);
}

/** Where an error ends unseen. */
function swallows(node: ts.Node): boolean {
  if (ts.isCatchClause(node))
    return node.variableDeclaration === undefined && node.block.statements.every(isIdle);
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return false;
  const { text } = node.expression.name;
  return (text === "catch" && isDeaf(node.arguments[0])) || (text === "then" && isDeaf(node.arguments[1]));
}

/** The lines on which errors end unseen, with no comment on them, in them or above them. */
function unexplained(file: string, text: string): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
  const lines = text.split("\n");
  const isComment = (line: string): boolean => /(?:^|\s)\/\/ |^\s*\*|\*\/\s*$/.test(line);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (swallows(node)) {
      const at = (position: number): number => source.getLineAndCharacterOfPosition(position).line;
      const [begin, end] = [
        at(ts.isCatchClause(node) ? node.getStart() : (node as ts.CallExpression).expression.end),
        at(node.end),
      ];
      // One above counts where it stands by itself: what follows a statement is about that one.
      const above = /^\s*\/\/ /.test(lines[at(node.getStart()) - 1] ?? "");
      if (!above && !lines.slice(begin, end + 1).some(isComment)) found.push(`${file}:${begin + 1}`);
    }
    node.forEachChild(visit);
  };
  visit(source);
  return found;
}

it("finds what is swallowed, and a reason next to it", () => {
  const programs = {
    "a().catch(() => undefined);": 1,
    "a().catch(() => {});": 1,
    "a().then(b, () => false);": 1,
    "try { a(); } catch { return undefined; }": 1,
    "try { a(); } catch {}": 1,
    "a().catch(() => undefined); // Its caller has the error.": 0,
    "// Its caller has the error.\na().catch(() => undefined);": 0,
    "b(); // Another reason.\na().catch(() => undefined);": 1,
    "try {\n  a();\n} catch {\n  // It is gone already.\n}": 0,
    "try { a(); } catch { count(); }": 0,
    "try { a(); } catch (error) { report(error); }": 0,
    "a().catch((error) => report(error));": 0,
  };
  for (const [text, count] of Object.entries(programs))
    expect(unexplained("a.ts", text), text).toHaveLength(count);
});

it("no error is dropped in src without a reason next to it", () => {
  const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  expect(files.length).toBeGreaterThan(500);
  const found = files.flatMap((name) =>
    unexplained(`src/${name}`, readFileSync(join(ROOT, "src", name), "utf8")),
  );
  expect(found).toEqual([]);
});
