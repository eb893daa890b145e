import { describe, expect, test } from "vitest";
import {
  ClosedError,
  HandshakeError,
  InvalidArgumentError,
  InvalidStateError,
  NotSupportedError,
  ProtocolError,
  TransportError,
} from "../../../src/core/errors.js";
import { eventError, toShoalError } from "../../../src/engine/libzmq/native.js";
import { nativeError } from "../../support/fake-native.js";

const ENDPOINT = "tcp://127.0.0.1:1";

describe("an error of the package", () => {
  test.each([
    ["EADDRINUSE", TransportError, "EADDRINUSE"],
    ["EADDRNOTAVAIL", TransportError, "EADDRNOTAVAIL"],
    ["EACCES", TransportError, "EACCES"],
    ["ENODEV", TransportError, "ENODEV"],
    ["ENOENT", TransportError, "ENOENT"],
    ["EMFILE", TransportError, "EMFILE"],
    ["EINVAL", InvalidArgumentError, "EINVAL"],
    ["EBADF", ClosedError, "EBADF"],
    ["ETERM", ClosedError, "ETERM"],
    ["EFSM", InvalidStateError, "EFSM"],
    ["NOT_SUPPORTED", NotSupportedError, "NOT_SUPPORTED"],
    ["ESOMETHING", TransportError, "ERR_TRANSPORT"],
    ["toString", TransportError, "ERR_TRANSPORT"],
  ] as const)("with the code %s keeps it where it is known, and its cause and endpoint", (code, type, expected) => {
    const cause = nativeError(code, "native words");
    const error = toShoalError(cause, "bind", ENDPOINT);
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({ code: expected, cause, endpoint: ENDPOINT, address: ENDPOINT });
    expect(error.message).toMatch(/^Cannot bind tcp:\/\/127\.0\.0\.1:1/);
  });

  const OTHERS = [undefined, null, "text", { code: 5 }, new Error("plain")];
  test.each(OTHERS)("that is %s is one all the same", (cause) => {
    const error = toShoalError(cause, "bind");
    expect([error.code, error.endpoint]).toEqual(["ERR_TRANSPORT", undefined]);
  });
});

describe("a failed handshake", () => {
  const event = (type: string, error?: Error) => ({ type, address: ENDPOINT, ...(error ? { error } : {}) });

  test("for its credentials is an authentication error with the handler's status", () => {
    const cause = Object.assign(nativeError("EACCES"), { status: 400 });
    const error = eventError(event("handshake:error:auth", cause));
    expect(error).toBeInstanceOf(HandshakeError);
    expect(error).toMatchObject({ code: "ERR_AUTHENTICATION", status: 400, cause, endpoint: ENDPOINT });
  });

  test("for a broken protocol keeps libzmq's code where it is known", () => {
    const known = eventError(event("handshake:error:protocol", nativeError("ERR_ZMTP_MECHANISM_MISMATCH")));
    expect(known).toBeInstanceOf(ProtocolError);
    expect(known.code).toBe("ERR_ZMTP_MECHANISM_MISMATCH");
    expect(eventError(event("handshake:error:protocol", nativeError("ERR_NEW"))).code).toBe("ERR_PROTOCOL");
    expect(eventError(event("handshake:error:protocol")).code).toBe("ERR_PROTOCOL");
  });

  test("for any other reason says which", () => {
    const error = eventError(event("handshake:error:other", nativeError("ECONNRESET", "connection reset")));
    expect(error).toBeInstanceOf(HandshakeError);
    expect(error).toMatchObject({ code: "ERR_HANDSHAKE", message: "Handshake failed: connection reset" });
    expect(eventError(event("handshake:error:other")).code).toBe("ERR_HANDSHAKE");
  });
});

test("a failed bind, accept or close is named by what was tried", () => {
  for (const doing of ["bind", "accept", "close"]) {
    const error = eventError({ type: `${doing}:error`, address: ENDPOINT, error: nativeError("EADDRINUSE") });
    expect(error.message).toBe(`Cannot ${doing} ${ENDPOINT}: the address is in use`);
  }
});
