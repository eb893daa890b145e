import { afterEach, expect, test } from "vitest";
import { Context, curveKeyPair, Pull, Push, type Socket } from "../../../src/index.js";

const open: Socket[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((socket) => socket.close({ linger: 0 })));
});
function opened<S extends Socket>(socket: S): S {
  open.push(socket);
  return socket;
}

test("a CURVE server without a hook lets its clients in, though another socket of the context has one", async () => {
  const context = new Context({ engine: "libzmq" });
  opened(new Pull({ context, plainServer: true, authenticate: () => false }));
  const keys = curveKeyPair();
  const own = curveKeyPair();
  const pull = opened(
    new Pull({ context, curveServer: true, curvePublicKey: keys.publicKey, curveSecretKey: keys.secretKey }),
  );
  await pull.bind("tcp://127.0.0.1:*");
  const push = opened(
    new Push({
      context,
      curveServerKey: keys.publicKey,
      curvePublicKey: own.publicKey,
      curveSecretKey: own.secretKey,
    }),
  );
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
