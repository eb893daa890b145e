import { expect, test } from "vitest";
import { Context, Pull, Push } from "../../../src/index.js";
import { CURVE_SERVER, curveClient } from "../../contract/support/keys.js";
import { closeAfterEach } from "../../support/close-after-each.js";

const opened = closeAfterEach();

test("a CURVE server without a hook lets its clients in, though another socket of the context has one", async () => {
  const context = new Context({ engine: "libzmq" });
  opened(new Pull({ context, plainServer: true, authenticate: () => false }));
  const pull = opened(new Pull({ context, ...CURVE_SERVER }));
  await pull.bind("tcp://127.0.0.1:*");
  const push = opened(new Push({ context, ...curveClient() }));
  push.connect(pull.lastEndpoint as string);
  await push.send("hello");
  expect(String(await pull.receive({ timeout: 5_000 }))).toBe("hello");
});

test("a PLAIN server without a hook still lets nobody in", async () => {
  const context = new Context({ engine: "libzmq" });
  opened(new Pull({ context, plainServer: true, authenticate: () => true }));
  const pull = opened(new Pull({ context, plainServer: true }));
  await pull.bind("tcp://127.0.0.1:*");
  const push = opened(new Push({ context, plainUsername: "ann", plainPassword: "any" }));
  push.connect(pull.lastEndpoint as string);
  await expect(push.ready({ timeout: 5_000 })).rejects.toMatchObject({ code: "ERR_AUTHENTICATION" });
});
