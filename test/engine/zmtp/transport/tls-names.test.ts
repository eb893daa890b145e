/** A server of several names: which certificate each client is shown (SNI), from a list or from a function. */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EventOfType, EventType, PullOptions, Socket, TlsCertificate } from "../../../../src/index.js";
import { World } from "../../../contract/support/world.js";
import { makeAuthority, makeCertificate } from "../../../support/certificates.js";
import { RUNTIME } from "../../../support/engines.js";

/** Without the certificates that a world over tls has. */
const world = new World("zmtp", "tcp");
const folder = mkdtempSync(join(tmpdir(), "shoal-tls-names-"));
const pem = (name: string): string => readFileSync(join(folder, name), "latin1");
const certificate = (name: string): TlsCertificate => ({ cert: pem(`${name}.pem`), key: pem(`${name}.key`) });
const main = () => ({ tlsCert: pem("main.pem"), tlsKey: pem("main.key") });

beforeAll(() => {
  makeAuthority(folder, "ca");
  makeAuthority(folder, "other");
  const serves = "extendedKeyUsage=serverAuth\n";
  for (const [name, names] of [
    ["main", "IP:127.0.0.1"],
    ["a", "DNS:a.test"],
    ["b", "DNS:b.test,DNS:*.b.test"],
    ["renewed", "DNS:a.test"],
  ])
    makeCertificate(folder, name as string, {
      extensions: `subjectAltName=${names}\n${serves}`,
      subject: `/CN=${name}`,
    });
  makeCertificate(folder, "client");
  makeCertificate(folder, "stranger", { authority: "other" });
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function next<E extends EventType>(socket: Socket, type: E): Promise<EventOfType<E>> {
  return new Promise((resolve) => socket.events.once(type, resolve));
}

/** The common name of the certificate that a client is shown that asks for a name, or the error's code. */
async function shown(endpoint: string, servername: string | undefined): Promise<string> {
  const port = Number(/:(\d+)/.exec(endpoint.slice(6))?.[1]);
  const peer = connectTls({
    port,
    host: "127.0.0.1",
    rejectUnauthorized: false,
    ...(servername === undefined ? {} : { servername }),
  });
  try {
    await once(peer, "secureConnect");
    return String(peer.getPeerCertificate().subject.CN);
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  } finally {
    peer.destroy();
  }
}

const bound = async (options: PullOptions, endpoint = "tls://127.0.0.1:*") => {
  const pull = world.pull({ ...main(), ...options });
  return { pull, endpoint: await pull.bind(endpoint) };
};

describe("tlsCertificates", () => {
  it("of a list: the first that has the name, else the socket's own", async () => {
    const { endpoint } = await bound({ tlsCertificates: [certificate("a"), certificate("b")] });
    for (const [name, expected] of [
      ["a.test", "a"],
      ["A.Test", "a"],
      ["b.test", "b"],
      // Deno finds no name by a wildcard in a certificate.
      ["x.b.test", RUNTIME === "deno" ? "main" : "b"],
      ["x.y.b.test", "main"],
      ["elsewhere.test", "main"],
      [undefined, "main"],
    ] as const)
      expect([name, await shown(endpoint, name)]).toEqual([name, expected]);
  });

  it.each(["tls", "wss"])("lets clients connect over %s that check the name", async (scheme) => {
    const { pull, endpoint } = await bound(
      { tlsCertificates: [certificate("a")] },
      `${scheme}://127.0.0.1:*`,
    );
    const push = world.push({ tlsCa: pem("ca.pem"), tlsServerName: "a.test" });
    push.connect(endpoint);
    await push.send("by its name");
    expect(String((await pull.receive({ timeout: 8_000 }))[0])).toBe("by its name");
  });

  it("of a function, at once or later; `undefined` is the socket's own", async () => {
    const asked: string[] = [];
    const [a, b] = [certificate("a"), certificate("b")];
    const { endpoint } = await bound({
      tlsCertificates: (name) => {
        asked.push(name);
        if (name === "a.test") return a;
        return name === "b.test" ? Promise.resolve(b) : undefined;
      },
    });
    expect(await shown(endpoint, "a.test")).toBe("a");
    expect(await shown(endpoint, "B.test")).toBe("b");
    expect(await shown(endpoint, "c.test")).toBe("main");
    expect(await shown(endpoint, undefined)).toBe("main");
    expect(asked).toEqual(["a.test", "b.test", "c.test"]);
  });

  it.each([
    ["throws", () => Promise.reject(new Error("no such tenant")), /no such tenant/],
    ["returns something else", () => ({ certificate: "x" }) as never, /tlsCertificates returns \{ cert, key/],
    [
      "returns a key of another certificate",
      () => ({ cert: pem("a.pem"), key: pem("b.key") }),
      /cannot be used/,
    ],
  ] as const)("of a function that %s: the handshake ends with the reason, and others go on", async (_, pick, why) => {
    const { pull, endpoint } = await bound({
      tlsCertificates: (name) => (name === "a.test" ? pick() : undefined),
    });
    const failed = next(pull, "handshake:error:other");
    expect(await shown(endpoint, "a.test")).toMatch(/^E/);
    expect((await failed).error.message).toMatch(why);
    expect(await shown(endpoint, "b.test")).toBe("main");
  });

  it("are renewed by setting them", async () => {
    const { pull, endpoint } = await bound({ tlsCertificates: [certificate("a")] });
    expect(await shown(endpoint, "a.test")).toBe("a");
    pull.tlsCertificates = [certificate("renewed")];
    expect(await shown(endpoint, "a.test")).toBe("renewed");
    pull.tlsCertificates = null;
    expect(await shown(endpoint, "a.test")).toBe("main");
  });

  it.skipIf(RUNTIME === "deno")("ask for client certificates as the socket's own does", async () => {
    const { pull, endpoint } = await bound({ tlsCa: pem("ca.pem"), tlsCertificates: [certificate("a")] });
    const trust = { tlsCa: pem("ca.pem"), tlsServerName: "a.test" };
    const refused = next(pull, "peer:refused");
    const stranger = world.push({ ...trust, tlsCert: pem("stranger.pem"), tlsKey: pem("stranger.key") });
    const failed = next(stranger, "connect:retry");
    stranger.connect(endpoint);
    expect((await refused).error.message).toContain("not accepted");
    // A client of TLS 1.3 is through with its handshake when the server looks at its certificate.
    expect((await failed).error?.message).toMatch(
      /does not accept this side's certificate|the peer ended TLS/,
    );
    const known = world.push({ ...trust, tlsCert: pem("client.pem"), tlsKey: pem("client.key") });
    known.connect(endpoint);
    await known.send("known");
    expect(String((await pull.receive({ timeout: 8_000 }))[0])).toBe("known");
  });

  it("are checked before anything is opened", async () => {
    const wrong = [{ cert: pem("a.pem"), key: pem("b.key") }];
    await expect(bound({ tlsCertificates: wrong })).rejects.toMatchObject({ code: "EINVAL" });
    for (const given of [{}, "pem", [{}], [{ cert: "x" }], [{ cert: "x", key: "y", name: "z" }], 5])
      expect(() => world.pull({ tlsCertificates: given as never })).toThrow(
        expect.objectContaining({
          code: "EINVAL",
          message: expect.stringContaining("{ cert, key, passphrase? }"),
        }),
      );
  });

  it("of sockets that share a port are the same", async () => {
    const list = [certificate("a")];
    const { endpoint } = await bound({ tlsCertificates: list }, "wss://127.0.0.1:*/a");
    const other = endpoint.replace(/a$/, "b");
    await expect(bound({ tlsCertificates: [certificate("b")] }, other)).rejects.toMatchObject({
      code: "EADDRINUSE",
    });
    await bound({ tlsCertificates: list }, other);
  });
});
