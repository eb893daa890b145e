/**
 * What once went wrong in libzmq, tried here. Each test says what the fault was;
 * most of them were faults of memory, which this language does not have, so what is
 * tested is the rule that was missing.
 */
import { expect, it } from "vitest";
import { CURVE_SERVER, curveClient, plain } from "../../contract/support/keys.js";
import { collect, nextEvent, until, within } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { frame, greeting } from "../../contract/support/zmtp-peer.js";
import { collectGarbage } from "../../support/collect-garbage.js";
import { shaken } from "./support/raw-server.js";

const world = new World("zmtp", "tcp");
const MIB = 1_048_576;

// A frame of 2^64-1 bytes made libzmq's pointer arithmetic wrap: it took the frame to fit into its receive
// buffer, and wrote what came over whatever lay behind it.
const WRAPPING = ["02ffffffffffffffff", "02fffffffffffffff0", "027fffffffffffffff", "06ffffffffffffffff"];
it.each(
  WRAPPING,
)("CVE-2019-6250: a length that wraps (%s) is refused, and what follows it is not read", async (header) => {
  const pull = world.pull({ maxMessageSize: -1 });
  const peer = await shaken(world, pull, "PUSH");
  const left = nextEvent(pull, "disconnect");
  peer.write(Buffer.from(header, "hex"), Buffer.alloc(65_536, frame("overwritten")));
  expect((await left).reason).toBe("protocol");
  expect(pull.stats()).toMatchObject({ received: 0, receiveQueued: 0, peers: 0 });
});

// A raw TCP connection to an endpoint with CURVE or a ZAP handler, which never shook hands, took a place among
// the peers: other clients' handshakes went through, and the server's program got none of their messages.
it.each([
  "CURVE",
  "PLAIN",
  "NULL with a hook",
])("CVE-2020-15166: connections without a handshake (%s) keep no message from anybody", async (how) => {
  const authenticate = () => true;
  const [server, client] = {
    CURVE: [{ ...CURVE_SERVER, authenticate }, curveClient()],
    PLAIN: [{ plainServer: true, authenticate }, plain("u", "p")],
    "NULL with a hook": [{ authenticate }, {}],
  }[how] as [object, object];
  const router = world.router(server);
  const endpoint = await world.bind(router);
  for (const bytes of [[], [Buffer.from("\n")], [Buffer.alloc(5, 0xff)], [greeting()], [greeting("CURVE")]]) {
    const peer = await world.raw(endpoint);
    if (bytes[0] !== undefined) peer.write(bytes[0]);
  }
  for (let i = 0; i < 3; i++) {
    const dealer = world.connect(world.dealer(client), endpoint);
    await dealer.send(`question ${i}`);
    const [id, question] = await router.receive({ timeout: 8_000 });
    expect(String(question)).toBe(`question ${i}`);
    await router.send([id as Buffer, "answer"]);
    expect(await collect(dealer, 1)).toEqual(["answer"]);
  }
  expect(router.stats().peers).toBe(3);
});

// The decoder of ZMTP 1 frames let a peer change the size that a static buffer was thought to have: bytes of an
// unauthenticated peer went over the heap.
it("CVE-2021-20235: a peer of ZMTP 1 or 2 is refused before any of its frames is read", async () => {
  const pull = world.pull();
  const endpoint = await world.bind(pull);
  const older = [
    Buffer.concat([Buffer.from("0100", "hex"), Buffer.alloc(9_000, 0x7f)]),
    Buffer.concat([Buffer.from("ff00000000000020007f", "hex"), Buffer.alloc(70_000, 1)]),
    Buffer.concat([Buffer.from("ff00000000000020007e", "hex"), Buffer.alloc(70_000, 1)]),
    Buffer.from("ff00000000000000047f03050003414243", "hex").fill(1, 10, 11),
  ];
  for (const bytes of older) {
    const peer = await world.raw(endpoint);
    const failed = nextEvent(pull, "handshake:error:protocol");
    peer.write(bytes);
    const { error } = await failed;
    expect(error.message).toMatch(/does not speak ZMTP 3|older than version 3/);
    await within(peer.closed, "the connection's end");
  }
  expect(pull.stats()).toMatchObject({ peers: 0, received: 0, receiveQueued: 0 });
});

// A PUB kept what it noted of messages that are no subscriptions, which only an XPUB hands to its program: a
// client that sent such messages made the publisher's memory grow without end.
it("CVE-2021-20237: messages to a PUB that are no subscriptions leave nothing behind", async () => {
  const publisher = world.publisher();
  const peer = await shaken(world, publisher, "SUB");
  const three = Buffer.concat([frame("not a subscription"), frame("\u0007neither"), frame("")]);
  const whole = Buffer.concat(Array.from({ length: 2_000 }, () => three));
  await peer.flood(whole, 20);
  collectGarbage();
  const before = process.memoryUsage();
  await peer.flood(whole, 100); // 600,000 messages.
  peer.write(Buffer.from("000161", "hex"), frame("\u0001last"));
  await until(() => {
    void publisher.send("last one");
    return peer.socket.bytesRead > 150;
  }, "the last subscription");
  collectGarbage();
  const after = process.memoryUsage();
  expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(4 * MIB);
  expect(publisher.stats().receiveQueued).toBe(0);
});
