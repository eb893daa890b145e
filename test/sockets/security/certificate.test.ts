import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import {
  type Certificate,
  formatCertificate,
  parseCertificate,
  readCertificate,
  writeCertificate,
} from "../../../src/sockets/security/certificate.js";
import { curveKeyPair } from "../../../src/sockets/security/curve-keys.js";
import { thrown } from "../../contract/support/wait.js";
import { removeAfterEach } from "../../support/folders.js";
import { namedPipe } from "../../support/pipe.js";
import fc, { forAll } from "../../support/properties.js";

// The pair of libzmq's documentation: public knowledge, so that a failure may print it.
const PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
const SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";

const einval = (message: unknown) => expect.objectContaining({ code: "EINVAL", message });

describe("reads", () => {
  test("a public certificate as czmq lays it out", () => {
    const file = `#   ****  Generated on 2024-03-01 12:00:00 by CZMQ  ****
#   A public certificate, to be given to peers

metadata
    name = "sensor \u00e9 7"
    organization = 'the "north" site'
curve
    public-key = "${PUBLIC}"
`;
    expect(parseCertificate(file)).toEqual({
      publicKey: PUBLIC,
      metadata: { name: "sensor \u00e9 7", organization: 'the "north" site' },
    });
  });

  test("a secret certificate as pyzmq lays it out, whose metadata have no quotes", () => {
    const file = `#   ****  Generated on 2024-03-01 12:00:00.000001 by pyzmq  ****
#   A secret certificate, to be kept

metadata
    name = Sensor 7, north
    email = ops@example.test
    note =
curve
    public-key = "${PUBLIC}"
    secret-key = "${SECRET}"
`;
    expect(parseCertificate(file)).toEqual({
      publicKey: PUBLIC,
      secretKey: SECRET,
      metadata: { name: "Sensor 7, north", email: "ops@example.test", note: "" },
    });
  });

  test("the same with carriage returns, tabs, comments behind values, and no last line break", () => {
    const file = [
      "metadata # about",
      '\tname\t=\t"seven" # the name',
      "  place = north  # where",
      "",
      "   # indented",
      "curve",
      `\tpublic-key='${PUBLIC}'`,
      `  secret-key = "${SECRET}"`,
    ].join("\r\n");
    expect(parseCertificate(file)).toEqual({
      publicKey: PUBLIC,
      secretKey: SECRET,
      metadata: { name: "seven", place: "north" },
    });
  });

  test("one that has only the secret key, and finds the public one", () => {
    const { publicKey, secretKey } = curveKeyPair();
    expect(parseCertificate(`curve\n    secret-key = "${secretKey}"\n`)).toEqual({
      publicKey,
      secretKey,
      metadata: {},
    });
  });

  test("past sections and names that it does not know", () => {
    const file = `curve\n  public-key = "${PUBLIC}"\n  version = "2"\nother\n  public-key = "no key"\n`;
    expect(parseCertificate(file).publicKey).toBe(PUBLIC);
  });

  test("metadata by any name without touching a prototype", () => {
    const { metadata } = parseCertificate(`metadata\n  __proto__ = "x"\ncurve\n  public-key = "${PUBLIC}"`);
    expect(({} as { x?: unknown }).x).toBeUndefined();
    expect(Object.keys(metadata)).toEqual(["__proto__"]);
  });
});

describe("refuses", () => {
  test.each([
    ["nothing", ""],
    ["no key", 'metadata\n    name = "x"\n'],
    ["a key outside its section", `metadata\n    public-key = "${PUBLIC}"\n`],
  ])("%s, saying what is missing", (_, file) => {
    expect(() => parseCertificate(file)).toThrow(einval("The certificate has no curve/public-key"));
  });

  test.each([
    ["a short key", `curve\n    public-key = "${SECRET.slice(1)}"`, 2],
    ["a foreign character", `\n\ncurve\n    secret-key = "${SECRET.slice(1)}~"`, 4],
    ["an empty key", 'curve\r\n    public-key = ""', 2],
    ["a group above four bytes", `curve\n    secret-key = "${"#".repeat(40)}"`, 2],
    ["an open quote", `curve\n    secret-key = "${SECRET}`, 2],
    ["something behind the value", `curve\n    secret-key = "${SECRET}" x`, 2],
    ["a value without a name", `# c\ncurve\n    = "${SECRET}"`, 3],
    ["a line that is neither", `curve\n    ${SECRET}`, 2],
  ])("%s with its line, and quotes none of it", (_, file, line) => {
    const error = thrown(() => parseCertificate(file));
    expect(error).toEqual(einval(expect.stringContaining(`Certificate line ${line}:`)));
    for (const part of [SECRET.slice(1, 9), PUBLIC.slice(0, 8), "####"])
      expect(error.message).not.toContain(part);
    expect(error.cause).toBeUndefined();
  });

  test("to write metadata that would not come back, and keys that are invalid", () => {
    const good = { publicKey: PUBLIC, secretKey: SECRET };
    for (const metadata of [
      { "a b": "x" },
      { "": "x" },
      { a: 'say "x"' },
      { a: "x\ny" },
      { "a=b": "x" },
      { a: "x\r" },
    ])
      expect(() => formatCertificate({ ...good, metadata }, false)).toThrow(einval(expect.any(String)));
    for (const bad of [
      { publicKey: "x", metadata: {} },
      { publicKey: `${PUBLIC}"\nx`, metadata: {} },
      { publicKey: PUBLIC, secretKey: SECRET.slice(1), metadata: {} },
    ]) {
      const { code, message } = thrown(() => formatCertificate(bad, "secretKey" in bad));
      expect(code).toBe("EINVAL");
      expect(message).not.toContain(SECRET.slice(1, 9));
    }
    expect(() => formatCertificate({ publicKey: PUBLIC, metadata: {} }, true)).toThrow(/no secret key/);
  });
});

test("what is written comes back, and the public file has no secret in it", () => {
  const name = fc.string({ unit: fc.constantFrom(..."abzAZ09_.$@+/-"), minLength: 1, maxLength: 12 });
  const value = fc.string({ unit: "binary", maxLength: 20 }).filter((text) => !/["\r\n]/.test(text));
  forAll([fc.dictionary(name, value)], { defaultRuns: 30 }, (metadata) => {
    const certificate: Certificate = { ...curveKeyPair(), metadata };
    const secret = formatCertificate(certificate, true);
    expect(parseCertificate(secret)).toEqual(certificate);
    const open = formatCertificate(certificate, false);
    expect(open).not.toContain(certificate.secretKey);
    expect(parseCertificate(open)).toEqual({ publicKey: certificate.publicKey, metadata });
  });
});

describe("files", () => {
  const makeFolder = removeAfterEach();
  let folder = "";
  beforeEach(() => {
    folder = makeFolder();
  });

  test("are written whole, the secret one for its owner only, and nothing else is left", async () => {
    const certificate = { ...curveKeyPair(), metadata: { name: "seven" } };
    const path = join(folder, "seven.cert");
    const before = process.umask(0o077);
    try {
      expect(await writeCertificate(path, certificate)).toEqual({
        publicFile: path,
        secretFile: `${path}_secret`,
      });
    } finally {
      process.umask(before);
    }
    expect((await readdir(folder)).sort()).toEqual(["seven.cert", "seven.cert_secret"]);
    expect((await stat(`${path}_secret`)).mode & 0o777).toBe(0o600);
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    expect(await readCertificate(`${path}_secret`)).toEqual(certificate);
    expect(await readCertificate(path)).toEqual({
      publicKey: certificate.publicKey,
      metadata: certificate.metadata,
    });
  });

  test("are replaced, not written into: an open or wider file of that name does not get the secret", async () => {
    const path = join(folder, "old");
    await writeFile(`${path}_secret`, "old", { mode: 0o666 });
    const { ino } = await stat(`${path}_secret`);
    await writeCertificate(path, { ...curveKeyPair(), metadata: {} });
    const now = await stat(`${path}_secret`);
    expect(now.ino).not.toBe(ino);
    expect(now.mode & 0o777).toBe(0o600);
  });

  test("are not touched at all when the certificate cannot be written", async () => {
    const path = join(folder, "none");
    await expect(writeCertificate(path, { publicKey: PUBLIC, metadata: {} })).rejects.toMatchObject({
      code: "EINVAL",
    });
    await expect(writeCertificate(path, { ...curveKeyPair(), metadata: { a: '"' } })).rejects.toMatchObject({
      code: "EINVAL",
    });
    expect(await readdir(folder)).toEqual([]);
  });

  test("that cannot be put in place leave no temporary one behind", async () => {
    const path = join(folder, "no", "such", "folder");
    await expect(writeCertificate(path, { ...curveKeyPair(), metadata: {} })).rejects.toMatchObject({
      code: "ENOENT",
    });
    expect(await readdir(folder)).toEqual([]);
  });

  test("that are too large or none are refused", async () => {
    const path = join(folder, "large");
    await writeFile(path, "#".repeat(70_000));
    await expect(readCertificate(path)).rejects.toMatchObject({ code: "EINVAL" });
    // Not a named pipe, whose open would wait for a writer; one that a shell made has one.
    await expect(readCertificate(namedPipe(join(folder, "pipe")))).rejects.toEqual(
      einval(expect.stringMatching(/is a pipe/)),
    );
    await expect(readCertificate(join(folder, "missing"))).rejects.toMatchObject({ code: "ENOENT" });
    expect(await readFile(path, "utf8")).toHaveLength(70_000);
  });
});
