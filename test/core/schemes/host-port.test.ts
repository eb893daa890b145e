import { expect, test } from "vitest";
import { formatHostPort, parseHostPort } from "../../../src/core/schemes/host-port.js";

test.each([
  ["tcp://127.0.0.1:5555", "127.0.0.1", 5555, undefined],
  ["tcp://*:*", "*", 0, undefined],
  ["tcp://*:0", "*", 0, undefined],
  ["tcp://localhost:1", "localhost", 1, undefined],
  ["tcp://example.org:65535", "example.org", 65535, undefined],
  ["tcp://[::1]:5555", "::1", 5555, undefined],
  ["tcp://[::]:*", "::", 0, undefined],
  ["tcp://[fe80::1%eth0]:5555", "fe80::1%eth0", 5555, undefined],
  ["tcp://eth0:5555", "eth0", 5555, undefined],
  ["tcp://10.0.0.1:0;host:5555", "host", 5555, { host: "10.0.0.1", port: 0 }],
  ["tcp://10.0.0.1:4000;host:5555", "host", 5555, { host: "10.0.0.1", port: 4000 }],
  ["tcp://10.0.0.1;host:5555", "host", 5555, { host: "10.0.0.1", port: 0 }],
  ["tcp://*:*;host:5555", "host", 5555, { host: "*", port: 0 }],
  ["tcp://[::1]:0;[::2]:5555", "::2", 5555, { host: "::1", port: 0 }],
  ["tcp://[::1];[::2]:5555", "::2", 5555, { host: "::1", port: 0 }],
])("%s", (endpoint, host, port, source) => {
  expect(parseHostPort(endpoint)).toEqual({ host, port, source });
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
