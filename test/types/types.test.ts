import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const files = readdirSync(here)
  .filter((name) => name.endsWith(".test-d.ts"))
  .map((name) => join(here, name));

/** A type test that fails, which exists only for the compiler here. */
const WRONG = join(here, "wrong.test-d.ts");
const WRONG_TEXT = `
import { expectTypeOf } from "vitest";
import { Pull } from "../../src/index.js";
expectTypeOf(new Pull().receive).returns.toEqualTypeOf<Promise<string>>();
// @ts-expect-error: nothing is wrong in the next line
new Pull().linger = 5;
`;

/** What the compiler says, by file. */
function check(): Map<string, string[]> {
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists } = host;
  host.readFile = (path) => (path === WRONG ? WRONG_TEXT : readFile(path));
  host.fileExists = (path) => path === WRONG || fileExists(path);
  const program = ts.createProgram([...files, WRONG], options, host);
  return new Map(
    [...files, WRONG].map((file) => [
      file,
      ts.getPreEmitDiagnostics(program, program.getSourceFile(file)).map((diagnostic) => {
        const line = diagnostic.file?.getLineAndCharacterOfPosition(diagnostic.start ?? 0).line ?? 0;
        return `${line + 1}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n")}`;
      }),
    ]),
  );
}

test("the type tests pass, and would report a type that is wrong", { timeout: 60_000 }, () => {
  expect(files).not.toEqual([]);
  const said = check();
  for (const file of files) expect(said.get(file), file).toEqual([]);
  expect(said.get(WRONG)?.map((line) => line.slice(0, 2))).toEqual(["4:", "5:"]);
});
