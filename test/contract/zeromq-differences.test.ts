/** What shoal does otherwise than the package `zeromq`, on purpose; docs/engines.md has the reasons. */
import { describe, expect, it } from "vitest";
import * as shoal from "../../src/index.js";
import { failure, thrown } from "./support/wait.js";
import { own, usePrograms } from "./support/zeromq-programs.js";

usePrograms();

describe("where shoal differs from zeromq on purpose", () => {
  it("checks options strictly: no undefined, no bytes for text, no CURVE server without a key", async () => {
    const dealer = own(new shoal.Dealer());
    expect(thrown(() => Object.assign(dealer, { sendTimeout: undefined })).code).toBe("EINVAL");
    expect(thrown(() => Object.assign(dealer, { socksProxy: Buffer.from("x") })).code).toBe("EINVAL");
    dealer.curveServer = true;
    expect((await failure(dealer.bind("tcp://127.0.0.1:*"))).code).toBe("EINVAL");
  });

  it("does what the package means to do: unbindSync unbinds, CURVE keys can be read, a DataView is bytes", async () => {
    const [a, b] = [own(new shoal.Pair()), own(new shoal.Pair())];
    a.bindSync("tcp://127.0.0.1:*");
    const endpoint = a.lastEndpoint as string;
    a.unbindSync(endpoint);
    await b.bind(endpoint);
    expect(thrown(() => a.unbindSync(endpoint)).code).toBe("ENOENT");
    const key = shoal.curveKeyPair().publicKey;
    const client = own(new shoal.Dealer({ curveServerKey: key }));
    expect(client.curveServerKey).toBe(key);
    client.curveServerKey = Buffer.alloc(32);
    expect(client.curveServerKey).toBe("0".repeat(40));
    a.connect(endpoint);
    await a.send(new DataView(new Uint8Array([1, 2, 3]).buffer, 1, 2));
    expect(await b.receive()).toEqual([Buffer.from([2, 3])]);
  });

  it("has the draft sockets in shoal/draft, on the engine zmtp", () => {
    for (const engine of ["zmtp", "libzmq"]) {
      const { features } = new shoal.Context({ engine }).load();
      expect(features).toMatchObject({ draft: engine === "zmtp", curve: true });
    }
  });

  it("takes conflate of a publisher at construction only, on the engine libzmq", () => {
    const context = new shoal.Context({ engine: "libzmq" });
    const publisher = own(new shoal.Publisher({ context }));
    expect(
      thrown(() => {
        publisher.conflate = true;
      }).code,
    ).toBe("NOT_SUPPORTED");
    expect(own(new shoal.Publisher({ conflate: true })).conflate).toBe(true);
  });
});
