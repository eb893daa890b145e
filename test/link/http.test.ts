/** Links over a program's own HTTP server, proxies and TLS with client certificates. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, get, type Server } from "node:http";
import { createServer as createSecure } from "node:https";
import { connect, createServer as createTcp, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { beforeAll, describe, expect, it } from "vitest";
import { acceptLinks, dialLink, type LinkChannel, openLink } from "../../src/link/index.js";
import { Handshake } from "../../src/link/security.js";
import { type Certificates, makeCertificates } from "../support/certificates.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { connectProxy } from "../support/connect-proxy.js";
import { sharedFolder } from "../support/folders.js";
import { listening } from "../support/listening.js";
import { freePort } from "../support/ports.js";

const PASSWORD = "correct horse battery";
const closing = closeAfterEach();
const folder = sharedFolder();
let files: Certificates;
const file = (path: string): Buffer => readFileSync(path);

beforeAll(() => {
  files = makeCertificates(folder);
});

const echo = (channel: LinkChannel): void => void channel.on("error", () => undefined).pipe(channel);

/** A link of every stream that a server takes; and the streams' requests. */
function serve(server: Server, options: Parameters<typeof acceptLinks>[2] = {}): string[] {
  const urls: string[] = [];
  const stop = acceptLinks(
    server,
    async (stream, request) => {
      urls.push(`${request.url}`);
      closing(await openLink(stream, { role: "responder", password: PASSWORD, onChannel: echo }));
    },
    options,
  );
  closing({ close: stop });
  return urls;
}

/** A server of HTTP that takes links. */
async function serving(options?: Parameters<typeof acceptLinks>[2], server = createServer()) {
  const urls = serve(server, options);
  return { server, urls, port: await listening(server) };
}

async function use(stream: Duplex): Promise<string> {
  const link = closing(await openLink(stream, { role: "initiator", password: PASSWORD }));
  const channel = await link.open("x");
  channel.end("there and back");
  return text(channel);
}

async function statusOf(port: number, path: string, headers = {}): Promise<[number | undefined, string]> {
  const request = get({ port, path, headers, agent: false });
  const [response] = await once(request, "response");
  return [response.statusCode, await text(response)];
}

describe("a program's own server", () => {
  it("takes links, and answers all other requests as before", async () => {
    const server = createServer((request, response) => response.end(`hello ${request.url}`));
    const { port, urls } = await serving({ path: "/cluster" }, server);
    expect(await use(await dialLink(`http://127.0.0.1:${port}/cluster`))).toBe("there and back");
    expect(await statusOf(port, "/")).toEqual([200, "hello /"]);
    expect(await statusOf(port, "/cluster")).toEqual([200, "hello /cluster"]);
    // An upgrade to something else is what it was: without a listener for it, a request.
    const other = { connection: "Upgrade", upgrade: "h2c" };
    expect(await statusOf(port, "/cluster", other)).toEqual([200, "hello /cluster"]);
    await expect(dialLink(`http://127.0.0.1:${port}/other`)).rejects.toMatchObject({ code: "ERR_HANDSHAKE" });
    expect(urls).toEqual(["/cluster"]);
  });

  it("leaves upgrades of others to the program's listener", async () => {
    const { server, port } = await serving();
    server.on("upgrade", (_request, socket) =>
      socket.end("HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n"),
    );
    expect(await use(await dialLink(`http://127.0.0.1:${port}/`))).toBe("there and back");
    expect((await statusOf(port, "/", { connection: "Upgrade", upgrade: "websocket" }))[0]).toBe(418);
  });

  it("asks the program who may, and answers the others with 403", async () => {
    const { port } = await serving({
      authorize: async ({ headers }) => {
        if (headers.authorization === "throw") throw new Error("no");
        if (headers.authorization === "object") return { isAllowed: false } as never;
        return headers.authorization === "Bearer good";
      },
    });
    const url = `http://127.0.0.1:${port}/`;
    for (const authorization of ["Bearer bad", "throw", "object"])
      await expect(dialLink(url, { headers: { authorization } })).rejects.toMatchObject({
        code: "ERR_AUTHENTICATION",
        message: expect.stringContaining("403"),
      });
    expect(await use(await dialLink(url, { headers: { authorization: "Bearer good" } }))).toBe(
      "there and back",
    );
  });

  it("hangs up on those that it refuses, which need not do so themselves", async () => {
    const { server, port } = await serving({ authorize: () => false });
    for (const upgrade of ["", "Connection: Upgrade\r\nUpgrade: shoal-link\r\n"]) {
      const accepted = once(server, "connection") as Promise<[Socket]>;
      const stranger = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      closing({ close: () => stranger.destroy() });
      stranger.write(`GET / HTTP/1.1\r\nHost: x\r\n${upgrade}SMQ: CLUSTER\r\n\r\n`);
      const [socket] = await accepted;
      const closed = once(socket, "close");
      const [answer] = (await once(stranger, "data")) as [Buffer];
      expect(String(answer)).toContain("403 Forbidden");
      await closed;
    }
  });

  it("hangs up on a link's request behind another one that is not answered yet, and serves on", async () => {
    const server = createServer((request, response) => {
      if (request.url !== "/slow") response.end("answer");
    });
    const { port, urls } = await serving(undefined, server);
    for (const link of ["SMQ: CLUSTER", "Connection: Upgrade\r\nUpgrade: shoal-link"]) {
      const socket = connect(port, "127.0.0.1");
      socket.write(`GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n${link}\r\n\r\n`);
      await once(socket.resume(), "close");
    }
    expect(await statusOf(port, "/")).toEqual([200, "answer"]);
    expect(urls).toEqual([]);
  });

  it.each([
    "/x",
    "/cluster",
  ])("hangs up on a request for %s in one piece with a link's, and serves on", async (path) => {
    for (const authorize of [() => true, async () => true, async () => false]) {
      const server = createServer((_, response) => response.end("answer"));
      const { port } = await serving({ path: "/cluster", authorize, onError: () => undefined }, server);
      const socket = connect(port, "127.0.0.1");
      const head = (of: string): string => `GET ${of} HTTP/1.1\r\nHost: x\r\nSMQ: CLUSTER\r\n\r\n`;
      socket.write(head("/cluster") + head(path));
      await once(socket.resume(), "close");
      expect(await statusOf(port, "/")).toEqual([200, "answer"]);
    }
  });

  it("over TLS asks for the client's certificate", async () => {
    const [ca, cert, key] = [files.ca, files.serverCert, files.serverKey].map(file);
    const server = createSecure({ ca, cert, key, requestCert: true, rejectUnauthorized: true } as never);
    const port = await listening(server);
    serve(server as never);
    const url = `https://127.0.0.1:${port}/`;
    const client = { ca, cert: file(files.clientCert), key: file(files.clientKey) } as never;
    expect(await use(await dialLink(url, { tls: client }))).toBe("there and back");
    await expect(dialLink(url, { tls: { ca } as never })).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
    await expect(dialLink(url)).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
  });
});

describe("what comes with a request for a link", () => {
  const REQUEST = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shoal-link\r\n\r\n";
  const settings = { window: 65_536, maxChannels: 10, encrypt: false, keys: [], role: "initiator" } as const;
  const { hello } = new Handshake(settings);
  const other = Buffer.from(hello).fill(1, 24);

  it.each<[string, Buffer, string]>([
    ["no hello", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "ERR_HANDSHAKE"],
    ["a hello without the password", other, "ERR_AUTHENTICATION"],
    ["half a hello, and the end", hello.subarray(0, 20), "ERR_TRANSPORT"],
  ])("%s: fails its link alone, and is reported", async (_, garbage, code) => {
    const server = createServer();
    // Without it Node.js reads what follows a request as the next one.
    server.on("upgrade", (_request, socket) => socket.destroy());
    const port = await listening(server);
    const errors: unknown[] = [];
    serve(server, { onError: (error, { url }) => errors.push([(error as { code: string }).code, url]) });
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined).resume();
    const closed = once(socket, "close");
    const all = Buffer.concat([Buffer.from(REQUEST), garbage]);
    if (code === "ERR_TRANSPORT") socket.end(all);
    else socket.write(all);
    await closed;
    expect(errors).toEqual([[code, "/"]]);
    expect(await use(await dialLink(`http://127.0.0.1:${port}/`))).toBe("there and back");
  });
});

describe("a proxy", () => {
  it("that answers byte by byte is waited for, and its refusal is reported", async () => {
    const { port: target } = await serving();
    const answers = ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\nno!"];
    const slow = createTcp((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", async () => {
        const answer = answers.shift() as string;
        for (const byte of answer) {
          await new Promise((resolve) => socket.write(byte, resolve));
          await new Promise(setImmediate);
        }
        if (!answer.includes("200")) return;
        const out = connect(target, "127.0.0.1");
        out.on("error", () => undefined);
        out.pipe(socket).pipe(out);
      });
    });
    const proxy = `http://127.0.0.1:${await listening(slow)}`;
    const url = `http://127.0.0.1:${target}/`;
    expect(await use(await dialLink(url, { proxy }))).toBe("there and back");
    await expect(dialLink(url, { proxy })).rejects.toMatchObject({ code: "ERR_AUTHENTICATION" });
  });

  it.each(["http", "https"])("is asked by CONNECT with its credentials, to %s", async (scheme) => {
    const [ca, cert, key] = [files.ca, files.serverCert, files.serverKey].map(file);
    const server = scheme === "http" ? createServer() : createSecure({ cert, key } as never);
    const target = await listening(server);
    serve(server as Server);
    const { server: tunnels, asked } = connectProxy("user:pass word");
    const port = await listening(tunnels);
    const url = `${scheme}://127.0.0.1:${target}/`;
    const options = { tls: { ca } as never };
    const good = await dialLink(url, { ...options, proxy: `http://user:pass%20word@127.0.0.1:${port}` });
    expect(await use(good)).toBe("there and back");
    await expect(
      dialLink(url, { ...options, proxy: `http://user:wrong@127.0.0.1:${port}` }),
    ).rejects.toMatchObject({
      code: "ERR_AUTHENTICATION",
      message: expect.stringContaining("407"),
    });
    expect(asked[0]).toBe(`127.0.0.1:${target} Basic ${Buffer.from("user:pass word").toString("base64")}`);
  });
});

describe("dialLink", () => {
  it("gives up at what does not answer, breaks off, is not HTTP, or says too much", async () => {
    const answers = ["", "end", "SSH-2.0-OpenSSH\r\n\r\n", `HTTP/1.1 101 ${"x".repeat(20_000)}`];
    const server = createTcp((socket) => {
      socket.on("error", () => undefined);
      const answer = answers.shift() as string;
      if (answer === "end") socket.end();
      else socket.write(answer);
    });
    const url = `http://127.0.0.1:${await listening(server)}/`;
    await expect(dialLink(url, { timeout: 50 })).rejects.toMatchObject({ code: "ETIMEDOUT" });
    await expect(dialLink(url)).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
    await expect(dialLink(url)).rejects.toMatchObject({ code: "ERR_HANDSHAKE" });
    await expect(dialLink(url)).rejects.toMatchObject({ code: "ERR_HANDSHAKE" });
    await expect(dialLink(url, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ABORT_ERR" });
    await expect(dialLink(`http://127.0.0.1:${await freePort()}/`)).rejects.toMatchObject({
      code: "ECONNREFUSED",
    });
  });

  it.each([
    ["ftp://x/", {}],
    ["no url", {}],
    ["http://x/", { proxy: "socks://x" }],
    ["http://x/", { headers: { "X-A": "b\r\nX-C: d" } }],
    ["http://x/", { headers: { "X A": "b" } }],
    ["http://x/", { timeut: 1 }],
    ["http://x/", { signal: 5 }],
    ["http://x/", { proxy: "http://user%zz:password@127.0.0.1:1" }],
  ])("rejects %s with %o", async (url, options) => {
    await expect(dialLink(url, options as never)).rejects.toMatchObject({ code: "EINVAL" });
  });
});
