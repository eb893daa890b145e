import { chmodSync, readFileSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readKeyFile } from "../../src/cli/security.js";
import { request, WsPeer } from "../engine/zmtp/support/ws-peer.js";
import { makeCertificates } from "../support/certificates.js";
import { sharedFolder } from "../support/folders.js";
import { fails, keygen, run, start, startWithout } from "./in-process.js";
import { file, ipc, useFolder } from "./support.js";

useFolder();
const folder = sharedFolder();

describe("keygen", () => {
  test("makes the key of a cluster, in a file of its owner", async () => {
    expect(String((await run("", "keygen", "--cluster")).stdout)).toMatch(/^\S{40}\n$/);
    const path = file();
    expect(await run("", "keygen", "--cluster", "--out", path)).toMatchObject({ code: 0 });
    expect([await readKeyFile(path), statSync(path).mode & 0o777]).toEqual([expect.any(String), 0o600]);
    expect(await run("", "keygen", "--cluster", "--out", path)).toMatchObject({ code: 1 });
    const before = await readKeyFile(path);
    chmodSync(path, 0o644);
    expect(await run("", "keygen", "--cluster", "--out", path, "--force")).toMatchObject({ code: 0 });
    expect(await readKeyFile(path)).not.toBe(before);
  });

  test("prints a new pair as two labelled lines, or as JSON", async () => {
    const { code, stdout, stderr } = await run("", "keygen");
    expect(stdout.toString()).toMatch(/^public-key \S{40}\nsecret-key \S{40}\n$/);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const json = JSON.parse((await run("", "keygen", "--json")).stdout.toString());
    expect(json).toEqual({
      publicKey: expect.stringMatching(/^.{40}$/),
      secretKey: expect.stringMatching(/^.{40}$/),
    });
  });

  test("writes certificates, the secret one for its owner only, and replaces none unasked", async () => {
    const name = file();
    const { code, stdout } = await run("", "keygen", "--out", name);
    expect(code).toBe(0);
    const [, publicKey] = /^public-key (\S{40})\n$/.exec(stdout.toString()) ?? [];
    const written = readFileSync(`${name}_secret`, "utf8");
    expect(written).toContain(`public-key = "${publicKey}"`);
    expect(readFileSync(name, "utf8")).not.toContain("secret-key");
    expect(statSync(`${name}_secret`).mode & 0o777).toBe(0o600);

    const again = await run("", "keygen", "--out", name);
    expect(again).toMatchObject({ code: 1, stderr: `shoal keygen: ${name} exists; --force replaces it\n` });
    expect(readFileSync(`${name}_secret`, "utf8")).toBe(written);
    expect((await run("", "keygen", "--out", name, "--force")).code).toBe(0);
    expect(readFileSync(`${name}_secret`, "utf8")).not.toBe(written);
  });

  test("leaves nothing behind where the secret file exists already", async () => {
    const name = file();
    await run("", "keygen", "--out", `${name}_secret`);
    expect((await run("", "keygen", "--out", name)).code).toBe(1);
    expect(() => statSync(name)).toThrow(/ENOENT/);
  });
});

describe("TLS", () => {
  test("carries lines over tls://, from clients that trust the authority, with a certificate of theirs", async () => {
    const { ca, serverCert, serverKey, clientCert, clientKey } = makeCertificates(folder);
    const server = ["--tls-cert", serverCert, "--tls-key", serverKey, "--tls-ca", ca];
    const pull = start("pull", "--bind", "tls://127.0.0.1:*", ...server, "--count", "1");
    const endpoint = await pull.endpoint();
    const to = ["push", "--connect", endpoint, "--timeout", "5000"];
    const client = ["--tls-cert", clientCert, "--tls-key", clientKey];
    const untrusting = await run("x\n", ...to, ...client);
    expect(untrusting.stderr).toMatch(/certificate is not accepted/);
    expect(untrusting.code).toBe(1);
    const nameless = await run("y\n", ...to, "--tls-ca", ca);
    expect(nameless.code).toBe(1);
    expect((await run("a\n", ...to, ...client, "--tls-ca", ca)).code).toBe(0);
    expect((await pull.ended).stdout.toString()).toBe("a\n");
  });

  test.each([
    [["--tls-cert", "/none"], 2, /--tls-cert and --tls-key go together/],
    [["--tls-ca", "/none"], 2, /needs --tls-cert FILE and --tls-key FILE/],
    [[], 2, /tls:\/\/127\.0\.0\.1:\* needs --tls-cert FILE and --tls-key FILE/],
  ] as const)("%j", async (options, code, message) => {
    await fails(code, message, ["pull", "--bind", "tls://127.0.0.1:*", ...options]);
  });
});

describe("--ws-origin", () => {
  test.each([
    ["--bind tcp://127.0.0.1:* --ws-origin https://a.example", "--ws-origin is for ws:// and wss://"],
    ["--connect ws://127.0.0.1:1 --ws-origin *", "--ws-origin is for ws:// and wss://"],
    ["--bind ws://127.0.0.1:* --ws-origin a.example", "an origin such as https://example.com"],
    ["--bind ws://127.0.0.1:* --ws-origin https://a.example/page", "without a path"],
  ])("%s", async (options, why) => void (await fails(2, why, ["pull", ...options.split(" ")])));

  test("lets pages of these origins connect, and no others", async () => {
    const pull = start(
      ...["pull", "--bind", "ws://127.0.0.1:*"],
      ...["--ws-origin", "https://a.example", "--ws-origin", "https://b.example"],
    );
    const endpoint = await pull.endpoint();
    const statusFor = async (origin: string): Promise<string> => {
      const peer = await WsPeer.connect(endpoint);
      peer.send(request(`Origin: ${origin}`));
      const [status = ""] = (await peer.head()).split("\r\n");
      peer.socket.destroy();
      return status;
    };
    expect(await statusFor("https://b.example")).toContain("101");
    expect(await statusFor("https://c.example")).toContain("403");
    pull.signal("SIGTERM");
    await pull.ended;
  });
});

describe("CURVE", () => {
  test("carries lines to a server with a certificate, from clients with and without one", async () => {
    const endpoint = ipc();
    const server = await keygen();
    const client = await keygen();
    const certificate = ["--curve-certificate", server.secretFile];
    const pull = startWithout("pull", "--bind", endpoint, ...certificate, "--count", "2");
    const to = ["push", "--connect", endpoint, "--curve-server-key", server.publicKey];
    expect((await run("a\n", ...to)).code).toBe(0);
    expect((await run("b\n", ...to, "--curve-certificate", client.secretFile)).code).toBe(0);
    expect((await pull.ended).stdout.toString()).toBe("a\nb\n");
  });

  test("lets nobody in with another server's key", async () => {
    const endpoint = ipc();
    const server = await keygen();
    const other = await keygen();
    const pull = startWithout("pull", "--bind", endpoint, "--curve-certificate", server.secretFile);
    // Within the time-out of the other one a refused handshake has to be.
    await pull.until("stderr", /listening at /);
    const to = ["push", "--connect", endpoint, "--curve-server-key", other.publicKey];
    const { code, stderr } = await run("a\n", ...to, "--timeout", "600");
    expect(stderr).toMatch(
      /wrong server key\? The curveServerKey of this client is .*\n.*not every message was delivered/,
    );
    expect(code).toBe(1);
    await pull.until("stderr", /wrong server key\? The public key of this server is /);
    expect(pull.stdout.length).toBe(0);
  });
});

test.each([
  ["a wrong password", ["--plain", "ann:x"], /failed: authentication failed/],
  ["no user at all", [], /the peer uses the mechanism PLAIN, this socket NULL/],
])("PLAIN refuses %s: the client fails, the server goes on", async (_, options, why) => {
  const endpoint = ipc();
  const pull = startWithout("pull", "--bind", endpoint, "--plain", "ann:a:b", "--count", "1");
  await pull.endpoint();
  const to = ["push", "--connect", endpoint];
  // The refused socket lingers for so long in this process.
  const { code, stderr } = await run("no\n", ...to, "--timeout", "3000", ...options);
  expect(stderr).toMatch(why);
  expect(code).toBe(1);
  await run("yes\n", ...to, "--plain", "ann:a:b");
  expect((await pull.ended).stdout.toString()).toBe("yes\n");
});
