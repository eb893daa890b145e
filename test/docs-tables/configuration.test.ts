/** docs/proxy.md, "Configuration", is equal to the schema, and its examples are configurations. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Schema } from "../../src/config/validate.js";
import { hasOption, OPTIONS } from "../../src/core/option-table.js";
import { configurationOf } from "../../src/proxy/config/index.js";
import { configurationSchema } from "../../src/proxy/config/schema.js";
import { codes, ROOT } from "./support/markdown.js";

const page = readFileSync(join(ROOT, "docs/proxy.md"), "utf8");
const section = page.slice(page.indexOf("## Configuration"), page.indexOf("## Speed"));
const schema = configurationSchema();
const definitions = schema.definitions as Readonly<Record<string, Schema>>;
const keysOf = (of: Schema | undefined): string[] => Object.keys((of?.properties ?? {}) as object);

/** The keys of the tables that begin with "Key", one list each. */
const tables = section
  .split("| Key | What it is |\n| --- | --- |\n")
  .slice(1)
  .map((rest) =>
    rest
      .split("\n\n")[0]
      ?.split("\n")
      .flatMap((row) => codes(row.split("|")[1] as string)),
  );
/** Keys of any socket, and which of them are options of the library. */
const sockets = Object.entries(definitions).filter(([name]) => /^(?:side|socket)-/.test(name));
const isOption = (name: string): boolean => Object.hasOwn(OPTIONS, name);

describe("docs/proxy.md, Configuration", () => {
  it("has every key of the file, of a proxy and of a socket", () => {
    expect(tables).toHaveLength(3);
    expect(tables[0]).toEqual(keysOf(schema));
    for (const kind of ["queue", "forwarder", "streamer", "socket"])
      expect(tables[1]).toEqual(keysOf(definitions[kind]));
    const own = new Set(sockets.flatMap(([, each]) => keysOf(each)).filter((name) => !isOption(name)));
    expect([...own].sort()).toEqual(tables[2]?.toSorted());
    expect(keysOf(definitions["policy-xsub"])).toEqual(["addresses", "keys", "topics", "limits"]);
  });

  it("names the options that a file does not have", () => {
    const not = codes(section.slice(section.indexOf("Not there:"), section.indexOf("**Variables.**")));
    const there = new Set(sockets.flatMap(([, each]) => keysOf(each)));
    const classes = [
      "Router",
      "Dealer",
      "Pair",
      "Pull",
      "Push",
      "Subscriber",
      "Publisher",
      "XSubscriber",
      "XPublisher",
      "Reply",
    ] as const;
    const missing = Object.keys(OPTIONS).filter(
      (name) => classes.some((type) => hasOption(type, name)) && !there.has(name),
    );
    expect(not.filter((name) => name !== "plainUsers").sort()).toEqual(missing.sort());
  });

  it("has examples that are configurations", async () => {
    const examples = [...section.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text]) => text as string);
    expect(examples).toHaveLength(1);
    for (const text of examples) {
      const environment = { PROXY_KEY: "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", WORKER_PASSWORD: "eel" };
      expect(Object.keys((await configurationOf("proxy.yaml", text, { environment })).proxies)).toHaveLength(
        3,
      );
    }
  });
});
