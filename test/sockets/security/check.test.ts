import { describe, expect, test } from "vitest";
import { InvalidArgumentError } from "../../../src/core/errors.js";
import { checkSecurity } from "../../../src/sockets/security/check.js";

const KEY = "S3cretKey".repeat(4);

describe("security options that do not", () => {
  test.each([
    [{ curveServer: true }, /curveSecretKey/],
    [{ curveServer: true, curveSecretKey: null }, /curveSecretKey/],
    [{ curveServer: true, curveSecretKey: KEY, curveServerKey: KEY }, /exclude each other/],
    [{ curveServerKey: KEY }, /curvePublicKey and curveSecretKey/],
    [{ curveServerKey: KEY, curvePublicKey: KEY }, /curvePublicKey and curveSecretKey/],
    [{ curveServerKey: KEY, curveSecretKey: KEY }, /curvePublicKey and curveSecretKey/],
    [{ plainServer: true, plainUsername: "u" }, /exclude each other/],
    [{ plainPassword: KEY }, /plainUsername/],
  ])("are refused with what is missing, without the secret: %j", (options, message) => {
    expect(() => checkSecurity(options)).toThrow(InvalidArgumentError);
    expect(() => checkSecurity(options)).toThrow(message);
    expect(() => checkSecurity(options)).not.toThrow(/S3cret/);
  });
});
