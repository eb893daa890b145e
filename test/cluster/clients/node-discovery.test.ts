import { readFileSync } from "node:fs";
import { get as getSecure } from "node:https";
import { createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type ClusterNamespace,
  type ClusterNode,
  DiscoveryClient,
  type DiscoveryClientOptions,
  DiscoveryServer,
  type DiscoveryServerOptions,
} from "../../../src/cluster/index.js";
import { curveKeyPair, Dealer, Request, Router } from "../../../src/index.js";
import {
  type Certificates,
  makeAuthority,
  makeCertificate,
  makeCertificates,
} from "../../support/certificates.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { sharedFolder } from "../../support/folders.js";
import { listening } from "../../support/listening.js";
import { freePort } from "../../support/ports.js";
import { event, testNodes, together } from "../nodes.js";

/** A multicast port of each test's own. */
let port = 0;
const { started: node } = testNodes(() => ({ cluster: `discovery-${process.pid}`, multicast: { port } }));
const closing = closeAfterEach();

beforeEach(async () => {
  port = await freePort();
});

const users = { ana: "secret" };

function makeServer(of: ClusterNamespace, options: Partial<DiscoveryServerOptions> = {}): DiscoveryServer {
  return closing(new DiscoveryServer(of, { endpoint: "tcp://127.0.0.1:*", users, ...options }));
}

async function server(...options: Parameters<typeof makeServer>): Promise<DiscoveryServer> {
  const made = makeServer(...options);
  await made.start();
  return made;
}

function client(
  options: Partial<DiscoveryClientOptions> & { addresses: string | string[] },
): DiscoveryClient {
  return closing(new DiscoveryClient({ username: "ana", password: "secret", ...options }));
}

/** Until a client's list fits. */
async function until(of: DiscoveryClient, fits: () => boolean): Promise<void> {
  while (!fits()) await event(of, "nodes:changed");
}

const basic = (user: string) => ({ Authorization: `Basic ${btoa(user)}` });
const ANA = { headers: basic("ana:secret") };

describe("a client that knows one node", () => {
  it("leaves a node that leaves the cluster or is removed from it, whose server lets nobody in", async () => {
    const [a, b, c] = [await node("a"), await node("b"), await node("c")];
    const all = [await server(a), await server(b), await server(c)];
    await together(3, a, b, c);
    const known = client({ addresses: all.map(({ endpoint }) => endpoint as string) });
    await known.ready();
    await until(known, () => known.nodes.filter(({ discovery }) => discovery.length > 0).length === 3);
    const connected = async (): Promise<ClusterNode> => {
      while (known.current === undefined) await event(known, "node:connected");
      return [a, b, c].find(({ id }) => id === known.current?.id) as ClusterNode;
    };
    const leaving = (from: ClusterNode): Promise<unknown> =>
      event(known, "node:connected", ({ node: to }) => to !== undefined && to.id !== from.id);
    const removed = await connected();
    const other = [a, b, c].find((each) => each !== removed) as ClusterNode;
    const moved = leaving(removed);
    other.remove(removed.id);
    await moved;
    await until(known, () => known.nodes.length === 2);
    while (!removed.removed) await new Promise((resolve) => removed.events.once("removed", resolve));
    const at = all.find((_, i) => [a, b, c][i] === removed)?.endpoint as string;
    await expect(client({ addresses: at }).ready()).rejects.toMatchObject({ code: "EHOSTUNREACH" });
    const leaves = await connected();
    const last = leaving(leaves);
    await leaves.leave();
    await last;
    await until(known, () => known.nodes.length === 1);
  });

  it("proves itself by its CURVE key", async () => {
    const a = await node("a");
    const [own, ana, eve] = [curveKeyPair(), curveKeyPair(), curveKeyPair()];
    const curve = (keys: typeof own) => ({ curvePublicKey: keys.publicKey, curveSecretKey: keys.secretKey });
    const socketOptions = { curveServer: true, ...curve(own) };
    const first = await server(a, { users: { ana: { publicKey: ana.publicKey } }, socketOptions });
    const by = (keys: typeof ana): DiscoveryClient => {
      const options = { curveServerKey: own.publicKey, ...curve(keys) };
      return closing(new DiscoveryClient({ addresses: first.endpoint as string, socketOptions: options }));
    };
    await by(ana).ready();
    await expect(by(eve).ready()).rejects.toMatchObject({ code: "ERR_AUTHENTICATION" });
  });
});

it("a server that is closed while it starts waits for no provider of addresses", async () => {
  const addresses = () => new Promise<never>(() => undefined);
  const made = makeServer(await node("a"), { addresses, addressInterval: 60_000 });
  const starting = made.start();
  await made.close();
  await expect(starting).rejects.toMatchObject({ code: "EBADF" });
});

it("a removed node answers with 503 over HTTP", async () => {
  const [a, b] = [await node("a"), await node("b")];
  const { url } = await server(a, { endpoint: undefined, http: { port: 0 } });
  await together(2, a, b);
  const status = async (): Promise<unknown> => (await fetch(url as string, ANA)).status;
  expect(await status()).toBe(200);
  b.remove(a.id);
  while (!a.removed) await new Promise((resolve) => a.events.once("removed", resolve));
  expect(await status()).toBe(503);
});

describe("node.clients()", () => {
  it("has the nodes as missing on a node without messages, which drains then", async () => {
    const [a, b] = [await node("a"), await node("b", { messaging: false })];
    await server(a);
    await together(2, a, b);
    while (!b.members().some(({ props }) => "shoal-discovery" in props))
      await new Promise((resolve) => b.events.once("tags", resolve).once("joined", resolve));
    expect(await b.clients({ timeout: 100 })).toEqual({ clients: [], missing: [a.name] });
    await b.drain();
  });

  it("has this node's own without asking: at once, and while it drains", async () => {
    const a = await node("a");
    const { endpoint } = await server(a);
    await client({ addresses: endpoint as string }).ready();
    for (const timeout of [0, 1_000]) {
      expect(await a.clients({ timeout })).toMatchObject({ clients: [{ node: a.name }], missing: [] });
      await a.drain();
    }
  });

  it("is empty without discovery servers, and checks what it is given", async () => {
    const a = await node("a");
    expect(await a.clients()).toEqual({ clients: [], missing: [] });
    await expect(a.clients({ timeout: -1 })).rejects.toMatchObject({ code: "EINVAL" });
    await expect(a.clients({ time: 1 } as never)).rejects.toMatchObject({ code: "EINVAL" });
  });
});

describe("a discovery server", () => {
  it("is the only one of its node: another is refused, and hurts nothing as it closes", async () => {
    const a = await node("a");
    const first = await server(a);
    const made = client({ addresses: first.endpoint as string });
    await made.ready();
    const second = makeServer(a, { port: 7 });
    await expect(second.start()).rejects.toMatchObject({ code: "EFSM" });
    await second.close();
    expect((await a.clients()).clients).toHaveLength(1);
    const changed = event(made, "nodes:changed");
    a.tags("new");
    expect((await changed).nodes).toMatchObject([{ tags: ["new"] }]);
    expect(made.nodes[0]?.addresses.every(({ port: of }) => of === undefined)).toBe(true);
    await first.close();
    await server(a);
  });

  it("asks its provider of addresses once at a time, and gives a call up that is too long", async () => {
    const signals: AbortSignal[] = [];
    let isSlow = false;
    const made = await server(await node("a"), {
      host: "0.0.0.0",
      addressInterval: 300,
      addresses: (signal) => {
        if (!isSlow) return [{ ip: "10.0.0.1", interface: "eth0", prefix: 24 }];
        signals.push(signal);
        return new Promise(() => undefined);
      },
    });
    isSlow = true;
    const failed = event(made, "addresses:failed");
    expect((await failed).error).toMatchObject({ code: "ETIMEDOUT" });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });

  it("has its nodes for clients that come before its provider of addresses has answered", async () => {
    const endpoint = `tcp://127.0.0.1:${await freePort()}`;
    const a = await node("a");
    const made = makeServer(a, { endpoint, addresses: () => new Promise(() => undefined) });
    const started = made.start().catch(({ code }: { code: string }) => code);
    const known = client({ addresses: endpoint });
    await known.ready();
    expect(known.nodes.map(({ name }) => name)).toEqual([a.name]);
    await made.close();
    expect(await started).toBe("EBADF");
  });

  it("has no endpoint after a start that failed, and starts again", async () => {
    const [a, taken] = [await node("a"), createServer()];
    const http = { port: await listening(taken) };
    const made = makeServer(a, { http });
    await expect(made.start()).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect([made.endpoint, made.url]).toEqual([undefined, undefined]);
    await new Promise((resolve) => taken.close(resolve));
    await made.start();
    expect(made.url).toContain(`:${http.port}/`);
  });

  it("that its node has no room for leaves the node without one", async () => {
    const a = await node("a");
    const served = Array.from({ length: 1_024 }, (_, i) => a.serve(`s${i}`, () => undefined));
    await expect(server(a)).rejects.toMatchObject({ code: "EFSM" });
    served[0]?.close();
    await server(a);
  });

  it("does not start again once it is closed", async () => {
    const made = await server(await node("a"));
    await made.close();
    await expect(made.start()).rejects.toMatchObject({ code: "EBADF" });
  });

  it("reports addresses without room once, not with each lookup", async () => {
    const many = Array.from({ length: 40 }, (_, i) => ({ ip: `10.0.0.${i}`, interface: "eth0", prefix: 24 }));
    const addresses = vi.fn(() => many);
    const made = makeServer(await node("a"), { host: "0.0.0.0", addressInterval: 20, addresses });
    const errors: unknown[] = [];
    made.events.on("addresses:failed", ({ error }) => void errors.push(error));
    await made.start();
    await vi.waitFor(() => expect(addresses.mock.calls.length).toBeGreaterThan(2));
    expect(errors).toHaveLength(1);
  });
});

it("any ZeroMQ program asks by REQ, with an empty delimiter, or by DEALER", async () => {
  const a = await node("a");
  const first = await server(a);
  const plain = { plainUsername: "ana", plainPassword: "secret" };
  const req = closing(new Request(plain));
  req.connect(first.endpoint as string);
  const [reply] = await req.request('{"command":"nodes"}');
  const nodes = [{ id: a.id, name: a.name }];
  expect(JSON.parse(String(reply))).toMatchObject({ ok: true, node: a.id, nodes });
  const [refused] = await req.request('{"command":"watch"}');
  const EINVAL = { ok: false, error: { code: "EINVAL" } };
  expect(JSON.parse(String(refused))).toMatchObject(EINVAL);
  const dealer = closing(new Dealer(plain));
  dealer.connect(first.endpoint as string);
  for (const junk of ["", "{", "[]", '{"command":"node"}', '{"command":"nodes","addresses":"all"}']) {
    await dealer.send(junk);
    expect(JSON.parse(String((await dealer.receive())[0])), junk).toMatchObject(EINVAL);
  }
  await dealer.send(["a", "b"]);
  expect(JSON.parse(String((await dealer.receive())[0])).error.message).toContain("one frame");
  expect(first.stats().invalid).toBe(7);
});

it("endpoints of the nodes' ports are tcp, and tls where the secure ones are asked for", async () => {
  const a = await node("a");
  const { endpoint } = await server(a, { port: 5_672, securePort: 8_672 });
  const first = async (secure: boolean): Promise<unknown> => {
    const { signal } = new AbortController();
    for await (const list of client({ addresses: endpoint as string, secure }).endpoints(signal)) return list;
    return undefined;
  };
  expect([await first(false), await first(true)]).toEqual([
    ["tcp://127.0.0.1:5672"],
    ["tls://127.0.0.1:8672"],
  ]);
});

describe("over HTTP", () => {
  it("gives the list as JSON, or in the format that the URL or the request asks for", async () => {
    const a = await node("a");
    const first = await server(a, { http: { port: 0 }, xml: true, port: 5_672, securePort: 8_672 });
    const url = first.url as string;
    const json = await fetch(url, ANA);
    expect(json.status).toBe(200);
    expect(json.headers.get("content-type")).toContain("application/json");
    expect(JSON.parse(await json.text()).nodes[0]).toMatchObject({
      id: a.id,
      addresses: [{ ip: "127.0.0.1", port: 5_672, securePort: 8_672, interface: "lo" }],
    });
    const xml = await fetch(`${url}?format=xml`, ANA);
    expect(xml.headers.get("content-type")).toContain("application/xml");
    const accepts = { headers: { ...ANA.headers, Accept: "application/xml" } };
    expect(await (await fetch(url, accepts)).text()).toBe(await xml.text());
    expect((await fetch(`${url}?format=yaml`, ANA)).status).toBe(400);
    expect((await fetch(`${url}?addresses=all`, ANA)).status).toBe(400);
    expect((await fetch(`${url}/x`, ANA)).status).toBe(404);
    expect((await fetch(url, { ...ANA, method: "POST" })).status).toBe(405);
  });

  it("refuses alike whatever is wrong", async () => {
    const a = await node("a");
    const first = await server(a, {
      http: { port: 0 },
      users: { ana: "secret", bob: { password: "b", permissions: ["x"] } },
    });
    const wrong = ["ana:x", "eve:secret", "bob:b"].map(basic);
    for (const headers of [{}, ...wrong, { Authorization: "Bearer x" }]) {
      const answer = await fetch(first.url as string, { headers });
      expect([answer.status, await answer.text()]).toEqual([401, ""]);
      expect(answer.headers.get("www-authenticate")).toBe('Basic realm="shoal", charset="UTF-8"');
    }
    expect((await fetch(`${first.url}?format=xml`, ANA)).status).toBe(406);
  });
});

describe("over TLS", () => {
  const folder = sharedFolder();
  let files: Certificates;
  const pem = (path: string): string => readFileSync(path, "latin1");
  const own = (): { cert: string; key: string } => ({
    cert: pem(files.serverCert),
    key: pem(files.serverKey),
  });

  beforeAll(() => {
    files = makeCertificates(folder);
  });

  /** The answer over HTTPS, or the code of the error. */
  const ask = (url: string, ca: string, more: object = {}): Promise<string> =>
    new Promise((resolve) => {
      const options = { ca: pem(ca), auth: "ana:secret", agent: false, ...more };
      const failed = ({ code }: NodeJS.ErrnoException): void => resolve(`${code}`);
      getSecure(url, options, (response) => {
        text(response).then((body) => resolve(`${response.statusCode} ${body}`), failed);
      }).on("error", failed);
    });

  it("has clients of sockets and of HTTPS, which learn of endpoints tls://, and refuses plain ones", async () => {
    const of = await node("tls");
    const made = await server(of, { endpoint: "tls://127.0.0.1:*", http: { port: 0 }, tls: own() });
    const socketOptions = { tlsCa: pem(files.ca) };
    const one = client({ addresses: made.endpoint as string, socketOptions });
    await one.ready();
    expect(one.nodes[0]?.discovery).toEqual([made.endpoint]);
    expect(made.url).toMatch(/^https:/);
    expect(await ask(made.url as string, files.ca)).toMatch(/^200 .*"name":"tls@/);
    // An HTTP request of this port costs the connection.
    await expect(fetch((made.url as string).replace("https", "http"))).rejects.toThrow();
    const addresses = (made.endpoint as string).replace("tls", "tcp");
    const plain = client({ addresses, cycleCount: 1, attemptTimeout: 300 });
    await expect(plain.ready()).rejects.toMatchObject({ code: "EHOSTUNREACH" });
  });

  it("says why a client does not come in: whom it does not trust, and the certificate that is asked for", async () => {
    const made = await server(await node("tls"), {
      endpoint: "tls://127.0.0.1:*",
      http: { port: 0 },
      tls: { ...own(), ca: pem(files.ca) },
    });
    const addresses = made.endpoint as string;
    const untrusting = client({ addresses, cycleCount: 1 });
    const failed = event(untrusting, "attempt:failed");
    await expect(untrusting.ready()).rejects.toMatchObject({
      code: "EHOSTUNREACH",
      message: expect.stringContaining("certificate"),
      cause: expect.objectContaining({ message: expect.stringContaining("certificate") }),
    });
    expect((await failed).error?.message).toContain("certificate");
    const bare = client({ addresses, cycleCount: 1, socketOptions: { tlsCa: pem(files.ca) } });
    await expect(bare.ready()).rejects.toMatchObject({ code: "EHOSTUNREACH" });
    expect(await ask(made.url as string, files.ca)).toMatch(/^(ERR_SSL|ECONNRESET|EPIPE)/);
    const [cert, key] = [pem(files.clientCert), pem(files.clientKey)];
    const socketOptions = { tlsCa: pem(files.ca), tlsCert: cert, tlsKey: key };
    const shown = client({ addresses, socketOptions });
    await shown.ready();
    expect(await ask(made.url as string, files.ca, { cert, key })).toMatch(/^200 /);
  });

  it("renews its certificate, and a list cannot lead its clients out of TLS", async () => {
    const of = await node("tls");
    const made = await server(of, { endpoint: "tls://127.0.0.1:*", http: { port: 0 }, tls: own() });
    const other = await node("plain");
    const open = await server(other);
    await together(2, of, other);
    const one = client({ addresses: made.endpoint as string, socketOptions: { tlsCa: pem(files.ca) } });
    await one.ready();
    await until(one, () => one.nodes.length === 2);
    expect(one.nodes.flatMap(({ discovery }) => discovery)).toEqual([made.endpoint]);
    expect(one.stats().attempts).toBe(1);
    // One that was given a plain address hears of both.
    const two = client({ addresses: open.endpoint as string });
    await two.ready();
    await until(two, () => two.nodes.flatMap(({ discovery }) => discovery).length === 2);
    makeAuthority(folder, "next");
    const extensions = "subjectAltName=IP:127.0.0.1\n";
    makeCertificate(folder, "renewed", { authority: "next", extensions });
    const renewed = { cert: pem(join(folder, "renewed.pem")), key: pem(join(folder, "renewed.key")) };
    made.setTls(renewed);
    expect(await ask(made.url as string, join(folder, "next.pem"))).toMatch(/^200 /);
    const port = Number(/\d+$/.exec(made.endpoint as string)?.[0]);
    const issuer = await new Promise<unknown>((resolve) => {
      const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().issuer.CN);
        socket.destroy();
      });
    });
    expect(issuer).toBe("next");
    const EINVAL = expect.objectContaining({ code: "EINVAL" });
    expect(() => made.setTls({ ...renewed, key: pem(files.clientKey) })).toThrow(EINVAL);
    expect(() => open.setTls(renewed)).toThrow(EINVAL);
  });

  it("refuses options that do not go together", async () => {
    const of = await node("tls");
    const wrong: readonly (readonly [Partial<DiscoveryServerOptions>, string])[] = [
      [{ endpoint: "tls://127.0.0.1:*" }, "needs the option tls"],
      [{ endpoint: "tcp://127.0.0.1:*", tls: own() }, "needs a tls:// endpoint"],
      [{ endpoint: "tls://127.0.0.1:*", tls: { ...own(), key: "x" } }, "tls.key must be PEM"],
      [{ endpoint: "ipc:///tmp/x", tls: own() }, "tcp://HOST:PORT or tls://HOST:PORT"],
      [{ endpoint: "tcp://127.0.0.1:*", host: "db1.example" }, "host must be an IP address"],
    ];
    for (const [options, message] of wrong)
      expect(() => new DiscoveryServer(of, { users, ...options }), message).toThrow(message);
    for (const addresses of [[], "", "127.0.0.1", "127.0.0.1:0", ["a:1", 1]] as string[])
      expect(() => client({ addresses }), `${addresses}`).toThrow(/Option addresses|an address must/);
    expect(() => client({ addresses: "a:1", fallback: ["a:1"] })).toThrow(
      "Option fallback must be an endpoint",
    );
    expect(() => client({ addresses: "udp://127.0.0.1:1" })).toThrow("tls://HOST:PORT");
  });
});

it("what failed is in the events of a client: what the server answered, and what the system said", async () => {
  const made = await server(await node("a"));
  const unreached = client({ addresses: "127.0.0.1:1", cycleCount: 1 });
  const failed = event(unreached, "attempt:failed");
  const message = expect.stringContaining("ECONNREFUSED");
  await expect(unreached.ready()).rejects.toMatchObject({ code: "EHOSTUNREACH", message });
  expect((await failed).error).toMatchObject({ code: "ECONNREFUSED" });
  const refused = client({ addresses: made.endpoint as string, password: "wrong", cycleCount: 1 });
  await expect(refused.ready()).rejects.toMatchObject({
    code: "ERR_AUTHENTICATION",
    message: "every discovery server refused this client",
    cause: expect.objectContaining({ code: "ERR_AUTHENTICATION" }),
  });
  // A server that answers with an error of its own.
  const fake = closing(new Router({ plainServer: true, authenticate: () => true }));
  const endpoint = await fake.bind("tcp://127.0.0.1:*");
  const answered = client({ addresses: endpoint, cycleCount: 1 });
  const invalid = event(answered, "attempt:failed", ({ reason }) => reason === "invalid");
  const [id] = await fake.receive();
  const error = { code: "EINVAL", message: "no such thing" };
  await fake.send([id as Buffer, JSON.stringify({ ok: false, error })]);
  expect((await invalid).error?.message).toContain("EINVAL no such thing");
});
