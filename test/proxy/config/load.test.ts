// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of configurations
/** Configurations, good and bad: what is read from them, and every word that is said of a fault. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ConfigurationError, type Environment, problemLine } from "../../../src/config/file.js";
import { curveKeyPair, writeCertificate } from "../../../src/index.js";
import { configurationOf, loadConfiguration } from "../../../src/proxy/config/load.js";
import type { Configuration } from "../../../src/proxy/config/model.js";
import { sharedFolder } from "../../support/folders.js";

const engine = { name: "zmtp", transports: ["tcp", "ipc", "inproc"], unsupportedOptions: ["affinity"] };
const environment = {
  PASSWORD: "tr0ub4dor",
  KEY: "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
  EMPTY: "",
  PORT: "tcp://nope",
  HOST: "node1.corp",
  URL: "tcp://node1.corp.example",
};
const keys = curveKeyPair();
const folder = sharedFolder();
const file = join(folder, "proxy.yaml");

beforeAll(async () => {
  await writeCertificate(join(folder, "server"), { ...keys, metadata: {} });
  mkdirSync(join(folder, "keys"));
});

const read = (text: string, variables: Environment = environment): Promise<Configuration> =>
  configurationOf(file, text, { environment: variables, engine });

/** Each fault as `LINE:COLUMN: PATH: MESSAGE`. */
async function faults(text: string, variables?: Environment): Promise<readonly string[]> {
  try {
    await read(text, variables);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.problems.map((problem) =>
      problemLine(problem).replaceAll(`${file}:`, "").replaceAll(folder, "."),
    );
  }
}

/** A streamer whose frontend has more. */
const withFrontend = (more: string): string =>
  `
proxies:
  work:
    kind: streamer
    frontend:
      bind: tcp://*:5555
${more.replaceAll(/^/gm, "      ")}
    backend: { bind: tcp://*:5556 }
`.trimStart();

describe("a good configuration", () => {
  it("has proxies with the options of their sockets, lists or single texts", async () => {
    const side = (bind: string[], connect: string[], options: object) => ({ bind, connect, options });
    expect(
      await read(`
drain: 3
proxies:
  requests:
    kind: queue
    frontend: { bind: tcp://*:5555, maxMessageSize: 1024 }
    backend: { bind: [tcp://*:5556, ipc://x], connect: tcp://there:1 }
    control: { bind: ipc://c }
  filtered:
    kind: socket
    frontend: { type: sub, connect: tcp://there:2, subscribe: [a, b] }
    backend: { type: push, bind: "tcp://127.0.0.1:*" }
    capture: { type: pub, bind: ipc://tap }
`),
    ).toEqual({
      drain: 3_000,
      proxies: {
        requests: {
          kind: "queue",
          frontend: side(["tcp://*:5555"], [], { type: "router", maxMessageSize: 1024 }),
          backend: side(["tcp://*:5556", "ipc://x"], ["tcp://there:1"], { type: "dealer" }),
          control: side(["ipc://c"], [], { type: "rep" }),
        },
        filtered: {
          kind: "socket",
          frontend: side([], ["tcp://there:2"], { type: "sub", subscribe: ["a", "b"] }),
          backend: side(["tcp://127.0.0.1:*"], [], { type: "push" }),
          capture: side(["ipc://tap"], [], { type: "pub" }),
        },
      },
    });
  });

  it("drains for ten seconds when it does not say", async () => {
    expect((await read(withFrontend(""))).drain).toBe(10_000);
  });

  it("has the keys of certificates from its own folder; a server, or with a server's key a client", async () => {
    const server = await read(withFrontend("curveCertificate: server_secret"));
    const own = { type: "pull", curvePublicKey: keys.publicKey, curveSecretKey: keys.secretKey };
    expect(server.proxies.work?.frontend.options).toEqual({ ...own, curveServer: true });
    const client = await read(withFrontend('curveCertificate: server_secret\ncurveServerKey: "${KEY}"'));
    const asked = { curveServerKey: environment.KEY, curveSecretKey: keys.secretKey };
    expect(client.proxies.work?.frontend.options).toMatchObject(asked);
    expect(client.proxies.work?.frontend.options).not.toHaveProperty("curveServer");
  });

  it("has variables in its texts, and no others", async () => {
    const { proxies } = await read(
      withFrontend('plainUsers: { me: "${PASSWORD}", you: "a${PASSWORD}b$${PASSWORD}", they: $PASSWORD }'),
    );
    expect(proxies.work?.frontend.options.plainUsers).toEqual({
      me: "tr0ub4dor",
      you: "atr0ub4dorb${PASSWORD}",
      they: "$PASSWORD",
    });
  });

  it("shares what it has several times by anchors and merge keys, and says where a fault really is", async () => {
    const text = (wrong: string): string => `
proxies:
  one: &one
    kind: streamer
    frontend: &side { bind: ipc://1, ${wrong} }
    backend: { bind: ipc://2 }
  two:
    <<: *one
    frontend: { <<: *side, bind: ipc://3 }
    backend: { bind: ipc://4 }
`;
    const { proxies } = await read(text("linger: 7"));
    const options = { type: "pull", linger: 7 };
    expect(proxies.two?.frontend).toEqual({ bind: ["ipc://3"], connect: [], options });
    const why = 'expected a whole number from -1 to 2147483647; got "long"';
    expect(await faults(text("linger: long"))).toEqual(
      ["one", "two"].map((name) => `5:46: proxies.${name}.frontend.linger: ${why}`),
    );
  });

  it("can be written as the schema's editors want it, and is JSON as well", async () => {
    const json = {
      proxies: { a: { kind: "queue", frontend: { bind: "ipc://1" }, backend: { bind: "ipc://2" } } },
    };
    expect((await read(JSON.stringify(json, null, "\t"))).proxies.a?.kind).toBe("queue");
  });
});

describe("a bad configuration", () => {
  const table: readonly (readonly [what: string, text: string, ...faults: string[]])[] = [
    ["nothing at all", "", "1:1: expected a map of keys and values; got nothing"],
    ["a list", "- a", "1:1: expected a map of keys and values; got a list"],
    ["no proxies", "drain: 1", "1:1: needs the key proxies"],
    ["none of them", "proxies: {}", "1:10: proxies: expected at least one; it is empty"],
    [
      "two documents",
      `${withFrontend("")}---\na: 1`,
      "8:1: YAML: expected one document; another begins here",
    ],
    ["a key twice", "drain: 1\ndrain: 2\nproxies: {}", "2:1: YAML: Map keys must be unique"],
    ["an anchor that is none", "proxies: *x", "1:10: YAML: no anchor &x stands before"],
    ["a map within itself", "proxies: &x\n  ticks: *x", "2:10: YAML: *x stands within what it repeats"],
    ["a list within itself", "proxies: &x [[*x]]", "1:15: YAML: *x stands within what it repeats"],
    ["a map that inherits itself", "proxies: &x\n  <<: *x", "2:7: YAML: *x stands within what it repeats"],
    [
      "a name that is none",
      withFrontend("").replace("work", "my work"),
      "2:3: proxies.my work: expected a name of at most 64 letters, digits, _, . and -",
    ],
    [
      "no kind",
      "proxies:\n  a: { frontend: {} }",
      "2:6: proxies.a: needs the key backend",
      "2:6: proxies.a: needs the key kind",
    ],
    [
      "an unknown kind, whose sockets wait for a known one",
      [
        "proxies:",
        "  a:",
        "    kind: quue",
        "    frontend: { bind: 5, nonsense: 1 }",
        "    backend: { type: dealer, bind: ipc://b }",
        "  b:",
        "    kind: queue",
        "    frontend: { bind: 5 }",
        "    backend: { bind: ipc://c }",
      ].join("\n"),
      '3:11: proxies.a.kind: expected one of queue, forwarder, streamer, socket; got "quue"; did you mean queue?',
      "8:23: proxies.b.frontend.bind: expected a text or a list of texts; got 5",
    ],
    [
      "a fault in each of two sockets",
      withFrontend("policy: { addresses: { deny: ['${PASSWORD}'] } }").replace(
        "5556",
        "5556, plainPassword: x",
      ),
      '5:7: proxies.work.frontend: addresses in the policy of frontend must be an address or a block of them, such as "10.1.0.0/16", "192.0.2.7" or "2001:db8::/32"',
      "7:36: proxies.work.backend.plainPassword: A PLAIN client needs plainUsername in addition to plainPassword",
    ],
    [
      "types that do not fit",
      "proxies:\n  a:\n    kind: socket\n    frontend: { type: pull, bind: ipc://a }\n    backend: { type: pull, bind: ipc://b }",
      "3:5: proxies.a: A proxy cannot stand between pull and pull; pairs that it can, either way round: router/dealer, dealer/dealer, dealer/pair, pair/pair, xsub/xpub, pull/push, pull/pub, sub/push, sub/pub",
    ],
    [
      "no type",
      "proxies:\n  a:\n    kind: socket\n    frontend: { bind: ipc://a }\n    backend: { type: push, bind: ipc://b }",
      "4:15: proxies.a.frontend: needs the key type",
    ],
    [
      "an endpoint bound twice",
      withFrontend("").replace("5556", "5555"),
      "7:22: proxies.work.backend.bind: tcp://*:5555 is taken by proxies.work.frontend.bind (tcp://*:5555)",
    ],
    [
      "a proxy that leads to itself",
      withFrontend("").replace("{ bind: tcp://*:5556 }", "{ connect: tcp://localhost:5555 }"),
      "7:25: proxies.work.backend.connect: there the proxy itself listens (proxies.work.frontend.bind): messages would circulate forever",
    ],
  ];

  it.each(table)("%s", async (_, text, ...expected) => {
    expect(await faults(text)).toEqual(expected);
  });

  it.each([
    ["sendHighWaterMark: 1", "6:7: ~.sendHighWaterMark: unknown key; did you mean receiveHighWaterMark?"],
    ["affinity: 1", "6:7: ~.affinity: the engine zmtp does not have it"],
    [
      "receiveTimeout: 1",
      "6:7: ~.receiveTimeout: no key of this file: a proxy waits for messages without limit",
    ],
    ['plainUsers: { me: "${EMPTY}" }', "6:25: ~.plainUsers.me: the environment variable EMPTY is empty"],
    [
      'plainUsers: { me: "${PASSWORD" }',
      "6:25: ~.plainUsers.me: expected ${NAME}, NAME of letters, digits and _; for the characters ${ write $${",
    ],
    // A secret of the wrong type is not repeated.
    ["plainUsers: { me: 12345 }", "6:25: ~.plainUsers.me: expected a text"],
    ["connect: ${PORT}", '6:16: ~.connect: Endpoint "${PORT}": expected tcp://HOST:PORT'],
    // The value of the one contains that of an earlier one.
    [
      'connect: ["tcp://${HOST}:1", "${URL}"]',
      '6:36: ~.connect[1]: Endpoint "${URL}": expected tcp://HOST:PORT',
    ],
    ["curveServer: true", "6:7: ~.curveServer: A CURVE server needs the option curveSecretKey"],
    [
      `curveServer: true\ncurveSecretKey: "${"#".repeat(40)}"`,
      "5:7: ~: Option curveSecretKey of Pull must be a CURVE key: 40 characters of Z85, or 32 bytes, or null; got a string",
    ],
    [
      "policy: { addresses: { allow: [10.0.0.0/8, 10.0.0.0/33], deny: [nowhere] } }",
      '5:7: ~: addresses in the policy of frontend must be an address or a block of them, such as "10.1.0.0/16", "192.0.2.7" or "2001:db8::/32"; got "10.0.0.0/33"',
    ],
    ["policy: { addresses: { allow: [a, 7] } }", "6:41: ~.policy.addresses.allow[1]: expected a text; got 7"],
    ["connect: [ipc://a, {}]", "6:26: ~.connect[1]: expected a text; got a map"],
    [
      "curveCertificate: server_secret\nplainUsers: { a: b }",
      "7:7: ~.plainUsers: plainUsers and curveCertificate exclude each other",
    ],
    [
      "curveCertificate: server_secret\ncurveSecretKey: ${KEY}",
      "6:7: ~.curveCertificate: curveCertificate and curveSecretKey exclude each other",
    ],
    [
      "curveCertificate: server",
      "6:25: ~.curveCertificate: the certificate ./server has no secret key; expected the secret file of the pair",
    ],
    ["curveCertificate: .", "6:25: ~.curveCertificate: cannot read the certificate .: it is a folder"],
  ])("a frontend with %s", async (more, expected) => {
    expect(await faults(withFrontend(more))).toEqual([expected.replace("~", "proxies.work.frontend")]);
  });

  it("is reported completely: faults of form, of sense and of files at once, and nothing that only follows from another", async () => {
    const text = `
proxies:
  one:
    kind: queue
    frontend: { bind: [tcp://*:1, tcp://*:x], linger: never, curveCertificate: nowhere }
    backend: { bnd: tcp://*:2, curveServer: true, curveSecretKey: short }
    capture: { type: pub, bind: tcp://127.0.0.1:3 }
  two: { kind: que, frontend: { bind: tcp://*:1 } }
  three: 7
  four:
    kind: socket
    frontend: { type: sub, bind: tcp://*:3, linger: "\${NONE}" }
    backend: { type: plus, bind: tcp://*:4 }
  five: { kind: streamer, frontend: { bind: tcp://*:3 }, backend: { bind: [] } }
drain: {}
`;
    expect(await faults(text)).toEqual([
      '5:35: proxies.one.frontend.bind[1]: Endpoint "tcp://*:x": the port must be a number from 0 to 65535 or *; got "x"',
      '5:55: proxies.one.frontend.linger: expected a whole number from -1 to 2147483647; got "never"',
      "5:80: proxies.one.frontend.curveCertificate: cannot read the certificate ./nowhere: it does not exist",
      "6:14: proxies.one.backend: needs an endpoint: bind, connect or both",
      "6:16: proxies.one.backend.bnd: unknown key; did you mean bind?",
      "6:67: proxies.one.backend.curveSecretKey: expected a CURVE key, 40 characters of Z85",
      "8:8: proxies.two: needs the key backend",
      '8:16: proxies.two.kind: expected one of queue, forwarder, streamer, socket; got "que"; did you mean queue?',
      "9:10: proxies.three: expected a map of keys and values; got 7",
      "12:53: proxies.four.frontend.linger: the environment variable NONE is not set",
      '13:22: proxies.four.backend.type: expected one of router, dealer, pair, pull, push, sub, pub, xsub, xpub; got "plus"',
      "14:45: proxies.five.frontend.bind: tcp://*:3 is taken by proxies.one.capture.bind (tcp://127.0.0.1:3)",
      "14:75: proxies.five.backend.bind: expected at least one; it is empty",
      "15:8: drain: expected a whole number from 0 to 2147483; got a map",
    ]);
  });

  it("says where a policy is wrong", async () => {
    const policy = "policy:\n  topics: {}\n  limits: { peer: { messages: 0, byte: 1 } }\n  keys: nowhere";
    const found = await faults(withFrontend(policy));
    expect(found.slice(0, 3)).toEqual([
      "7:9: proxies.work.frontend.policy.topics: unknown key",
      "8:37: proxies.work.frontend.policy.limits.peer.messages: expected a whole number from 1 to 9007199254740991; got 0",
      "8:40: proxies.work.frontend.policy.limits.peer.byte: unknown key; did you mean bytes?",
    ]);
    const keysGone = await faults(withFrontend("policy: { keys: nowhere }"));
    expect(keysGone).toContain(
      "6:23: proxies.work.frontend.policy.keys: cannot read the folder ./nowhere: it does not exist",
    );
  });

  it("never repeats what a variable held", async () => {
    const text = withFrontend(
      'plainUsername: "${PASSWORD}"\nconnect: ["${PASSWORD}", "x${PASSWORD}"]\nlinger: "${PASSWORD}"\nzapDomain: ["${PASSWORD}"]',
    );
    const found = await faults(text);
    expect(found).toHaveLength(4);
    expect(found.join("\n")).not.toContain(environment.PASSWORD);
    const twice = 'connect: ["${PASSWORD}", "x${PASSWORD}"]\nplainPassword: "${PASSWORD}"';
    const other = await faults(withFrontend(twice));
    expect(other).toHaveLength(2);
    expect(other.join("\n")).not.toContain(environment.PASSWORD);
  });

  it("shows a variable's name where a message has a part of a text that holds its value", async () => {
    expect(await faults(withFrontend('connect: "x${PASSWORD}y://a"'))).toEqual([
      '6:16: proxies.work.frontend.connect: Endpoint "x${PASSWORD}y://a": the transport must be one of tcp, ipc, inproc',
    ]);
    // A long value is cut in messages.
    const long = ["secret ".repeat(20), '"quoted" '.repeat(20), `first secret://${"second ".repeat(20)}`];
    for (const value of long) {
      const [fault = ""] = await faults(withFrontend('connect: "x${LONG}y://a"'), { LONG: value });
      expect(fault).toContain("Endpoint");
      expect(fault).not.toMatch(/secret|quoted|second/);
    }
  });

  it("has texts as keys", async () => {
    const text =
      "proxies:\n  a: &a { b: hunter2 }\n  *a : 1\n  ? { c: hunter2 }\n  : 2\n  ? [hunter2]\n  : 3\n  !!binary aGk= : 4\n";
    expect(await faults(text)).toEqual(
      ["3:3", "4:5", "6:5", "8:12"].map((place) => `${place}: YAML: expected a text as the key`),
    );
  });

  it("is a file that cannot be read", async () => {
    await expect(loadConfiguration(join(folder, "none"))).rejects.toThrow(
      `${join(folder, "none")}:1:1: cannot read the file: it does not exist`,
    );
    await expect(loadConfiguration(folder)).rejects.toThrow(/cannot read the file: it is a folder/);
    writeFileSync(file, "#".repeat(1_048_577));
    await expect(loadConfiguration(file)).rejects.toThrow(/it has 1048577 bytes; expected 1048576 at most/);
  });

  it("bombs of aliases are refused", async () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) => `l${i}: &l${i} [${`*l${i - 1}, `.repeat(i === 0 ? 0 : 9)}x]`,
    );
    expect(await faults(levels.join("\n"))).toEqual(["1:1: YAML: its aliases lead to far too many values"]);
  });
});
