/** A message past the receiver's limits ends its connection; the receiver counts and reports it. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  Context,
  Dealer,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Subscriber,
} from "../../../src/index.js";
import { CURVE_SERVER, curveClient } from "../../contract/support/keys.js";
import { nextEvent } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";

const own = closeAfterEach();

afterEach(() => void vi.restoreAllMocks());

const LIMIT = "a message of more than 1000 bytes (maxMessageSize)";

it.each<[string, string, object, object]>([
  ["tcp", "tcp://127.0.0.1:*", {}, {}],
  ["tcp with CURVE", "tcp://127.0.0.1:*", CURVE_SERVER, curveClient()],
  ["ipc", `ipc://${join(tmpdir(), `shoal-too-large-${process.pid}`)}`, {}, {}],
  ["ws", "ws://127.0.0.1:*", {}, {}],
  ["inproc", "inproc://too-large", {}, {}],
])("a message past maxMessageSize, %s: the receiver counts and reports it, warns once, and the next connection carries on", async (_, endpoint, bound, dials) => {
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  const context = new Context({ engine: "zmtp" });
  const pull = own(new Pull({ context, maxMessageSize: 1_000, ...bound }));
  const push = own(new Push({ context, ...dials }));
  push.connect(await pull.bind(endpoint));
  await push.ready();
  const fits = Array.from({ length: 5 }, () => Buffer.alloc(200));
  for (const message of [Buffer.alloc(1_001), [...fits, "x"], Buffer.alloc(500_000)]) {
    const events = [nextEvent(push, "disconnect"), nextEvent(pull, "invalid")] as const;
    await push.send(message);
    const [, invalid] = await Promise.all(events);
    expect(invalid.reason).toBe("tooLarge");
    expect(invalid.error.message).toContain(LIMIT);
    await push.ready();
  }
  expect(pull.stats().invalid).toMatchObject({ tooLarge: 3, frames: 0 });
  expect(warn.mock.calls.filter(([text]) => String(text).includes(LIMIT))).toHaveLength(1);
  for (const message of [Buffer.alloc(1_000), fits]) {
    await push.send(message);
    expect(Buffer.concat(await pull.receive())).toHaveLength(1_000);
  }
});

it.each<[string, object, object]>([
  ["plain", {}, {}],
  ["with CURVE", CURVE_SERVER, curveClient()],
])("a heartbeat or a subscription is no message, and may be longer, %s", async (_, bound, dials) => {
  const context = new Context({ engine: "zmtp" });
  const publisher = own(new Publisher({ context, maxMessageSize: 4, heartbeatInterval: 0, ...bound }));
  const subscriber = own(new Subscriber({ context, heartbeatInterval: 10, ...dials }));
  subscriber.subscribe("t".repeat(1_000));
  subscriber.connect(await publisher.bind("tcp://127.0.0.1:*"));
  await publisher.waitForSubscribers({ timeout: 5_000 });
  await new Promise((resolve) => setTimeout(resolve, 50)); // Some PINGs; a lost one has no event.
  expect(publisher.stats()).toMatchObject({ peers: 1, invalid: { tooLarge: 0 } });
  expect(subscriber.stats().reconnects).toBe(0);
});

describe("more frames than any peer takes", () => {
  const frames = (count: number): string[] => Array.from({ length: count }, () => "");

  it("are refused by send, and the socket goes on", async () => {
    const context = new Context({ engine: "zmtp" });
    const [push, pull] = [own(new Push({ context })), own(new Pull({ context }))];
    push.connect(await pull.bind("tcp://127.0.0.1:*"));
    await expect(push.send(frames(65_537))).rejects.toMatchObject({ code: "EINVAL" });
    await push.send(frames(65_536));
    expect(await pull.receive()).toHaveLength(65_536);
  });

  it("of a request count those that REQ puts in front", async () => {
    const context = new Context({ engine: "zmtp" });
    const request = own(new Request({ context, correlate: true }));
    const router = own(new Router({ context }));
    request.connect(await router.bind("tcp://127.0.0.1:*"));
    await expect(request.send(frames(65_535))).rejects.toMatchObject({ code: "EINVAL" });
    await request.send(frames(65_534));
    expect(await router.receive()).toHaveLength(1 + 65_536);
  });

  it("are as many as came: what a Router or a Reply has received it can send back", async () => {
    const context = new Context({ engine: "zmtp", maxMessageSize: 1_000 });
    const [dealer, router] = [own(new Dealer({ context })), own(new Router({ context }))];
    dealer.connect(await router.bind("tcp://127.0.0.1:*"));
    for (const message of [frames(65_536), Buffer.alloc(1_000)]) {
      await dealer.send(message);
      await router.send(await router.receive());
      await dealer.receive();
    }
    const reply = own(new Reply({ context }));
    const asker = own(new Dealer({ context }));
    asker.connect(await reply.bind("tcp://127.0.0.1:*"));
    await asker.send(frames(65_536));
    await reply.send(await reply.receive());
    expect(await asker.receive()).toHaveLength(65_536);
  });

  it("of a reply count the empty one in front", async () => {
    const context = new Context({ engine: "zmtp" });
    const [request, reply] = [own(new Request({ context })), own(new Reply({ context }))];
    request.connect(await reply.bind("tcp://127.0.0.1:*"));
    await request.send("");
    await reply.receive();
    await expect(reply.send(frames(65_536))).rejects.toMatchObject({ code: "EINVAL" });
    await reply.send(frames(65_535));
    expect(await request.receive()).toHaveLength(65_535);
  });
});
