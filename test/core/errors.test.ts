import { constants } from "node:os";
import { describe, expect, test } from "vitest";
import { QUERY_FAILURES, QueryError } from "../../src/cluster/messaging/query.js";
import {
  ClosedError,
  ERROR_CODES,
  HandshakeError,
  InvalidArgumentError,
  InvalidMessageError,
  InvalidStateError,
  NotSupportedError,
  ProtocolError,
  ShoalError,
  TimeoutError,
  TransportError,
  UnroutableError,
} from "../../src/core/errors.js";
import { FAILURES, ServiceError } from "../../src/kit/errors.js";
import { SESSION_FAILURES, SessionError } from "../../src/sessions/protocol.js";
import { StoreError } from "../../src/store/store.js";

const cause = new Error("underneath");
const details = { cause, endpoint: "tcp://127.0.0.1:1" };

const MADE: readonly (readonly [error: ShoalError, name: string, code: string])[] = [
  [new ShoalError("ERR_TRANSPORT", "m", details), "ShoalError", "ERR_TRANSPORT"],
  [new InvalidArgumentError("m", details), "InvalidArgumentError", "EINVAL"],
  [new InvalidStateError("EFSM", "m", details), "InvalidStateError", "EFSM"],
  [new ClosedError("EBADF", "m", details), "ClosedError", "EBADF"],
  [new TimeoutError("EAGAIN", "m", details), "TimeoutError", "EAGAIN"],
  [new UnroutableError("m", details), "UnroutableError", "EHOSTUNREACH"],
  [new TransportError("EADDRINUSE", "m", details), "TransportError", "EADDRINUSE"],
  [new NotSupportedError("m", "NOT_SUPPORTED", details), "NotSupportedError", "NOT_SUPPORTED"],
  [new InvalidMessageError("m", details), "InvalidMessageError", "ERR_INVALID_MESSAGE"],
  [new ProtocolError("m", "ERR_PROTOCOL", details), "ProtocolError", "ERR_PROTOCOL"],
  [new HandshakeError("ERR_HANDSHAKE", "m", details), "HandshakeError", "ERR_HANDSHAKE"],
];

test.each(MADE)("%s has its name, code, cause and address", (error, name, code) => {
  expect(error).toBeInstanceOf(ShoalError);
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name, code, message: "m", cause, endpoint: details.endpoint });
  expect(error.address).toBe(details.endpoint);
  expect(String(error)).toBe(`${name}: m`);
});

test("a wrong argument is a TypeError of the language and an error of shoal, and no other class is both", () => {
  for (const [error, name] of MADE) expect(error instanceof TypeError).toBe(name === "InvalidArgumentError");
  const error = new InvalidArgumentError("m");
  expect(error).not.toBeInstanceOf(InvalidStateError);
  expect(error).not.toBeInstanceOf(TransportError);
  expect(new TypeError("m")).not.toBeInstanceOf(ShoalError);
  expect(undefined).not.toBeInstanceOf(ShoalError);
  expect(new InvalidStateError("EFSM", "m")).not.toBeInstanceOf(InvalidArgumentError);
});

describe("errno", () => {
  const system = constants.errno as Partial<Record<string, number>>;
  const codes = Object.keys(ERROR_CODES) as (keyof typeof ERROR_CODES)[];

  test.each(codes.filter((code) => system[code] !== undefined))("of %s is the system's", (code) => {
    expect(new ShoalError(code, "m").errno).toBe(system[code]);
  });

  test.each([
    ["EFSM", 156384763],
    ["ENOCOMPATPROTO", 156384764],
    ["ETERM", 156384765],
    ["EMTHREAD", 156384766],
  ] as const)("of %s is libzmq's", (code, errno) => {
    expect(new ShoalError(code, "m").errno).toBe(errno);
  });

  const OTHERS = ["ABORT_ERR", "NOT_SUPPORTED", "ERR_PROTOCOL", "ERR_ZMTP_INVALID_METADATA"] as const;
  test.each(OTHERS)("of %s is none", (code) => {
    expect(new ShoalError(code, "m").errno).toBeUndefined();
  });
});

describe("retryable", () => {
  test("is true after a time-out, on a full queue and without a peer, and false of what time does not mend", () => {
    const is = (code: keyof typeof ERROR_CODES): boolean => new ShoalError(code, "m").retryable;
    const mends = ["ETIMEDOUT", "EAGAIN", "ERR_TOO_MANY_PENDING", "EHOSTUNREACH", "ECONNREFUSED"] as const;
    const stays = ["EBADF", "NOT_SUPPORTED", "ABORT_ERR", "ERR_PROTOCOL", "ERR_AUTHENTICATION"] as const;
    expect([...mends, ...stays].filter(is)).toEqual(mends);
  });

  test("of a wrong argument and of a closed socket is false, whatever the code", () => {
    expect(new InvalidArgumentError("m").retryable).toBe(false);
    expect(new ClosedError("EAGAIN", "m").retryable).toBe(false);
    expect(new TimeoutError("EAGAIN", "m").retryable).toBe(true);
  });

  test("depends on the reason of a service, a session and a store", () => {
    expect(new ServiceError("overloaded", "s").retryable).toBe(true);
    expect(new ServiceError("invalid-request", "s").retryable).toBe(false);
    expect(new QueryError("unread", "s").retryable).toBe(true);
    expect(new QueryError("no-handler", "s").retryable).toBe(false);
    expect(new SessionError("unavailable").retryable).toBe(true);
    expect(new SessionError("gone").retryable).toBe(false);
    expect(new StoreError("overloaded", "m").retryable).toBe(true);
    expect(new StoreError("outcome-unknown", "m").retryable).toBe(false);
    expect(new StoreError("damaged", "m").retryable).toBe(false);
    expect(new ShoalError("ERR_SERVICE", "m").retryable).toBe(false);
  });

  test("names reasons that exist", () => {
    const { ERR_SERVICE, ERR_SESSION } = ERROR_CODES;
    expect(Object.keys({ ...FAILURES, ...QUERY_FAILURES })).toEqual(
      expect.arrayContaining([...ERR_SERVICE.retryable]),
    );
    expect(Object.keys(SESSION_FAILURES)).toEqual(expect.arrayContaining([...ERR_SESSION.retryable]));
  });
});
