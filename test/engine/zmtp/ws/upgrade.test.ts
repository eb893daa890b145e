/** The upgrade of both sides, and what is refused, of heads that `node:http` has read. */
import { describe, expect, it } from "vitest";
import { offersOf } from "../../../../src/engine/zmtp/ws/subprotocol.js";
import {
  acceptResponse,
  chooseProtocol,
  isOriginAllowed,
  isRebound,
  MAX_HEADERS,
  readRequest,
  readResponse,
  refusalResponse,
  upgradeHeaders,
} from "../../../../src/engine/zmtp/ws/upgrade.js";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

const REQUEST = [
  "GET /zeromq?a=1 HTTP/1.1",
  "Host: server.example.com",
  "Upgrade: websocket",
  "Connection: Upgrade",
  `Sec-WebSocket-Key: ${KEY}`,
  "Sec-WebSocket-Protocol: ZWS2.0/NULL,ZWS2.0",
  "Sec-WebSocket-Version: 13",
];

type Head = Parameters<typeof readRequest>[0] & Parameters<typeof readResponse>[0];

/** What `node:http` gives of a message with such lines. */
function head(lines: readonly string[]): Head {
  const rawHeaders: string[] = [];
  const headersDistinct: Record<string, string[]> = {};
  for (const line of lines.slice(1)) {
    const name = line.slice(0, line.indexOf(":"));
    const value = line.slice(name.length + 1).trim();
    rawHeaders.push(name, value);
    headersDistinct[name.toLowerCase()] = [...(headersDistinct[name.toLowerCase()] ?? []), value];
  }
  const [first = "", second = "", ...others] = (lines[0] ?? "").split(" ");
  const third = others.join(" ");
  const start = first.startsWith("HTTP/")
    ? { httpVersion: first.slice(5), statusCode: Number(second), statusMessage: third }
    : { httpVersion: third.slice(5), method: first, url: second };
  return { rawHeaders, headersDistinct, ...start };
}

/** The request with a header replaced, left out or added. */
function request(...changes: string[]): ReturnType<typeof readRequest> {
  let lines = REQUEST;
  for (const change of changes) {
    const name = change.slice(0, change.indexOf(":") + 1);
    lines = lines.filter((line) => !line.startsWith(name));
    if (change !== name) lines = [...lines, change];
  }
  return readRequest(head(lines));
}

describe("a server", () => {
  it("reads a request as RFC 45 has it", () => {
    expect(request()).toEqual({
      path: "/zeromq",
      key: KEY,
      protocols: ["ZWS2.0/NULL", "ZWS2.0"],
      host: "server.example.com",
      origin: undefined,
    });
  });

  it("takes lists over several lines, in any case", () => {
    expect(
      request("Connection: keep-alive, UPGRADE", "Upgrade: WebSocket", "Sec-WebSocket-Protocol:"),
    ).toMatchObject({ protocols: [] });
    const lines = [...REQUEST, "Sec-WebSocket-Protocol: chat , ZWS2.0/CURVE"];
    expect(readRequest(head(lines))).toMatchObject({
      protocols: ["ZWS2.0/NULL", "ZWS2.0", "chat", "ZWS2.0/CURVE"],
    });
  });

  it.each([
    ["another version of WebSocket", ["Sec-WebSocket-Version: 8"], 426],
    ["no version", ["Sec-WebSocket-Version:"], 426],
    ["no upgrade", ["Upgrade:"], 426],
    ["another upgrade", ["Upgrade: h2c"], 426],
    ["a connection that is not upgraded", ["Connection: close"], 426],
    ["no key", ["Sec-WebSocket-Key:"], 400],
    ["a key of 15 bytes", ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"], 400],
    ["a key that is no base64", ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q=="], 400],
    ["a key with bits behind its end", ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="], 400],
    ["no host", ["Host:"], 400],
    ["a body", ["Content-Length: 5"], 400],
    ["a body in chunks", ["Transfer-Encoding: chunked"], 400],
  ])("refuses %s", (_, changes, status) => {
    expect(request(...changes)).toMatchObject({ status, reason: expect.any(String) });
  });

  it.each([
    ["POST / HTTP/1.1", 405],
    ["GET / HTTP/1.0", 505],
    ["GET / HTTP/2.0", 505],
    ["GET http://a/ HTTP/1.1", 400],
    ["GET * HTTP/1.1", 400],
  ])("refuses %s", (start, status) => {
    expect(readRequest(head([start, ...REQUEST.slice(1)]))).toMatchObject({ status });
  });

  it("refuses two keys, hosts and origins", () => {
    for (const name of ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Host: b"])
      expect(readRequest(head([...REQUEST, name]))).toMatchObject({ status: 400 });
    const origins = [...REQUEST, "Origin: http://a", "Origin: http://b"];
    expect(readRequest(head(origins))).toMatchObject({ status: 400 });
  });

  it("refuses more headers than it looks at", () => {
    const more = (count: number): string[] => Array.from({ length: count }, (_, i) => `X-${i}: 1`);
    const room = MAX_HEADERS - (REQUEST.length - 1);
    expect(readRequest(head([...REQUEST, ...more(room)]))).toMatchObject({ path: "/zeromq" });
    expect(readRequest(head([...REQUEST, ...more(room + 1)]))).toMatchObject({ status: 431 });
  });

  it("chooses what both have, with a mechanism where it can", () => {
    expect(chooseProtocol(["ZWS2.0", "ZWS2.0/NULL"], "NULL")).toBe("ZWS2.0/NULL");
    expect(chooseProtocol(["ZWS2.0"], "NULL")).toBe("ZWS2.0");
    expect(chooseProtocol(["ZWS2.0/NULL", "ZWS2.0/PLAIN"], "PLAIN")).toBe("ZWS2.0/PLAIN");
    expect(chooseProtocol(["ZWS2.0", "ZWS2.0/NULL", "ZWS2.0/PLAIN"], "CURVE")).toMatchObject({ status: 400 });
    expect(chooseProtocol([], "NULL")).toMatchObject({
      status: 400,
      reason: expect.stringContaining("none"),
    });
    expect(chooseProtocol(["zws2.0/null"], "NULL")).toMatchObject({ status: 400 });
  });

  it("answers with the digest of RFC 6455's example", () => {
    expect(acceptResponse(KEY, "ZWS2.0/NULL")).toBe(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: ZWS2.0/NULL\r\n\r\n",
    );
  });

  it("refuses with an answer that says why, and how long it is", () => {
    const refused = refusalResponse({ status: 426, reason: "the request asks for no upgrade to websocket" });
    const answer = refused.toString("latin1");
    expect(answer).toContain("HTTP/1.1 426 Upgrade Required\r\n");
    expect(answer).toContain("Sec-WebSocket-Version: 13\r\n");
    const [top, body] = answer.split("\r\n\r\n") as [string, string];
    expect(Number(/Content-Length: (\d+)/.exec(top)?.[1])).toBe(body.length);
  });
});

describe("an origin", () => {
  const host = "example.com:8080";
  it.each([
    [undefined, null, true],
    ["http://example.com:8080", null, true],
    ["https://example.com:8080", null, true],
    ["http://EXAMPLE.com:8080", null, true],
    ["http://example.com", null, false],
    ["http://evil.example", null, false],
    ["null", null, false],
    ["http://example.com:8080.evil.example", null, false],
    ["http://evil.example", ["*"], true],
    ["http://a.example", ["http://a.example", "http://b.example"], true],
    ["http://a.example", ["http://a.example/"], true],
    ["http://a.example:80", ["http://a.example"], true],
    ["https://a.example", ["http://a.example"], false],
    ["http://example.com:8080", [], false],
    ["null", ["null"], true],
    [undefined, [], true],
  ] as const)("%s, with %j allowed: %s", (origin, allowed, expected) => {
    expect(isOriginAllowed({ origin, host }, allowed)).toBe(expected);
  });

  it("is that of the host without the scheme's own port, too", () => {
    expect(isOriginAllowed({ origin: "http://example.com", host: "example.com:80" }, null)).toBe(true);
    expect(isOriginAllowed({ origin: "https://example.com", host: "example.com" }, null)).toBe(true);
  });
});

describe("a rebound name", () => {
  it.each([
    ["http://rebound.example", "rebound.example", "127.0.0.1", null, true],
    ["http://rebound.example", "rebound.example", "::1", null, true],
    ["http://notlocalhost", "notlocalhost", "127.0.0.1", null, true],
    ["http://localhost.example", "localhost.example", "127.0.0.1", null, true],
    ["http://rebound.example", "rebound.example", "::ffff:127.0.0.1", null, true],
    ["http://app.example", "app.example", "192.0.2.1", null, false],
    ["http://app.example", "app.example", "127.0.0.1", ["http://app.example"], false],
    [undefined, "app.example", "127.0.0.1", null, false],
    ["http://localhost:81", "localhost:81", "127.0.0.1", null, false],
    ["http://a.LOCALHOST", "a.LOCALHOST", "127.0.0.1", null, false],
    ["http://[::1]:8", "[::1]:8", "::1", null, false],
    ["http://127.9.9.9", "127.9.9.9", "127.0.0.1", null, false],
    ["http://x", "", "127.0.0.1", null, true],
  ] as const)("%s, Host %s, from %s, with %j allowed: %s", (origin, host, address, allowed, expected) => {
    expect(isRebound({ origin, host }, address, allowed)).toBe(expected);
  });
});

describe("a client", () => {
  it("asks as libzmq does", () => {
    expect(Object.entries(upgradeHeaders("127.0.0.1:5555", KEY, "NULL"))).toEqual([
      ["Host", "127.0.0.1:5555"],
      ["Upgrade", "websocket"],
      ["Connection", "Upgrade"],
      ["Sec-WebSocket-Key", KEY],
      ["Sec-WebSocket-Protocol", "ZWS2.0/NULL,ZWS2.0"],
      ["Sec-WebSocket-Version", "13"],
    ]);
    expect(offersOf("CURVE")).toEqual(["ZWS2.0/CURVE"]);
  });

  const answer = acceptResponse(KEY, "ZWS2.0").trimEnd().split("\r\n");
  const read = (lines: readonly string[]): unknown => readResponse(head(lines), KEY, "NULL");

  it("takes an answer to its own key", () => {
    expect(read(answer)).toEqual({ protocol: "ZWS2.0" });
    expect(readResponse(head(answer), "AAAAAAAAAAAAAAAAAAAAAA==", "NULL")).toEqual({
      fault: expect.stringContaining("Sec-WebSocket-Accept"),
    });
  });

  it.each([
    [["HTTP/1.1 404 Not Found"], "404 Not Found"],
    [["HTTP/1.1 200 OK"], "200"],
    [["HTTP/1.0 101 Switching Protocols"], "not HTTP/1.1"],
    [[answer[0] as string], "no upgrade"],
    [[...answer, "Sec-WebSocket-Extensions: permessage-deflate"], "extension"],
    [answer.filter((line) => !line.includes("Protocol:")), "no subprotocol"],
    [answer.map((line) => line.replace("ZWS2.0", "ZWS2.0/CURVE")), "not offered"],
    [[...answer, "Sec-WebSocket-Protocol: ZWS2.0/NULL"], "no subprotocol"],
    [answer.filter((line) => !line.startsWith("Upgrade")), "no upgrade"],
  ])("refuses %j", (lines, what) => {
    expect(read(lines)).toEqual({ fault: expect.stringContaining(what) });
  });
});
