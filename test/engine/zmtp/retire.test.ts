/** A socket that takes in no further peers, and hears those it has to their end. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Context, Pull, Push, Request, Router } from "../../../src/index.js";
import { CORE, type Socket } from "../../../src/sockets/socket.js";
import { collect, failure, texts, until, within } from "../../contract/support/wait.js";
import { frame, greeting, RawPeer, ready } from "../../contract/support/zmtp-peer.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { sharedFolder } from "../../support/folders.js";

const retire = (socket: Socket, halfClose: boolean): void => socket[CORE].engine.retire?.(halfClose);

const context = new Context({ engine: "zmtp" });
const folder = sharedFolder();
const open = closeAfterEach();

describe("retire", () => {
  it.each([
    "tcp://127.0.0.1:*",
    `ipc://${join(folder, "a")}`,
    "inproc://retire",
  ])("with hanging up gets what peers over %s had sent, though it reads late", async (endpoint) => {
    const pull = open(new Pull({ context, receiveHighWaterMark: 10 }));
    await pull.bind(endpoint);
    const bound = pull.lastEndpoint as string;
    const push = open(new Push({ context }));
    push.connect(bound);
    const body = "x".repeat(3_000);
    for (let i = 0; i < 40; i++) await push.send([`${i}`, body]);
    // All of it is with the kernel, or here: what is over the mark waits in between.
    await until(() => push.stats().queued === 0, "its leaving");
    const left = new Promise((resolve) => push.events.once("disconnect", resolve));
    retire(pull, true);
    await within(left, "the peer's hearing of it");
    const got = await collect(pull, 40);
    expect(got.map((message) => message.split("|")[0])).toEqual(Array.from({ length: 40 }, (_, i) => `${i}`));
    await until(() => pull.stats().peers === 0, "no peers");
    const next = open(new Pull({ context }));
    await next.bind(bound);
    await push.send("for the next");
    expect(texts(await next.receive({ timeout: 8_000 }))).toEqual(["for the next"]);
  });

  it("within the event of a peer's joining gets what that peer had sent, and the connection ends", async () => {
    const pull = open(new Pull({ context }));
    const endpoint = await pull.bind("tcp://127.0.0.1:*");
    const push = open(new Push({ context }));
    pull.events.once("peer:join", () => retire(pull, true));
    const left = new Promise((resolve) => push.events.once("disconnect", resolve));
    push.connect(endpoint);
    await push.send("one");
    await within(left, "the peer's hearing of it");
    expect(await collect(pull, 1)).toEqual(["one"]);
    await until(() => pull.stats().peers === 0, "no peers");
  });

  it("in the middle of a handshake gets what that peer sends after it, and the connection ends", async () => {
    const pull = open(new Pull({ context }));
    const peer = await RawPeer.connect(await pull.bind("tcp://127.0.0.1:*"));
    peer.write(greeting());
    await peer.heard(64);
    retire(pull, true);
    peer.write(ready("PUSH"), frame("one"));
    expect(await collect(pull, 1)).toEqual(["one"]);
    await within(peer.closed, "the peer's hearing of it");
  });

  it("ends connections of its own making, too, and makes none again", async () => {
    const push = open(new Push({ context }));
    await push.bind("tcp://127.0.0.1:*");
    const pull = open(new Pull({ context, receiveHighWaterMark: 10, reconnectInterval: 1 }));
    pull.connect(push.lastEndpoint as string);
    for (let i = 0; i < 40; i++) await push.send(`${i}`);
    await until(() => push.stats().queued === 0, "its leaving");
    const left = new Promise((resolve) => push.events.once("disconnect", resolve));
    retire(pull, true);
    await within(left, "the peer's hearing of it");
    expect(await collect(pull, 40)).toHaveLength(40);
    await until(() => pull.stats().peers === 0, "no peers");
    const other = open(new Pull({ context }));
    other.connect(push.lastEndpoint as string);
    await push.send("for another");
    expect(await collect(other, 1)).toEqual(["for another"]);
    expect(pull.stats().reconnects).toBe(0);
  });

  it("without hanging up keeps its peers, and gives its endpoint free", async () => {
    const router = open(new Router({ context }));
    await router.bind("tcp://127.0.0.1:*");
    const bound = router.lastEndpoint as string;
    const client = open(new Request({ context }));
    client.connect(bound);
    const asked = client.request("?", { timeout: 8_000 });
    const request = await router.receive({ timeout: 8_000 });
    retire(router, false);
    expect((await failure(router.bind("tcp://127.0.0.1:*"))).code).toBe("EADDRNOTAVAIL");
    const next = open(new Router({ context }));
    await until(() => {
      try {
        next.bindSync(bound);
        return true;
      } catch {
        return false;
      }
    }, "the endpoint");
    await router.send(request);
    expect(texts(await asked)).toEqual(["?"]);
  });
});
