import { expect, test } from "vitest";
import { errorReceived } from "../../../../src/engine/zmtp/mechanism/mechanism.js";

const error = (reason: Buffer): Buffer => Buffer.concat([Buffer.from([reason.length]), reason]);

test.each(["300", "400", "500"])("ERROR %s is the peer's refusal, with its status", (status) => {
  expect(errorReceived("NULL", error(Buffer.from(status))).failed).toMatchObject({
    kind: "auth",
    code: "ERR_AUTHENTICATION",
    status: Number(status),
  });
});

test.each(["", "200", "40", "4000", " 400", "busy"])("ERROR %j is text, and no refusal", (text) => {
  const { failed } = errorReceived("NULL", error(Buffer.from(text)));
  expect(failed).toMatchObject({ kind: "other", code: "ERR_HANDSHAKE" });
  expect(failed?.message).toContain(`"${text}"`);
  expect(failed).not.toHaveProperty("status");
});

test("the peer's text is bounded and printable", () => {
  const bytes = Buffer.from(Array.from({ length: 255 }, (_, i) => (i * 7) % 256));
  const message = errorReceived("NULL", error(bytes)).failed?.message ?? "";
  expect(message).toMatch(/^[\x20-\x7e]+$/);
  expect(message.length).toBeLessThan(350);
});

const UNFILLED = ["", "01", "0334", "0334303030", "ff343030"];
test.each(UNFILLED)("a reason that does not fill ERROR (%s) is malformed", (hex) => {
  expect(errorReceived("NULL", Buffer.from(hex, "hex")).failed).toMatchObject({
    kind: "protocol",
    code: "ERR_ZMTP_MALFORMED_COMMAND_ERROR",
  });
});
