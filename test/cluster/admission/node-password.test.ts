/** Nodes with a password over the host's sockets: who is let in, what is reported, and what strangers can do. */
import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { ClusterNode, type ClusterNodeOptions, type RefusedReason } from "../../../src/cluster/index.js";
import { keyId } from "../../../src/cluster/wire/seal.js";
import { encodeFrame, encodeHello, encodeProof, helloSize } from "../../../src/cluster/wire/stream.js";
import { decodeZ85 } from "../../../src/core/z85.js";
import { thrown } from "../../contract/support/wait.js";
import { dropped, event, strangers, testNodes, together } from "../nodes.js";

const KEY = "01234567890123456789012345678901234567ab";
const [PASSWORD, OTHER] = ["correct horse battery", "battery staple"];
const { node, started } = testNodes(() => ({ multicast: false }));
const dialled = strangers();

/** The first refusal of this reason, from now on. */
const refusal = (of: ClusterNode, reason: RefusedReason) =>
  event(of, "refused", (refused) => refused.reason === reason);

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => void socket.on("close", () => resolve()));

describe("a password in place of a key", () => {
  it("is wrong, and one end reports that, the other that it is refused", async () => {
    const a = await started("a", { password: PASSWORD });
    const seeds = [a.address];
    const refused = refusal(a, "password");
    const b = node("b", { password: OTHER, seeds });
    const peer = refusal(b, "peer");
    await b.start();
    expect((await refused).address).toMatch(/^127\.0\.0\.1/);
    expect(await peer).toMatchObject({ type: "refused", address: a.address, reason: "peer" });
    expect([a, b].map((each) => each.members().length)).toEqual([1, 1]);
  });

  it("of another cluster, and no password at all, are distinguished by the one that refuses", async () => {
    const a = await started("a", { password: PASSWORD });
    const [namespace, unsealed] = [refusal(a, "cluster"), refusal(a, "unsealed")];
    await started("b", { password: PASSWORD, cluster: "other", seeds: [a.address] });
    await started("c", { seeds: [a.address] });
    await Promise.all([namespace, unsealed]);
    expect(a.members().length).toBe(1);
  });

  it("is changed in three steps without a member lost", async () => {
    const a = await started("a", { password: PASSWORD });
    const b = await started("b", { password: PASSWORD, seeds: [a.address] });
    await together(2, a, b);
    const steps = [[PASSWORD, OTHER], [OTHER, PASSWORD], [OTHER]];
    for (const step of steps) for (const each of [a, b]) each.setPasswords(...step);
    const c = await started("c", { password: OTHER, seeds: [a.address] });
    await together(3, a, b, c);
  });

  it("is refused where it is wrong as an option, and its text is never in the message", () => {
    const wrong: readonly ClusterNodeOptions[] = [
      { password: "short" },
      { password: PASSWORD, key: KEY },
      { password: [] },
      { password: [PASSWORD, OTHER, `${OTHER}2`] },
      { password: 123_456_789 as never },
    ];
    for (const options of wrong) {
      const { code, message } = thrown(() => new ClusterNode(options));
      expect(code).toBe("EINVAL");
      for (const secret of ["short", PASSWORD, OTHER, "123"]) expect(message).not.toContain(secret);
    }
    const a = node("a", { password: PASSWORD });
    expect(() => a.setKeys(KEY)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => a.setPasswords()).toThrow(expect.objectContaining({ code: "EINVAL" }));
    const keyed = node("keyed", { key: KEY });
    expect(() => keyed.setPasswords(PASSWORD)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

describe("strangers", () => {
  const hello = encodeHello(Buffer.alloc(32, 9), "127.0.0.1:9");

  it("get nothing but a hello before they proved themselves, and then one byte", async () => {
    const a = await started("a", { password: PASSWORD });
    const stranger = await dialled(a);
    const got: Buffer[] = [];
    stranger.on("data", (bytes: Buffer) => got.push(bytes));
    const refused = refusal(a, "replayed");
    stranger.write(hello);
    // A proof by the right key's id, which every packet shows: the rest is made up.
    const made = Buffer.alloc(51, 0x41);
    Buffer.from("8137a8eec1ce19", "hex").copy(made);
    made.writeUInt32BE(keyId(decodeZ85(a.parts.codec.keys[0] as string)), 7);
    made.fill(0, 27, 34); // Of the counter.
    stranger.write(encodeFrame(encodeProof([made])));
    await closed(stranger);
    await refused;
    const all = Buffer.concat(got);
    expect(all.subarray(helloSize(all)).toString("hex")).toBe("0000000140");
  });

  it("that reflect a node's own nonce, or claim 1 MiB, are cut off at once", async () => {
    const a = await started("a", { password: PASSWORD });
    const mirror = await dialled(a);
    mirror.on("data", (bytes: Buffer) => mirror.write(bytes));
    const large = await dialled(a);
    large.on("data", () => undefined);
    large.write(Buffer.concat([hello, Buffer.from([0, 0x10, 0, 0]), Buffer.alloc(1_048_576)]));
    await Promise.all([closed(mirror), closed(large)]);
    await dropped(a, "link:reflected");
    await dropped(a, "link:oversized");
  });
});
