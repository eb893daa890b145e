/** What the other end of a link, or a tunnel between, can do to it. What came is right and in order, the rest is an error, and memory is freed. */
import { duplexPair } from "node:stream";
import { expect, it } from "vitest";
import { encodeControl, encodeOpen, FrameType, LinkCode } from "../../src/link/frames.js";
import { openLink } from "../../src/link/index.js";
import { Handshake, type LinkRole } from "../../src/link/security.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { collectGarbage } from "../support/collect-garbage.js";
import { frameReader } from "./support.js";

const closing = closeAfterEach();

/** The hello of an end without a password. */
function hello(role: LinkRole): Buffer {
  return new Handshake({ window: 65_536, maxChannels: 10, encrypt: false, keys: [], role }).hello;
}

it.each([
  ["by a reset", [encodeControl(FrameType.RESET, 0, 1, Buffer.from([LinkCode.REFUSED]))]],
  ["by a broken frame", [encodeControl(FrameType.ACCEPT, 0, 1, Buffer.alloc(0))]],
])("a channel that is accepted and ended in one go %s is given to its opener with its error, before which no uncaught one comes", async (_, frames) => {
  const [here, there] = duplexPair();
  there.write(hello("responder"));
  const accepted = Buffer.concat([encodeControl(FrameType.ACCEPT, 0, 1, Buffer.alloc(0)), ...frames]);
  const reader = frameReader(
    () => undefined,
    (type) => type === FrameType.OPEN && there.write(accepted),
  );
  let skipped = 56;
  there.on("data", (chunk: Buffer) => {
    const skips = Math.min(skipped, chunk.length);
    skipped -= skips;
    reader.read(chunk.subarray(skips));
  });
  const link = closing(await openLink(here, { role: "initiator" }));
  const channel = await link.open("x");
  // What keeps the error from being an uncaught one is gone a turn later: from then on it is the program's.
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  expect(channel.listenerCount("error")).toBe(0);
  await expect(
    (async () => {
      for await (const _ of channel);
    })(),
  ).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_(?:TRANSPORT|PROTOCOL)$/) });
});

it("a stream that is cut after any byte fails the handshake, or the link and its channel, which got a part of what came before, and leaves no memory", {
  timeout: 30_000,
}, async () => {
  const bytes = Buffer.from("what came before the cut");
  const data = encodeControl(FrameType.DATA, 0, 1, bytes);
  const opening = encodeControl(FrameType.OPEN, 0, 1, encodeOpen({ kind: 0, name: "x" }));
  const all = Buffer.concat([hello("initiator"), opening, data, data]);
  const gone: WeakRef<object>[] = [];
  const begin = all.length - 2 * (8 + bytes.length);
  const expected = Buffer.concat([bytes, bytes]).toString();
  for (let length = 0; length < all.length; length++) {
    const [here, there] = duplexPair();
    let came = "";
    let failure: Promise<{ code?: string }> | undefined;
    const making = openLink(here, {
      role: "responder",
      onChannel: (channel) => {
        gone.push(new WeakRef(channel));
        channel.on("data", (piece: Buffer) => (came += piece));
        failure = new Promise((resolve) => channel.on("error", resolve));
      },
    });
    there.resume();
    there.end(all.subarray(0, length));
    if (length < 56) {
      await expect(making).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
      continue;
    }
    const link = await making;
    gone.push(new WeakRef(link));
    const ended = await new Promise((resolve) => link.events.once("link:ended", resolve));
    expect(ended).toMatchObject({ error: { code: "ERR_TRANSPORT" } });
    if (length >= begin) expect(await failure).toMatchObject({ code: "ERR_TRANSPORT" });
    expect(expected.startsWith(came)).toBe(true);
    expect(link.stats()).toMatchObject({ channels: 0, windowBytes: 0 });
  }
  // What is freed in a turn of its own, such as a handle.
  for (let i = 0; i < 10; i++) {
    await new Promise(setImmediate);
    collectGarbage();
  }
  // The last one may be what the runtime still has at hand.
  expect(gone.length).toBeGreaterThan(50);
  expect(gone.filter((each) => each.deref() !== undefined).length).toBeLessThanOrEqual(2);
});
