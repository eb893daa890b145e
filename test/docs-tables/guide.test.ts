/** docs/guide.md has every example of the ZeroMQ Guide once, and every program of examples/guide with its roles. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { read } from "../docs/blocks.js";
import { ROOT } from "./support/markdown.js";

/** Names of the Guide's examples, in the order of its text. */
const EXAMPLES: Readonly<Record<number, string>> = {
  1: "hwserver hwclient version wuserver wuclient taskvent taskwork tasksink",
  2: "msreader mspoller rrclient rrworker rrbroker msgqueue wuproxy taskwork2 tasksink2 interrupt mtserver mtrelay syncpub syncsub psenvpub psenvsub",
  3: "identity rtreq rtdealer lbbroker lbbroker2 lbbroker3 asyncsrv peering1 peering2 peering3",
  4: "lpclient lpserver spqueue spworker ppqueue ppworker mdcliapi mdclient mdwrkapi mdworker mdbroker tripping mdcliapi2 mdclient2 mmiecho ticlient titanic bstarsrv bstarcli bstar bstarsrv2 flserver1 flclient1 flserver2 flclient2 flserver3 flclient3 flcliapi",
  5: "espresso pathopub pathosub lvcache suisnail clonesrv1 clonecli1 kvsimple clonesrv2 clonecli2 clonesrv3 clonecli3 clonesrv4 clonecli4 kvmsg clonesrv5 clonesrv6 clonecli6 clone",
  7: "fileio1 fileio2 fileio3",
  8: "dechat udpping1 udpping2 udpping3 interface eagain",
};
const ROW = /^\| (`[a-z0-9`, ]+`) \| \[`(\S+)`\]\(\.\.\/examples\/guide\/(\S+)\) \|([^|]*)\|/;

const rows = read("docs/guide.md")
  .split("\n")
  .flatMap((line) => {
    const [, names, text, path, roles] = ROW.exec(line) ?? [];
    if (names === undefined || path === undefined || roles === undefined) return [];
    expect(text).toBe(path);
    const list = (cell: string): string[] => Array.from(cell.matchAll(/`([^`]+)`/g), ([, word = ""]) => word);
    return [{ names: list(names), path, roles: list(roles) }];
  });

describe("the table of the Guide's examples", () => {
  it.each(Object.keys(EXAMPLES))("has those of chapter %s, each once", (chapter) => {
    const names = rows
      .filter(({ path }) => path.startsWith(`chapter${chapter}/`))
      .flatMap((row) => row.names);
    expect(names.sort()).toEqual(EXAMPLES[Number(chapter)]?.split(" ").sort());
  });

  it("has each program once", () => {
    const programs = readdirSync(join(ROOT, "examples/guide"), { recursive: true, encoding: "utf8" })
      .map((name) => name.replaceAll("\\", "/"))
      .filter((name) => name.endsWith(".ts"));
    expect(rows.map(({ path }) => path).sort()).toEqual(programs.sort());
  });

  it.each(rows)("has the roles of $path", ({ path, roles }) => {
    const program = readFileSync(join(ROOT, "examples/guide", path), "utf8");
    const [, usage = ""] = /^ \* {3}node examples\/guide\/\S+(.*)$/m.exec(program) ?? [];
    const named = /\[([a-z |]+)\]/.exec(usage)?.[1]?.split(" | ") ?? [];
    expect([...roles].sort()).toEqual(named.sort());
  });
});
