// @ts-check
/**
 * A part of `npm run lint`: where the source drops an error of a promise, or catches one without a look at it, a comment says why nobody
 * needs it, or who has it already.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const SOURCE = fileURLToPath(new URL("../src", import.meta.url));

/** What hands nothing on: no value, or a constant in place of one. @param {ts.Node | undefined} node @returns {boolean} */
function isConstant(node) {
  if (node === undefined) return true;
  if (ts.isArrayLiteralExpression(node)) return node.elements.length === 0;
  if (ts.isObjectLiteralExpression(node)) return node.properties.length === 0;
  // A text says what is wrong.
  if (ts.isStringLiteral(node)) return node.text === "";
  return ts.isLiteralExpression(node) || ["undefined", "null", "true", "false"].includes(node.getText());
}

/** @param {ts.Statement} statement */
function isIdle(statement) {
  if (ts.isBreakOrContinueStatement(statement)) return true;
  return ts.isReturnStatement(statement) && isConstant(statement.expression);
}

/** A function that looks at no error and does nothing: `() => undefined`, `() => {}`. @param {ts.Node | undefined} node */
function isDeaf(node) {
  if (node === undefined || !ts.isArrowFunction(node) || node.parameters.length > 0) return false;
  return ts.isBlock(node.body) ? node.body.statements.every(isIdle) : isConstant(node.body);
}

/** Where an error ends unseen. @param {ts.Node} node */
function swallows(node) {
  if (ts.isCatchClause(node))
    return node.variableDeclaration === undefined && node.block.statements.every(isIdle);
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return false;
  const { text } = node.expression.name;
  return (text === "catch" && isDeaf(node.arguments[0])) || (text === "then" && isDeaf(node.arguments[1]));
}

/**
 * The lines on which errors end unseen, with no comment on them, in them or above them.
 * @param {string} file @param {string} text
 */
function unexplained(file, text) {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
  const lines = text.split("\n");
  /** @param {string} line */
  const isComment = (line) => /(?:^|\s)\/\/ |^\s*\*|\*\/\s*$/.test(line);
  /** @type {string[]} */
  const found = [];
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (swallows(node)) {
      /** @param {number} position */
      const at = (position) => source.getLineAndCharacterOfPosition(position).line;
      const [begin, end] = [
        at(ts.isCatchClause(node) ? node.getStart() : /** @type {ts.CallExpression} */ (node).expression.end),
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

const found = readdirSync(SOURCE, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .flatMap((name) => unexplained(`src/${name}`, readFileSync(join(SOURCE, name), "utf8")));
if (found.length > 0) {
  console.error(`An error ends here unseen, and no comment says why:\n  ${found.join("\n  ")}`);
  process.exitCode = 1;
}
