import { expect, test } from "vitest";
import { ShoalError } from "../../../src/core/errors.js";
import { formatHostPort, parseHostPort } from "../../../src/core/schemes/grammar.js";
import { checkEndpoint } from "../../../src/core/schemes/schemes.js";
import fc, { forAll } from "../../support/properties.js";

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

/** An endpoint, what may be done with it, and where it is by its host and port. */
type Accepted = [string, Use | "both", host?: string, port?: number, source?: [host: string, port: number]];

test.each([
  ["tcp://127.0.0.1:5555", "both", "127.0.0.1", 5555],
  ["tcp://localhost:1", "both", "localhost", 1],
  ["tcp://example.test:65535", "both", "example.test", 65535],
  ["tcp://[::1]:5555", "both", "::1", 5555],
  ["tcp://[fe80::1%eth0]:5555", "both", "fe80::1%eth0", 5555],
  ["tcp://eth0:5555", "both", "eth0", 5555],
  ["tcp://*:5555", "bind", "*", 5555],
  ["tcp://*:*", "bind", "*", 0],
  ["tcp://127.0.0.1:*", "bind", "127.0.0.1", 0],
  ["tcp://127.0.0.1:0", "bind", "127.0.0.1", 0],
  ["tcp://[::]:*", "bind", "::", 0],
  ["tcp://192.0.2.1:0;127.0.0.1:5555", "connect", "127.0.0.1", 5555, ["192.0.2.1", 0]],
  ["tcp://10.0.0.1:4000;host:5555", "connect", "host", 5555, ["10.0.0.1", 4000]],
  ["tcp://eth0;example.test:5555", "connect", "example.test", 5555, ["eth0", 0]],
  ["tcp://*:*;host:5555", "connect", "host", 5555, ["*", 0]],
  ["tcp://[::1]:0;[::2]:5555", "connect", "::2", 5555, ["::1", 0]],
  ["tcp://[::1];[::2]:5555", "connect", "::2", 5555, ["::1", 0]],
  ["ipc:///run/some.sock", "both"],
  ["ipc://relative/path", "both"],
  ["ipc://@abstract", "both"],
  ["ipc://*", "bind"],
  [`ipc://${"p".repeat(107)}`, "both"],
  ["inproc://name", "both"],
  ["inproc://:// any thing", "both"],
  [`inproc://${"é".repeat(127)}`, "both"],
] as Accepted[])("%s is accepted, for %s", (endpoint, use, host, port, source) => {
  expect(codeOf(endpoint, "bind")).toBe(use === "connect" ? "EINVAL" : "ok");
  expect(codeOf(endpoint, "connect")).toBe(use === "bind" ? "EINVAL" : "ok");
  if (host === undefined) return;
  const from = source && { host: source[0], port: source[1] };
  expect(parseHostPort(endpoint)).toEqual({ host, port, source: from });
});

test.each([
  ["127.0.0.1", 5555, "tcp://127.0.0.1:5555"],
  ["::1", 5555, "tcp://[::1]:5555"],
  ["::", 1, "tcp://[::]:1"],
  ["::ffff:127.0.0.1", 5555, "tcp://127.0.0.1:5555"],
  ["fe80::1%eth0", 5555, "tcp://[fe80::1%eth0]:5555"],
])("%s with port %i is written %s", (host, port, endpoint) => {
  expect(formatHostPort("tcp", host, port)).toBe(endpoint);
});

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
  "tcp://;127.0.0.1:5555",
  "tcp://eth0:abc;127.0.0.1:5555",
  "tcp://eth0:65536;127.0.0.1:5555",
  "tcp://::1:0;[::2]:5555",
  "tcp://[::1;127.0.0.1:5555",
  "ipc://",
  "ipc://@",
  "inproc://",
  "tcp://127.0.0.1:80\0",
  "ipc:///tmp/a\0b",
  `inproc://${"é".repeat(128)}`,
])("%j is refused with EINVAL", (endpoint) => {
  expect(codeOf(endpoint, "bind")).toBe("EINVAL");
  expect(codeOf(endpoint, "connect")).toBe("EINVAL");
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
    fc.constantFrom(..."tcp ipc inproc :// : ; * [ ] @ / 0 65535 \0 ::1".split(" ")),
    fc.string({ unit: "binary", maxLength: 4 }),
  );
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join("")),
    fc.array(piece, { maxLength: 8 }).map((pieces) => `tcp://${pieces.join("")}`),
  );
  forAll([text, fc.constantFrom<Use>("bind", "connect")], { numRuns: 3_000 }, (endpoint, use) => {
    try {
      checkEndpoint(endpoint, use, TRANSPORTS);
    } catch (error) {
      expect(error).toBeInstanceOf(ShoalError);
      expect(["EINVAL", "EPROTONOSUPPORT"]).toContain((error as ShoalError).code);
      return;
    }
    // What connect may use has a port, and so has what bind may use.
    if (endpoint.startsWith("tcp://")) expect(endpoint).toMatch(use === "bind" ? /:(\d+|\*)$/ : /:\d+$/);
  });
});
