/** A node's configuration: what `check` finds, what a node takes over while it runs, and what it does not. */
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { nodeSchema } from "../../src/cli/node-schema.js";
import { makeAuthority, makeCertificate } from "../support/certificates.js";
import { namedPipe } from "../support/pipe.js";
import { type Command, fails, keygen, run, startWithout } from "./in-process.js";
import { newCluster, readyNode, replyTo } from "./nodes.js";
import { file, useFolder, useRuntimeFolder, written } from "./support.js";

useFolder();
useRuntimeFolder();

const BOTH = "extendedKeyUsage=serverAuth,clientAuth\n";

const KEYS = [
  "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
  "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6",
] as const;
let cluster = "";

beforeEach(() => {
  cluster = newCluster();
});

function configuration(text: string, path = `${file()}.yaml`): string {
  writeFileSync(path, text);
  return path;
}

/** What `check` prints, without the file's name. */
async function problems(text: string): Promise<string[]> {
  const path = configuration(text);
  const { code, stdout, stderr } = await run("", "node", "check", path);
  expect([code, stdout.length]).toEqual([1, 0]);
  const lines = stderr.trimEnd().split("\n");
  expect(lines.pop()).toMatch(/^shoal node check: .* has (?:a problem|\d+ problems)$/);
  return lines.map((line) => line.replace(`${path}:`, ""));
}

async function configured(text: string): Promise<{ node: Command; path: string }> {
  const path = configuration(text);
  return { node: await readyNode("--config", path), path };
}

const FULL = `name: billing
cluster: kitchen
scope: link
interface: lo
ports: 20000-20100
announce: 10.0.0.5:7946
tags: [eu, billing]
props: { version: "2.1", load: 3, ready: true }
seeds: [10.0.0.6:7946]
discovery: [static:10.0.0.7:7946, "dns://nodes.example:7946"]
multicast: { group: 239.192.0.1, port: 4369, ttl: 255 }
key: "${KEYS[0]}"
profile: { base: lan, autoclean: 600000 }
messaging: { protocols: [tcp], channels: [0, orders], heartbeat: 1000, settle: 0 }
split: { strategy: { quorum: 2 }, autoheal: false }
advertise: { requests: ["tcp://*:5555"] }
registry: false
clients: { endpoint: "tcp://*:7000", http: "[::1]:7001", users: { ana: secret }, port: 5672, xml: true, addresses: ec2 }
control: ipc:///tmp/billing
metrics: 127.0.0.1:9464
`;

describe("shoal node check", () => {
  it("takes a file with every key, as YAML and as JSON", async () => {
    const { code, stdout, stderr } = await run("", "node", "check", configuration(FULL));
    expect([code, stderr]).toEqual([0, ""]);
    expect(String(stdout)).toMatch(/: billing \(cluster kitchen, scope link\)\n$/);
    const asJson = configuration(JSON.stringify(parse(FULL)), `${file()}.json`);
    expect((await run("", "node", "check", asJson)).code).toBe(0);
    expect(new Ajv({ strict: false }).validate(nodeSchema(), parse(FULL))).toBe(true);
  });

  const REACHED = "tcp://192.0.2.1:5555";
  it.each([
    ["scope: lnik", '2:8: scope: expected one of host, link; got "lnik"; did you mean link?'],
    ["tags: eu", '2:7: tags: expected a list of texts; got "eu"'],
    ["port: 70000", "2:7: port: expected a whole number from 0 to 65535; got 70000"],
    [
      "messaging: { maxItem: 100 }",
      "2:23: messaging.maxItem: expected a whole number from 262144 to 268435456; got 100",
    ],
    [
      "profile: { indirectProbes: 17 }",
      "2:28: profile.indirectProbes: expected a number from 0 to 16; got 17",
    ],
    ["profile: { autoclena: 1 }", "2:12: profile.autoclena: unknown key; did you mean autoclean?"],
    ["discovery:\n  - static:1.2.3.4:5\n  - dsn://x", "4:5: discovery[1]: "],
    [`key: "${KEYS[0]}"\npassword: abcdefgh`, "3:1: password: expected key or password, not both"],
    ["scope: link", '2:8: scope: the scope "link" needs'],
    ["clients: { endpoint: tcp://*:7 }", "2:10: clients: expected users or usersFile, one of the two"],
    ["tags: [a", "3:1: YAML: "],
    ["metrics: zzz", '2:10: metrics: Metrics address "zzz": expected HOST:PORT'],
    ["control: foo", '2:10: control: Endpoint "foo": expected TRANSPORT'],
    [
      "control: [tcp://127.0.0.1:5555, udp://127.0.0.1:1]",
      '2:33: control[1]: Endpoint "udp://127.0.0.1:1": the transport must be one of tcp',
    ],
    [
      `control: ${REACHED}`,
      `2:10: control: anybody who reaches ${REACHED} could remove members; expected controlCurveCertificate,`,
    ],
    // A name, although it begins as an address does.
    [
      "control: tcp://127.0.0.1.invalid:7",
      "2:10: control: anybody who reaches tcp://127.0.0.1.invalid:7 could remove members; expected",
    ],
    ["controlKeys: keys", "2:14: controlKeys: controlKeys needs controlCurveCertificate"],
    [
      `control: ${REACHED}\ncontrolCurveCertificate: none`,
      "3:26: controlCurveCertificate: cannot read the certificate ",
    ],
  ])("finds what is wrong with %j", async (text, expected) => {
    const found = await problems(`name: a\n${text}\n`);
    expect(found).toHaveLength(1);
    expect(found[0]?.slice(0, expected.length)).toBe(expected);
  });

  it("finds all of a file at once, in its order, and repeats no secret", async () => {
    process.env.NODE_TEST_SECRET = "hunter2-hunter2";
    const key = `${KEYS[0].slice(1)}`;
    const found = await problems(
      `nmae: a\nport: x\nkey: "${key}"\nseeds: ["\${NODE_TEST_SECRET}"]\nkeyFile: ${file()}\n`,
    );
    for (const what of ["needs the key name", "nmae: ", "port: ", "key: ", "keyFile: "])
      expect(found.filter((line) => line.includes(` ${what}`))).toHaveLength(1);
    expect(found.join("\n")).not.toMatch(/hunter2/);
    expect(found.join("\n")).not.toContain(key.slice(0, 20));
  });

  it("reports every option that the node would refuse, next to other problems", async () => {
    const found = await problems(
      'name: x\nprofile: { probeInterval: -1 }\ndiscovery: ["dns://"]\nports: 5-1\nadvertise: { x: foo }\ntags: [self]\nseeds: [x]\nkey: short\nscope: link\n',
    );
    const places = found.map((line) => line.split(": ").slice(0, 2).join(" "));
    expect(places.join()).toBe(
      "2:27 profile.probeInterval,3:13 discovery[0],4:8 ports,5:12 advertise,6:7 tags,7:8 seeds,8:6 key",
    );
  });

  it("reads the files of keys, and finds one that others may read; --json has line and column", async () => {
    const open = written(`${KEYS[0]}\n`, 0o644);
    expect(await problems(`name: a\nkeyFile: ${open}\n`)).toEqual([
      expect.stringMatching(/^2:10: keyFile: the key file .* can be read by others/),
    ]);
    const { publicFile, secretFile } = await keygen();
    const curve = (certificate: string): string =>
      `name: a\nkey: "${KEYS[0]}"\ncurve: { certificate: ${certificate}, allow: ["${KEYS[0]}"] }\n`;
    expect((await run("", "node", "check", configuration(curve(secretFile)))).code).toBe(0);
    expect(await problems(curve(publicFile))).toEqual([
      expect.stringMatching(/^3:23: curve.certificate: .* has no secret key/),
    ]);
    const { code, stdout } = await run("", "node", "check", configuration("name: a\nx: 1\n"), "--json");
    const unknown = { line: 2, column: 1, path: "x" };
    expect(JSON.parse(String(stdout))).toMatchObject({ ok: false, problems: [unknown] });
    expect(code).toBe(1);
    const missing = await run("", "node", "check", file());
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringMatching(/it does not exist/) });
  });
});

describe("certificates of a configuration", () => {
  let folder = "";
  const at = (name: string): string => join(folder, name);
  /** A node within TLS, by files of the folder. */
  const text = (name: string, more = ""): string =>
    `name: ${name}\ncluster: ${cluster}\nkey: "${KEYS[0]}"\ntls: { cert: ${name}.pem, key: ${name}.key, ca: ca.pem }\n${more}`;

  beforeEach(() => {
    folder = file();
    mkdirSync(folder);
    makeAuthority(folder, "ca");
    for (const name of ["a", "b"]) makeCertificate(folder, name, { extensions: BOTH });
  });

  /** Of a file in the folder, without its name. */
  async function problemsThere(content: string): Promise<string> {
    const path = configuration(content, at("node.yaml"));
    const { code, stderr } = await run("", "node", "check", path);
    expect(code).toBe(1);
    return stderr.replaceAll(`${path}:`, "");
  }

  it("are checked with their keys and dates, and where they are missing", async () => {
    const more = `listen: [{ port: 0, tls: false }, { tls: { cert: b.pem, key: b.key } }]\n`;
    const clients = `clients: { endpoint: "tls://*:*", http: "127.0.0.1:0", users: { ana: secret }, tls: { cert: b.pem, key: b.key } }\n`;
    const path = configuration(text("a", `${more}${clients}`), at("node.yaml"));
    expect(await run("", "node", "check", path)).toMatchObject({ code: 0, stderr: "" });
    makeCertificate(folder, "old", { extensions: BOTH, days: -1 });
    const cases: readonly (readonly [string, RegExp])[] = [
      [text("old"), /^4:14: tls\.cert: the certificate has expired: it was valid until /],
      [text("a").replace("a.key", "b.key"), /^4:6: tls: tls .*: the key does not match the certificate\n/],
      [text("c"), /tls\.cert: cannot read .*c\.pem: it does not exist\n.*tls\.key: cannot read/],
      [text("a").replace("a.pem", "a.key"), /tls\.cert: it is not a certificate in PEM/],
      [text("a").replace(", ca: ca.pem", ""), /^4:6: tls: needs the key ca/],
      [text("a").replace("cert: a", "crt: a"), /tls\.crt: unknown key; did you mean cert\?/],
      [text("a", "listen: [{ tls: { cert: c.pem, key: b.key } }]\n"), /listen\[0\]\.tls\.cert: cannot read/],
      [text("a", clients.replace("b.pem", "c.pem")), /clients\.tls\.cert: cannot read/],
      [
        text("a", clients.replace("tls:", "tcp:").replace(/http: "[^"]+"/, 'host: "127.0.0.1"')),
        /clients: the option tls needs/,
      ],
    ];
    for (const [content, expected] of cases) expect(await problemsThere(content)).toMatch(expected);
  });

  it("are renewed on SIGHUP, and not by one that is not whole or has expired", async () => {
    const start = (name: string) => readyNode("--config", configuration(text(name), at(`${name}.yaml`)));
    const a = await start("a");
    const b = await start("b");
    await a.until("stdout", /b@\S+ joined/);
    makeCertificate(folder, "old", { extensions: BOTH, days: -1 });
    renameSync(at("old.pem"), at("a.pem"));
    a.signal("SIGHUP");
    await a.until("stderr", /tls\.cert: the certificate has expired.*\n.*the node continues unchanged/);
    // Another authority, for both: the old and the new one first.
    makeAuthority(folder, "next");
    writeFileSync(at("ca.pem"), `${readFileSync(at("ca.pem"))}${readFileSync(at("next.pem"))}`);
    makeCertificate(folder, "a", { extensions: BOTH, authority: "next" });
    for (const each of [a, b]) each.signal("SIGHUP");
    const renewed = /read .* again: tls changed/;
    await Promise.all([a, b].map((each) => each.until("stderr", renewed)));
    b.signal("SIGTERM");
    await b.ended;
    const again = await start("b");
    await again.until("stdout", /a@\S+ joined/);
    expect(again.stderr).not.toContain("refused");
  });

  it("are those of flags, too, which go together and are renewed", async () => {
    const pair = (name: string) => ["--tls-cert", at(`${name}.pem`), "--tls-key", at(`${name}.key`)];
    const flags = (name: string): string[] => [...pair(name), "--tls-ca", at("ca.pem")];
    const key = written(`${KEYS[0]}\n`);
    const start = (name: string) =>
      readyNode("--name", name, "--cluster", cluster, "--key", key, ...flags(name));
    const a = await start("a");
    const b = await start("b");
    await a.until("stdout", /b@\S+ joined/);
    makeCertificate(folder, "a", { extensions: BOTH });
    a.signal("SIGHUP");
    await a.until("stderr", /again: tls changed/);
    b.signal("SIGTERM");
    await b.ended;
    await start("b");
    await a.until("stdout", /b@\S+ joined[\s\S]*b@\S+ (?:joined|restarted|is back)/);
    const plain = startWithout("node", "start", "--name", "p", "--cluster", cluster, "--key", key);
    await plain.until("stderr", /speaks no TLS where this node does, or TLS where this node does not/);
    for (const [args, what] of [
      [pair("a"), "--tls-ca: it is missing"],
      [flags("c"), "--tls-cert: cannot read "],
      [[...flags("a").slice(0, 2), ...flags("b").slice(2)], "tls cannot be used"],
      [["--clients", "tls://*:*", "--clients-tls-cert", at("a.pem")], "--clients-tls-key: it is missing"],
      [
        ["--clients-tls-cert", at("a.pem"), "--clients-tls-key", at("a.key")],
        "--clients-users: it is missing",
      ],
      [["--clients", "tls://*:*", "--clients-users", key], "needs the option tls: a certificate and its key"],
      [["--clients", "ipc://x", "--clients-users", key], "must be tcp://HOST:PORT"],
    ] as const)
      await fails(2, what, ["node", "start", "--name", "x", ...args]);
  });
});

describe("shoal node start --config", () => {
  it("refuses flags that the file has, and a file with problems, and starts nothing then", async () => {
    const path = configuration("name: a\n");
    await fails(2, /--tag cannot be added to it/, ["node", "start", "--config", path, "--tag", "x"]);
    const bad = await run("", "node", "start", "--config", configuration("nmae: a\n"));
    expect([bad.code, bad.stdout.length]).toEqual([1, 0]);
    expect(bad.stderr).toMatch(/:1:1: nmae: unknown key; did you mean name\?/);
  });

  it("takes over tags, props, seeds and static addresses on SIGHUP", async () => {
    const head = `name: a\ncluster: ${cluster}\n`;
    const before = `${head}tags: [x, y]\nprops: { v: 1, w: 2 }\ndiscovery: ["static:127.0.0.1:9"]\n`;
    const { node, path } = await configured(before);
    await node.until("stderr", /discovery by static is up/);
    const after = `${head}tags: [y, z]\nprops: { v: 3 }\nseeds: ["127.0.0.1:11"]\n`;
    configuration(`${after}discovery: ["static:127.0.0.1:10"]\n`, path);
    node.signal("SIGHUP");
    await node.until("stderr", /read .* again: tags, props, .*changed|read .* again: .*seeds changed/);
    // A source is looked at after the file is read.
    await vi.waitFor(async () => {
      const { members, sources } = await replyTo("status");
      expect(members).toMatchObject([{ tags: ["y", "z"], props: { v: "3" } }]);
      expect(sources).toMatchObject([
        { name: "seeds", addresses: ["127.0.0.1:11"] },
        { name: "static", addresses: ["127.0.0.1:10"] },
      ]);
    }, 20_000);
  });

  it("logs how its sources stand, and nothing of static addresses where the file has none", async () => {
    const { node } = await configured(`name: a\ncluster: ${cluster}\ndiscovery: ["dns://localhost:9"]\n`);
    await node.until("stderr", /discovery by dns:localhost is (?:up|down)/);
    node.signal("SIGTERM");
    expect(String((await node.ended).stderr)).not.toMatch(/static/);
  });

  it("changes nothing where a key needs a restart, or the file has a problem, and says so", async () => {
    const head = `name: a\ncluster: ${cluster}\n`;
    const { node, path } = await configured(`${head}tags: [x]\n`);
    configuration(`${head}tags: [y]\nport: 20001\nipv6: true\n`, path);
    node.signal("SIGHUP");
    const refused = /port, ipv6 cannot change while the node runs: restart it; the node continues unchanged/;
    await node.until("stderr", refused);
    configuration(`${head}tags: [y]\nprot: 1\n`, path);
    node.signal("SIGHUP");
    await node.until("stderr", /prot: unknown key; did you mean port\?/);
    expect((await replyTo("status")).members).toMatchObject([{ tags: ["x"] }]);
    configuration(`${head}tags: [z]\n`, path);
    node.signal("SIGHUP");
    await node.until("stderr", /read .* again: tags changed/);
    expect((await replyTo("status")).members).toMatchObject([{ tags: ["z"] }]);
    node.signal("SIGHUP");
    await node.until("stderr", /again: nothing changed/);
  });

  it("says that a file of users or keys that has changed needs a restart", async () => {
    const users = written("ann:sesame-one\nbob:sesame-two\n");
    const { publicKey, secretFile } = await keygen();
    const text = [
      `name: a\ncluster: ${cluster}\nscope: link\nmulticast: false\npassword: sesame-all`,
      `curve: { certificate: ${secretFile}, allow: ["${publicKey}"] }`,
      `clients: { endpoint: "tcp://127.0.0.1:*", usersFile: ${users} }\n`,
    ];
    const { node } = await configured(text.join("\n"));
    node.signal("SIGHUP");
    await node.until("stderr", /again: nothing changed/);
    writeFileSync(users, "bob:sesame-two\n");
    node.signal("SIGHUP");
    await node.until("stderr", / clients cannot change while the node runs: restart it/);
    copyFileSync((await keygen()).secretFile, secretFile);
    node.signal("SIGHUP");
    await node.until("stderr", /(?:clients, curve|curve, clients) cannot change while the node runs/);
  });

  it("does not wait for a pipe in place of its file, and follows the next file", async () => {
    const head = `name: a\ncluster: ${cluster}\n`;
    const { node, path } = await configured(`${head}tags: [x]\n`);
    rmSync(path);
    namedPipe(path);
    node.signal("SIGHUP");
    await node.until("stderr", /cannot read the file: it is a pipe or a device/);
    rmSync(path);
    configuration(`${head}tags: [y]\n`, path);
    node.signal("SIGHUP");
    await node.until("stderr", /read .* again: tags changed/);
  });

  it("rotates keys: old, then old and new, new and old, new; nobody is lost", async () => {
    const [old, fresh] = [written(`${KEYS[0]}\n`), written(`${KEYS[1]}\n`)];
    const text = (name: string, ...files: string[]): string =>
      `name: ${name}\ncluster: ${cluster}\nkeyFile: [${files.join(", ")}]\n`;
    const a = await configured(text("a", old));
    const b = await configured(text("b", old));
    await a.node.until("stdout", /b@\S+ joined/);
    const steps = [[old, fresh], [fresh, old], [fresh]];
    for (const [step, files] of steps.entries()) {
      for (const [name, { path }] of Object.entries({ a, b })) configuration(text(name, ...files), path);
      for (const { node } of [a, b]) node.signal("SIGHUP");
      const done = new RegExp(`(?:key changed[\\s\\S]*){${step + 1}}`);
      await Promise.all([a, b].map(({ node }) => node.until("stderr", done)));
    }
    const c = await configured(text("c", fresh));
    await Promise.all([a.node.until("stdout", /c@\S+ joined/), c.node.until("stdout", /a@\S+ joined/)]);
    expect(a.node.stdout.toString()).not.toMatch(/lost|left/);
  });
});
