import { expect, it } from "vitest";
import type { PeerCredentials } from "../../src/index.js";
import { describeWired, itIf } from "./support/engines.js";
import { CURVE_SERVER, client, curveClient, server, stranger } from "./support/keys.js";
import { arrives, failure, nextEvent } from "./support/wait.js";

describeWired("CURVE", (world) => {
  const itAsks = itIf(world.engine, world.engine !== "libzmq", "has no authenticate");

  it("carries messages both ways between peers with the right keys, as Z85 or bytes", async () => {
    const [router, dealer] = await world.linked(world.router(CURVE_SERVER), world.dealer(curveClient()));
    for (const size of [0, 1, 100, 70_000]) {
      await dealer.send([Buffer.alloc(size, "x"), ""]);
      const [id, body, empty] = await router.receive({ timeout: 8_000 });
      expect([body?.length, empty?.length]).toEqual([size, 0]);
      await router.send([id as Buffer, body as Buffer]);
      expect((await dealer.receive({ timeout: 8_000 }))[0]?.length).toBe(size);
    }
    expect([router.securityMechanism, dealer.securityMechanism]).toEqual(["curve", "curve"]);
  });

  itAsks(
    "a hook sees the peer's public key; one that it refuses, later, is kept out, with typed errors on both sides",
    async () => {
      const seen: PeerCredentials[] = [];
      const authenticate = async (peer: PeerCredentials): Promise<boolean> => {
        seen.push(peer);
        await new Promise((resolve) => setTimeout(resolve, 30));
        return peer.publicKey === client.publicKey;
      };
      const pull = world.pull({ ...CURVE_SERVER, authenticate });
      const friend = world.push(curveClient());
      const foe = world.push(curveClient(stranger));
      const endpoint = await world.link(pull, friend);
      await arrives("friend 1", friend, pull);
      expect(seen[0]).toMatchObject({ mechanism: "CURVE", publicKey: client.publicKey });
      const refused = nextEvent(pull, "peer:refused");
      const told = nextEvent(foe, "handshake:error:auth");
      const ready = failure(foe.ready({ timeout: 8_000 }));
      foe.connect(endpoint);
      foe.trySend("foe");
      expect(await refused).toMatchObject({
        mechanism: "CURVE",
        error: { name: "HandshakeError", code: "ERR_AUTHENTICATION" },
      });
      expect((await told).error).toMatchObject({ code: "ERR_AUTHENTICATION", status: 400 });
      expect((await ready).code).toBe("ERR_AUTHENTICATION");
      await arrives("friend 2", friend, pull);
      expect(foe.stats().peers).toBe(0);
      expect(pull.stats().peers).toBe(1);
    },
  );

  it("a client that expects another server gets no connection; the server reports why", async () => {
    const pull = world.pull(CURVE_SERVER);
    const endpoint = await world.bind(pull);
    const wrong = world.push(curveClient(client, stranger.publicKey));
    const failed = nextEvent(pull, "handshake:error:protocol");
    const hungUp = world.engine === "zmtp" ? nextEvent(wrong, "handshake:error:other") : undefined;
    wrong.connect(endpoint);
    const { error } = await failed;
    expect(error.code).toMatch(/^ERR_(ZMTP_|PROTOCOL)/);
    const left = hungUp && (await hungUp).error;
    const ready = await failure(wrong.ready({ timeout: 50 }));
    expect(ready.code).toMatch(/^(ETIMEDOUT|ERR_)/);
    if (left !== undefined) {
      // Each end names the public key that it goes by.
      const why = "wrong server key? The";
      expect(error.message).toContain(`${why} public key of this server is ${server.publicKey}`);
      for (const { message } of [left, ready])
        expect(message).toContain(`${why} curveServerKey of this client is ${stranger.publicKey}`);
    }
    const right = world.connect(world.push(curveClient()), endpoint);
    await arrives("right", right, pull);
  });
});
