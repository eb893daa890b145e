/** Nobody finds keys and passwords in a log, however they look at a socket. */
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { Context, curveKeyPair, Push } from "../../src/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { ENGINES } from "../support/engines.js";

const own = closeAfterEach();

const WAYS = [
  {},
  { depth: Number.POSITIVE_INFINITY },
  { depth: Number.POSITIVE_INFINITY, showHidden: true, getters: false },
  { depth: Number.POSITIVE_INFINITY, customInspect: false },
];

describe.each(ENGINES)("engine %s", (engine) => {
  it("shows no secrets of a socket, its context, its events or an error", async () => {
    const keys = curveKeyPair();
    const context = new Context({ engine });
    class Named extends Push {
      label = "mine";
    }
    const push = own(
      new Named({
        context,
        curveSecretKey: keys.secretKey,
        curvePublicKey: keys.publicKey,
        curveServerKey: keys.publicKey,
      }),
    );
    const plain = own(new Push({ context, plainUsername: "skipper", plainPassword: "ahoy-and-goodbye" }));
    plain.plainPassword = "another-password";
    push.connect("tcp://127.0.0.1:1");
    plain.connect("tcp://127.0.0.1:1");
    let error: unknown;
    try {
      (push as { curveSecretKey: unknown }).curveSecretKey = `${keys.secretKey}!`;
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: "EINVAL" });
    for (const options of WAYS) {
      for (const value of [push, plain, context, push.events, plain.events, error, { push, plain }]) {
        const text = inspect(value, options);
        for (const secret of [keys.secretKey, "ahoy-and-goodbye", "another-password"])
          expect(text, JSON.stringify(options)).not.toContain(secret);
      }
    }
    expect(JSON.stringify([push, plain, context])).not.toContain("password");
    const text = inspect(push);
    expect(text).toMatch(/^Named \{/);
    expect(text).toContain("tcp://127.0.0.1:1");
    expect(text).toContain("label: 'mine'");
    expect(text).toContain("curveSecretKey: '[redacted]'");
    expect(text).toContain(keys.publicKey);
    // The socket itself still has them.
    expect([push.curveSecretKey, plain.plainPassword]).toEqual([keys.secretKey, "another-password"]);
  });
});
