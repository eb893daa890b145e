/** What both sides of an upgrade say, and which origins a server lets in. */
import { describe, expect, it } from "vitest";
import {
  acceptResponse,
  chooseProtocol,
  isOriginAllowed,
  isRebound,
  refusalResponse,
  upgradeHeaders,
} from "../../../../src/engine/zmtp/ws/upgrade.js";
import { offersOf } from "../../../../src/engine/zmtp/ws/zws.js";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

describe("a server", () => {
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
] as const)("a rebound name: %s, Host %s, from %s, with %j allowed: %s", (origin, host, address, allowed, expected) => {
  expect(isRebound({ origin, host }, address, allowed)).toBe(expected);
});

it("a client asks as libzmq does", () => {
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
