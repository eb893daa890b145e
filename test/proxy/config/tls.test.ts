/** Certificates of tls:// and wss:// in a configuration: files that are read, and what is wrong with them. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ConfigurationError, problemLine } from "../../../src/config/file.js";
import { changed, difference } from "../../../src/proxy/config/fleet.js";
import { configurationOf } from "../../../src/proxy/config/load.js";
import { type Configuration, optionsOf, type ProxyConfiguration } from "../../../src/proxy/config/model.js";
import { makeAuthority, makeCertificate } from "../../support/certificates.js";
import { sharedFolder } from "../../support/folders.js";

const engine = { name: "zmtp", transports: ["tcp", "tls", "ws", "wss", "ipc"], unsupportedOptions: [] };
const folder = sharedFolder();
const pem = (name: string): string => readFileSync(join(folder, name), "latin1");

beforeAll(() => {
  makeAuthority(folder, "ca");
  makeCertificate(folder, "server", { extensions: "subjectAltName=IP:127.0.0.1\n" });
  makeCertificate(folder, "other", { extensions: "subjectAltName=DNS:a.test\n" });
  writeFileSync(join(folder, "text"), "not a certificate");
  writeFileSync(join(folder, "cut.pem"), pem("ca.pem").slice(0, -100));
}, 60_000);

const withTls = (tls: string, frontend = "tls://*:5555"): string => `
proxies:
  work:
    kind: streamer
    frontend:
      bind: ${frontend}
      ${tls}
    backend: { bind: tcp://*:5556 }
`;

const read = (text: string): Promise<Configuration> =>
  configurationOf(join(folder, "proxy.yaml"), text, { environment: {}, engine });

async function faults(text: string): Promise<readonly string[]> {
  try {
    await read(text);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.problems.map((problem) => problemLine(problem).replace(/^\S+ /, "").replaceAll(folder, "."));
  }
}

const PAIR = "cert: server.pem, key: server.key";

describe("the key tls", () => {
  it("has files, which become the socket's options", async () => {
    const configuration = await read(withTls(`tls: { ${PAIR}, ca: ca.pem }`));
    const { frontend } = optionsOf(configuration.proxies.work as ProxyConfiguration);
    const files = { tlsCert: pem("server.pem"), tlsKey: pem("server.key"), tlsCa: pem("ca.pem") };
    expect(frontend).toMatchObject(files);
  });

  it("may trust an authority alone, where a side connects", async () => {
    const text = withTls("tls: { ca: ca.pem }").replace("bind: tls", "connect: tls");
    const { proxies } = await read(text.replace("*:5555", "there:5555"));
    const { frontend } = optionsOf(proxies.work as ProxyConfiguration);
    expect(frontend).toMatchObject({ tlsCert: null, tlsCa: pem("ca.pem") });
  });

  it.each([
    ["tls: { cert: server.pem }", "tls: cert needs the key key"],
    [`tls: { ${PAIR}, certs: x }`, "tls.certs: unknown key; did you mean cert?"],
    [
      "tls: { cert: gone.pem, key: server.key }",
      "frontend.tls.cert: cannot read ./gone.pem: it does not exist",
    ],
    ["tls: { cert: text, key: server.key }", "frontend.tls.cert: ./text is not in PEM"],
    ["tls: { cert: server.pem, key: other.key }", "frontend.tls: these files cannot be used:"],
    [
      `tls: { ${PAIR}, ca: cut.pem }`,
      "frontend.tls: these files cannot be used: ca has a certificate that cannot be read",
    ],
    [`tls: { ${PAIR} }\n      tlsCa: x`, "tls and tlsCa exclude each other"],
    ["linger: 1", "tls://*:5555 needs a certificate: tls: { cert: FILE, key: FILE }"],
  ])("with %s is at fault", async (tls, message) => {
    const found = await faults(withTls(tls));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(message);
  });
});

describe("certificates that change", () => {
  const proxies = async (cert: string) =>
    (await read(withTls(`tls: { cert: ${cert}.pem, key: ${cert}.key }`))).proxies;

  it("are set in the proxy that runs, and can be turned back", async () => {
    const [before, after] = [await proxies("server"), await proxies("other")];
    const changes = difference(before, after);
    expect(changes.map(({ do: what }) => what)).toEqual(["tls"]);
    const [change] = changes as [(typeof changes)[number]];
    expect(changed(before, change)).toEqual(after);
    expect(difference(after, before)).toMatchObject([{ do: "tls", tls: before.work?.frontend.tls }]);
    expect(difference(before, await proxies("server"))).toEqual([]);
  });

  it("that come or go start the proxy again", async () => {
    const before = (await read(withTls("linger: 1", "tcp://*:5555"))).proxies;
    const after = (await read(withTls(`linger: 1\n      tls: { ${PAIR} }`, "tcp://*:5555"))).proxies;
    const again = ["frontend.tls"];
    expect(difference(before, after)).toMatchObject(["stop", "start"].map((what) => ({ do: what, again })));
  });
});
