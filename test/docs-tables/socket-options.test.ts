/** The option interfaces, which a reader and the type checker see, say what the option table says. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hasOption, OPTIONS, type OptionName, type OptionSpec } from "../../src/core/option-table.js";
import { SocketType, type SocketTypeName } from "../../src/core/socket-type.js";
import { Program } from "../types/declarations.js";

const index = join(import.meta.dirname, "../../src/index.ts");
const draft = join(import.meta.dirname, "../../src/sockets/draft/index.ts");
/** The first number of a draft socket type. */
const DRAFT = 12;
/** Options of the constructor that are no entries of the table. */
const BESIDE = ["context", "authenticate", "codec"];

function typeOf(spec: OptionSpec): string {
  const types: Record<OptionSpec["kind"], string[]> = {
    boolean: ["boolean"],
    integer: ["number"],
    string: ["string", "null"],
    key: ["string", "Uint8Array", "null"],
    bytes: ["string", "Uint8Array", "null"],
    choice: (spec.choices ?? []).map((choice) => JSON.stringify(choice)),
    certificates: [
      "(name: string) => TlsCertificate | Promise | undefined | null | readonly TlsCertificate[]",
    ],
  };
  return types[spec.kind].sort().join(" | ");
}

/** The default that a comment states, or `undefined`: "64 MiB" is 67108864, "1,000" is 1000. */
function statedDefault(comment: string): unknown {
  const stated = /Default `?([^.;`]+)`?[.;]/.exec(comment)?.[1];
  if (stated === undefined) return undefined;
  const size = /^(\d+) MiB$/.exec(stated);
  if (size !== null) return Number(size[1]) * 1_048_576;
  return JSON.parse(stated.replaceAll(",", ""));
}

describe("the documented options", () => {
  const program = new Program([index, draft]);
  const names = Object.keys(SocketType) as SocketTypeName[];
  const properties = new Map(
    names.map((name) => [
      name,
      program.propertiesOf(SocketType[name] < DRAFT ? index : draft, `${name}Options`),
    ]),
  );

  it.each(names)("of %s are those of the table", (name) => {
    const documented = [...(properties.get(name)?.keys() ?? [])].filter((option) => !BESIDE.includes(option));
    expect(documented.sort()).toEqual(
      Object.keys(OPTIONS)
        .filter((option) => hasOption(name, option))
        .sort(),
    );
  });

  it.each(names)("of %s have the types and the defaults of the table", (name) => {
    for (const [option, { type, comment }] of properties.get(name) ?? []) {
      if (BESIDE.includes(option)) continue;
      const spec: OptionSpec = OPTIONS[option as OptionName];
      expect(type, option).toBe(typeOf(spec));
      const stated = statedDefault(comment);
      if (stated !== undefined) expect(stated, option).toBe(spec.default);
    }
  });

  it("state every default that differs from the package zeromq", () => {
    const common = properties.get("Pair");
    for (const [option, spec] of Object.entries<OptionSpec>(OPTIONS)) {
      if (spec.zeromqDefault === undefined) continue;
      expect(statedDefault(common?.get(option)?.comment ?? ""), option).toBe(spec.default);
    }
  });
});
