import { expect, it } from "vitest";
import { describeWired, itIf } from "./support/engines.js";
import { plain } from "./support/keys.js";
import { arrives, failure, nextEvent } from "./support/wait.js";

describeWired("PLAIN", (world) => {
  const itAsks = itIf(world.engine, world.engine !== "libzmq", "has no authenticate");

  itAsks("authenticate gets user name and password, and decides for each peer", async () => {
    const seen: unknown[] = [];
    const pull = world.pull({
      plainServer: true,
      authenticate: async ({ mechanism, username, password }) => {
        seen.push([mechanism, username, password]);
        return username === "admin" && password === "sécret";
      },
    });
    const good = world.push(plain("admin", "sécret"));
    const bad = world.push(plain("admin", "wrong"));
    const endpoint = await world.link(pull, good);
    await good.ready({ timeout: 8_000 });
    await arrives("good", good, pull);
    const refused = nextEvent(pull, "peer:refused");
    const ready = failure(bad.ready({ timeout: 8_000, peers: 1 }));
    bad.connect(endpoint);
    expect((await refused).mechanism).toBe("PLAIN");
    expect((await ready).code).toBe("ERR_AUTHENTICATION");
    expect(seen).toContainEqual(["PLAIN", "admin", "sécret"]);
    expect(seen).toContainEqual(["PLAIN", "admin", "wrong"]);
    await arrives("still good", good, pull);
  });

  it("a server without a hook, and without a ZAP handler, refuses everybody", async () => {
    const [pull, push] = [world.pull({ plainServer: true }), world.push(plain("admin", "guess"))];
    const endpoint = await world.bind(pull);
    // libzmq hangs up without a word, which its monitor reports at most times, but not always.
    const reports =
      world.engine === "zmtp"
        ? [nextEvent(pull, "peer:refused"), nextEvent(push, "handshake:error:auth")]
        : [];
    push.connect(endpoint);
    await push.send("let me in");
    await Promise.all(reports);
    expect((await failure(pull.receive({ timeout: 250 }))).code).toBe("EAGAIN");
    expect([pull.stats().peers, push.stats().peers]).toEqual([0, 0]);
  });

  itAsks("a refused peer is let in when it comes again with what is right", async () => {
    let open = false;
    const pull = world.pull({ plainServer: true, authenticate: () => open });
    const endpoint = await world.bind(pull);
    const push = world.connect(world.push(plain("u", "p")), endpoint);
    await nextEvent(pull, "peer:refused");
    open = true;
    push.disconnect(endpoint);
    push.connect(endpoint);
    await arrives("now", push, pull);
  });
});
