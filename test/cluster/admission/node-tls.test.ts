/** Nodes with TLS beneath their streams, over the host's sockets: who becomes a member, and what refuses whom. */
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type ClusterCertificate,
  ClusterNode,
  type ClusterNodeOptions,
  type ClusterTlsOptions,
  type RefusedReason,
} from "../../../src/cluster/index.js";
import { curveKeyPair } from "../../../src/sockets/security/curve-keys.js";
import { makeAuthority, makeCertificate } from "../../support/certificates.js";
import { sharedFolder } from "../../support/folders.js";
import { listening } from "../../support/listening.js";
import { managerOf, portOf, reasonsOf, testNodes, together, until } from "../nodes.js";

const KEY = "01234567890123456789012345678901234567ab";
const BOTH = "extendedKeyUsage=serverAuth,clientAuth\n";
const { started } = testNodes(() => ({ multicast: false, key: KEY }));
const sockets: { destroy(): unknown }[] = [];
const folder = sharedFolder();

function pem(name: string): string {
  return readFileSync(join(folder, name), "latin1");
}

function pair(name: string): ClusterCertificate {
  return { cert: pem(`${name}.pem`), key: pem(`${name}.key`) };
}

/** Certificates of files, and whom to trust. */
function tls(name: string, ca = "ca", more: Partial<ClusterTlsOptions> = {}): ClusterTlsOptions {
  return { ...pair(name), ca: pem(`${ca}.pem`), ...more };
}

/** Two that never become members of each other: what the one that is dialled has, and the one that dials, which may see a hang-up only. */
async function refused(
  first: ClusterNodeOptions,
  second: ClusterNodeOptions,
  reason: RefusedReason | "nothing",
  other: RefusedReason,
): Promise<void> {
  const a = await started("a", first);
  const reasons = reasonsOf(a);
  const b = await started("b", { ...second, seeds: [a.address] });
  const others = reasonsOf(b);
  // The one that is dialled and not trusted sees that the other one hangs up, which anybody may do: it counts that.
  const isCounted = (): boolean => (a.stats().dropped["link:handshake"] ?? 0) > 0;
  await until(() => (reason === "nothing" ? isCounted() : reasons.has(reason)) && others.has(other));
  expect([a.members().length, b.members().length]).toEqual([1, 1]);
}

beforeAll(() => {
  makeAuthority(folder, "ca");
  makeAuthority(folder, "other");
  for (const name of ["a", "b", "c"]) makeCertificate(folder, name, { extensions: BOTH });
  makeCertificate(folder, "foreign", { extensions: BOTH, authority: "other" });
  makeCertificate(folder, "expired", { extensions: BOTH, days: -1 });
  makeCertificate(folder, "server", { extensions: "extendedKeyUsage=serverAuth\n" });
  makeCertificate(folder, "client", { extensions: "extendedKeyUsage=clientAuth\n" });
  makeCertificate(folder, "addressed", { extensions: `subjectAltName=IP:127.0.0.1\n${BOTH}` });
});

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

describe("nodes with TLS", () => {
  it("have keys of their own within TLS, and messages", async () => {
    const [one, two] = [curveKeyPair(), curveKeyPair()];
    const allow = [one.publicKey, two.publicKey];
    const a = await started("a", { tls: tls("a"), curve: { ...one, allow } });
    const b = await started("b", { tls: tls("b"), curve: { ...two, allow }, seeds: [a.address] });
    await together(2, a, b);
    const messages = a.subscribe("letters/+");
    await messages.ready;
    await b.publish("letters/tls", "hello");
    for await (const { data } of messages) {
      expect(String(data)).toBe("hello");
      break;
    }
  });

  it("refuse a certificate of another authority", () =>
    refused({ tls: tls("a") }, { tls: tls("foreign", "ca") }, "certificate", "peer"));

  it("are not trusted by a node that trusts another authority", () =>
    refused({ tls: tls("a") }, { tls: tls("b", "other") }, "nothing", "certificate"));

  it("refuse a certificate that has expired", () =>
    refused({ tls: tls("a") }, { tls: tls("expired") }, "certificate", "peer"));

  it("are refused where their own certificate has expired", () =>
    refused({ tls: tls("expired") }, { tls: tls("b") }, "nothing", "certificate"));

  it("refuse a certificate without the address that was dialled, where that is wanted", async () => {
    const checkAddress = { checkAddress: true };
    const without = (name: string): ClusterNodeOptions => ({ tls: tls(name, "ca", checkAddress) });
    await refused(without("a"), without("b"), "certificate", "certificate");
    const a = await started("d", without("addressed"));
    const b = await started("e", { ...without("addressed"), seeds: [a.address] });
    await together(2, a, b);
  });

  it("and those without refuse each other, and it does not matter which one dials", async () => {
    await refused({ tls: tls("a") }, {}, "tls", "tls");
    await refused({}, { tls: tls("b") }, "tls", "tls");
  });

  it("refuse another cluster's key within TLS", async () => {
    const other = "ab234567890123456789012345678901234567cd";
    await refused({ tls: tls("a") }, { tls: tls("b"), key: other }, "key", "peer");
  });

  it("refuse a client without a certificate, junk and plain text, and take nodes meanwhile", async () => {
    const a = await started("a", { tls: tls("a") });
    const reasons = reasonsOf(a);
    const port = portOf(a);
    const dropped = (): Readonly<Record<string, number>> => a.stats().dropped;
    const dial = (more: object): void => {
      const bare = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ...more });
      sockets.push(bare.on("error", () => undefined));
    };
    dial({});
    await until(() => reasons.has("certificate"));
    // One for servers only is none for a client.
    dial(pair("server"));
    await until(() => dropped()["link:certificate"] === 2);
    const junk = connect(port, "127.0.0.1", () => junk.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    sockets.push(junk.on("error", () => undefined));
    await until(() => reasons.has("tls"));
    // As many as say nothing.
    const silent = Array.from({ length: 100 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
    sockets.push(...silent);
    const b = await started("b", { tls: tls("b"), seeds: [a.address] });
    await together(2, a, b);
    expect(dropped()["link:certificate"]).toBeGreaterThan(0);
    expect(dropped()["link:tls"]).toBeGreaterThan(0);
  });

  it("have listeners with another certificate and without TLS, and another certificate where they dial", async () => {
    const both = `${pem("ca.pem")}${pem("other.pem")}`;
    const a = await started("a", {
      tls: { ...tls("a"), ca: both },
      listen: [{ tls: pair("foreign") }, { tls: false }, {}],
    });
    const [foreign, plain, own] = a.listeners as [string, string, string];
    const nodeOf = async (name: string, options: ClusterNodeOptions, address: string) =>
      managerOf(await started(name, options), [address]);
    // It trusts the other authority alone: what it dials shows the certificate of that one.
    const foreigner = await nodeOf("b", { tls: tls("foreign", "other") }, foreign);
    await until(() => foreigner.status()[0]?.state === "connected");
    const refusing = await nodeOf("c", { tls: tls("foreign", "other") }, own);
    await until(() => refusing.status()[0]?.error?.code === "ERR_AUTHENTICATION");
    const without = await nodeOf("d", {}, plain);
    await until(() => without.status()[0]?.state === "connected");
    const dialling = await nodeOf("e", { tls: { ...tls("client"), dialling: pair("c"), ca: both } }, own);
    await until(() => dialling.status()[0]?.state === "connected");
  });

  it("renew their certificates while they run: streams that stand stay, and new ones have these", async () => {
    const a = await started("a", { tls: tls("a") });
    const b = await started("b", { tls: tls("b"), seeds: [a.address] });
    await together(2, a, b);
    a.setTls(tls("foreign", "other"));
    const c = await started("c", { tls: tls("c"), seeds: [a.address] });
    const others = reasonsOf(c);
    await until(() => others.has("certificate"));
    const d = await started("d", { tls: tls("foreign", "other"), seeds: [a.address] });
    await until(() => d.members().some(({ name }) => name === a.name));
    expect(a.members().map(({ name }) => name)).toContain(b.name);
    const EINVAL = expect.objectContaining({ code: "EINVAL" });
    expect(() => a.setTls({ ...tls("a"), key: pem("b.key") })).toThrow(EINVAL);
    expect(() => c.setTls({} as never)).toThrow(EINVAL);
    const plain = new ClusterNode({ name: "p" });
    expect(() => plain.setTls(tls("a"))).toThrow(EINVAL);
  });

  it("says what a connection manager's address does with TLS", async () => {
    const server = createServer((socket: Socket) => socket.on("error", () => undefined).end("SSH-2.0-x\r\n"));
    const port = await listening(server);
    const a = await started("a", { tls: tls("a") });
    const manager = managerOf(a, [`127.0.0.1:${port}`]);
    await until(() => manager.status()[0]?.error !== undefined);
    expect(manager.status()[0]?.error).toMatchObject({
      code: expect.stringMatching(/^ERR_(PROTOCOL|HANDSHAKE)$/),
      message: expect.stringContaining("TLS"),
    });
  });

  it("refuse options that do not fit, before anything is opened, and repeat no key", () => {
    const whole = tls("a");
    const wrong: readonly (readonly [unknown, string])[] = [
      [{ ...whole, ca: undefined }, "tls.ca must be PEM"],
      [{ ...whole, cert: "x" }, "tls.cert must be PEM"],
      [{ ...whole, key: 7 }, "tls.key must be PEM"],
      [{ ...whole, key: pem("b.key") }, "tls cannot be used: "],
      [{ ...whole, cert: whole.cert.slice(0, 200) }, "tls cannot be used: "],
      [{ ...whole, ca: whole.ca.slice(0, 200) }, "tls.ca has a certificate that cannot be read"],
      [{ ...whole, sert: "x" }, "tls has no option sert; did you mean cert?"],
      [{ ...whole, checkAddress: 1 }, "tls.checkAddress must be true or false"],
      [{ ...whole, dialling: { cert: whole.cert } }, "tls.dialling.key must be PEM"],
      [[whole], "The options of tls must be an object"],
    ];
    for (const [given, message] of wrong) {
      const make = (): ClusterNode => new ClusterNode({ tls: given as never });
      expect(make, message).toThrow(message);
      expect(make, message).toThrow(expect.objectContaining({ code: "EINVAL" }));
      expect(make, message).not.toThrow("PRIVATE KEY-----\n");
    }
    expect(() => new ClusterNode({ listen: [{ tls: true }] })).toThrow("the node has no tls");
    expect(() => new ClusterNode({ listen: [{ tls: pair("a") }] })).toThrow("listen.tls needs ca");
  });
});
