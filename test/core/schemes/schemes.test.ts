import { describe, expect, test } from "vitest";
import { ShoalError } from "../../../src/core/errors.js";
import { checkEndpoint } from "../../../src/core/schemes/schemes.js";
import fc from "../../support/properties.js";

const TRANSPORTS = ["tcp", "ipc", "inproc"];
type Use = "bind" | "connect";

function codeOf(endpoint: unknown, use: Use): string {
  try {
    checkEndpoint(endpoint, use, TRANSPORTS);
    return "ok";
  } catch (error) {
    return (error as ShoalError).code;
  }
}

describe("is accepted", () => {
  test.each([
    ["tcp://127.0.0.1:5555", "both"],
    ["tcp://localhost:1", "both"],
    ["tcp://example.test:65535", "both"],
    ["tcp://[::1]:5555", "both"],
    ["tcp://[fe80::1%eth0]:5555", "both"],
    ["tcp://eth0:5555", "both"],
    ["tcp://*:5555", "bind"],
    ["tcp://*:*", "bind"],
    ["tcp://127.0.0.1:*", "bind"],
    ["tcp://127.0.0.1:0", "bind"],
    ["tcp://[::]:*", "bind"],
    ["tcp://192.0.2.1:0;127.0.0.1:5555", "connect"],
    ["tcp://eth0;example.test:5555", "connect"],
    ["ipc:///run/some.sock", "both"],
    ["ipc://relative/path", "both"],
    ["ipc://@abstract", "both"],
    ["ipc://*", "bind"],
    [`ipc://${"p".repeat(107)}`, "both"],
    ["inproc://name", "both"],
    ["inproc://:// any thing", "both"],
    [`inproc://${"é".repeat(127)}`, "both"],
  ] as [string, Use | "both"][])("%s, for %s", (endpoint, use) => {
    expect(codeOf(endpoint, "bind")).toBe(use === "connect" ? "EINVAL" : "ok");
    expect(codeOf(endpoint, "connect")).toBe(use === "bind" ? "EINVAL" : "ok");
  });
});

describe("is refused with EINVAL", () => {
  test.each([
    "",
    "tcp",
    "tcp:",
    "tcp:/",
    "tcp:/127.0.0.1:1",
    "://127.0.0.1:1",
    "127.0.0.1:5555",
    "tcp://",
    "tcp://127.0.0.1",
    "tcp://:5555",
    "tcp://127.0.0.1:",
    "tcp://127.0.0.1:65536",
    "tcp://127.0.0.1:-1",
    "tcp://127.0.0.1:1e3",
    "tcp://127.0.0.1:0x50",
    "tcp://127.0.0.1: 80",
    "tcp://127.0.0.1:80 ",
    "tcp://127.0.0.1:80/path",
    "tcp://127.0.0.1:000080",
    "tcp://127.0.0.1:٣",
    "tcp://[::1]",
    "tcp://::1:5555",
    "ipc://",
    "ipc://@",
    "inproc://",
    "tcp://127.0.0.1:80\0",
    "ipc:///tmp/a\0b",
    `inproc://${"é".repeat(128)}`,
  ])("%j", (endpoint) => {
    expect(codeOf(endpoint, "bind")).toBe("EINVAL");
    expect(codeOf(endpoint, "connect")).toBe("EINVAL");
  });
});

test.each([
  "udp://127.0.0.1:1",
  "TCP://127.0.0.1:1",
  "http://127.0.0.1:80",
  " tcp://127.0.0.1:1",
  "constructor://a",
])("%s names a transport that the engine lacks", (endpoint) => {
  expect(codeOf(endpoint, "connect")).toBe("EPROTONOSUPPORT");
});

test("an ipc path that the system would cut off is ENAMETOOLONG, as in the package zeromq", () => {
  for (const use of ["bind", "connect"] as const)
    expect(codeOf(`ipc://${"p".repeat(108)}`, use)).toBe("ENAMETOOLONG");
});

test("the error quotes the endpoint, carries it, and says what was expected and what came", () => {
  expect(() => checkEndpoint("tcp://127.0.0.1:99999", "bind", TRANSPORTS)).toThrow(
    expect.objectContaining({
      endpoint: "tcp://127.0.0.1:99999",
      message:
        'Endpoint "tcp://127.0.0.1:99999": the port must be a number from 0 to 65535 or *; got "99999"',
    }),
  );
  expect(() => checkEndpoint("udp://1", "bind", TRANSPORTS)).toThrow(/tcp, ipc, inproc; got "udp"/);
});

test("no text makes it throw anything but an error of the library", () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "tcp",
      "ipc",
      "inproc",
      "://",
      ":",
      ";",
      "*",
      "[",
      "]",
      "@",
      "/",
      "0",
      "65535",
      "\0",
      "::1",
    ),
    fc.string({ unit: "binary", maxLength: 4 }),
  );
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join("")),
    fc.array(piece, { maxLength: 8 }).map((pieces) => `tcp://${pieces.join("")}`),
  );
  fc.assert(
    fc.property(text, fc.constantFrom<Use>("bind", "connect"), (endpoint, use) => {
      try {
        checkEndpoint(endpoint, use, TRANSPORTS);
      } catch (error) {
        expect(error).toBeInstanceOf(ShoalError);
        expect(["EINVAL", "EPROTONOSUPPORT"]).toContain((error as ShoalError).code);
        return;
      }
      // What connect may use has a port, and so has what bind may use.
      if (endpoint.startsWith("tcp://")) expect(endpoint).toMatch(use === "bind" ? /:(\d+|\*)$/ : /:\d+$/);
    }),
    { numRuns: 3_000 },
  );
});
