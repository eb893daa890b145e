/** wss://, ZMQ over WebSocket within TLS: certificates of both ends, and a server of the program's own. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { PeerCredentials, Pull, Push } from "../../../../src/index.js";
import { peerViews } from "../../../../src/sockets/internal.js";
import { nextEvent, until } from "../../../contract/support/wait.js";
import { World } from "../../../contract/support/world.js";
import { makeAuthority, makeCertificate } from "../../../support/certificates.js";
import { RUNTIME } from "../../../support/engines.js";
import { sharedFolder } from "../../../support/folders.js";
import { portOf } from "../../../support/ports.js";

/** Without the certificates that a world over wss has. */
const world = new World("zmtp", "ws");
const folder = sharedFolder();
const pem = (name: string): string => readFileSync(join(folder, name), "latin1");
const pair = (name: string) => ({ tlsCert: pem(`${name}.pem`), tlsKey: pem(`${name}.key`) });
const trust = () => ({ tlsCa: pem("ca.pem") });

beforeAll(() => {
  const serves = "extendedKeyUsage=serverAuth\n";
  makeAuthority(folder, "ca");
  makeCertificate(folder, "server", { extensions: `subjectAltName=IP:127.0.0.1\n${serves}` });
  makeCertificate(folder, "client", { subject: "/CN=sensor 7" });
}, 60_000);

async function arrives(push: Push, pull: Pull, text: string): Promise<void> {
  await push.send(text);
  expect(String((await pull.receive({ timeout: 8_000 }))[0])).toBe(text);
}

describe("wss://", () => {
  it.skipIf(RUNTIME === "deno")("gives authenticate the client's certificate", async () => {
    const asked: PeerCredentials[] = [];
    const authenticate = (peer: PeerCredentials): boolean => {
      asked.push(peer);
      return peer.certificate?.subject === "CN=sensor 7";
    };
    const pull = world.pull({ ...pair("server"), ...trust(), authenticate });
    const push = world.push({ ...pair("client"), ...trust() });
    push.connect(await pull.bind("wss://127.0.0.1:*"));
    await arrives(push, pull, "let in");
    expect(peerViews(pull)[0]?.address).toMatch(/^wss:\/\/127\.0\.0\.1:\d+$/);
    expect(asked.map(({ address, certificate }) => [address, certificate?.toString()])).toEqual([
      ["127.0.0.1", pem("client.pem")],
    ]);
  });

  it("needs a certificate and its key to bind, before anything is opened", async () => {
    const error = expect.objectContaining({ code: "EINVAL" });
    await expect(world.pull().bind("wss://127.0.0.1:*")).rejects.toEqual(error);
    expect(() => world.pull().bindSync("wss://127.0.0.1:*")).toThrow(error);
    expect(() => world.push({ tlsCa: "none" }).connect("wss://127.0.0.1:1")).toThrow(error);
  });
});

describe("a server refuses, before any upgrade and with the reason of TLS,", () => {
  it.skipIf(RUNTIME === "deno")("a client without a certificate", async () => {
    const pull = world.pull({ ...pair("server"), ...trust() });
    const endpoint = await pull.bind("wss://127.0.0.1:*");
    const push = world.push(trust());
    const refused = nextEvent(pull, "peer:refused");
    const retry = nextEvent(push, "connect:retry");
    push.connect(endpoint);
    const { error } = await refused;
    expect(error).toMatchObject({
      code: "ERR_AUTHENTICATION",
      message: expect.stringMatching(/no certificate/),
    });
    expect((await retry).error?.message).toMatch(/TLS|hung up before it answered/);
  });

  it("a peer that speaks WebSocket, but no TLS", async () => {
    const pull = world.pull(pair("server"));
    const endpoint = await pull.bind("wss://127.0.0.1:*");
    const failed = nextEvent(pull, "handshake:error:protocol");
    const bare = connectTcp(portOf(endpoint), "127.0.0.1");
    let heard = "";
    bare.on("data", (bytes) => {
      heard += bytes;
    });
    bare.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await failed).error.message).toMatch(
      /^Handshake at wss:.* failed: TLS: (?:http request|wrong version number)/,
    );
    await once(bare, "close");
    expect(heard).not.toContain("HTTP");
  });
});

it("an HTTPS server of the program's own gives sockets its upgrades, with the client's certificate", async () => {
  const { tlsCert: cert, tlsKey: key } = pair("server");
  const server = createHttpsServer({ cert, key, ca: pem("ca.pem"), requestCert: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  world.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const subjects: (string | undefined)[] = [];
  const authenticate = ({ certificate }: PeerCredentials): boolean => {
    subjects.push(certificate?.subject);
    return true;
  };
  const pull = world.pull({ authenticate });
  const endpoint = await pull.bind({ server, path: "/zmq" });
  expect(endpoint).toBe(`wss://127.0.0.1:${(server.address() as AddressInfo).port}/zmq`);
  const push = world.connect(world.push({ ...trust(), ...pair("client") }), endpoint);
  await arrives(push, pull, "x".repeat(500_000));
  await until(() => push.stats().queued === 0, "all is counted");
  expect(subjects).toEqual([RUNTIME === "bun" ? undefined : "CN=sensor 7"]);
});
