/** The draft sockets of the build for browsers, against those of Node.js. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as node from "../../src/sockets/draft/index.js";
import { CURVE_SERVER, curveClient } from "../contract/support/keys.js";
import { failure, thrown } from "../contract/support/wait.js";
import { LONG } from "../support/long.js";
import { loadWeb, Opened, WEB } from "./support/web.js";

const shoal = await loadWeb();
const web = (await import(join(WEB, "draft.js"))) as typeof import("../../src/browser/draft/index.js");
const { enableCurve } = (await import(
  join(WEB, "curve.js")
)) as typeof import("../../src/browser/curve/index.js");
const opened = new Opened();
const own = opened.own.bind(opened);
const receiving = { timeout: 10_000 };
const ANY = "ws://127.0.0.1:*";

const MECHANISMS = [
  ["NULL", {}, {}],
  ["CURVE", CURVE_SERVER, curveClient()],
] as const;
enableCurve();

// With CURVE in the long form: curve.apart.test.ts has what it does to messages.
describe.each(MECHANISMS.slice(0, LONG ? undefined : 1))("with %s, in a page", (_, asServer, asClient) => {
  it("a Client asks a Server; a Server answers a Client", async () => {
    const bound = own(new node.Server(asServer));
    const asking = own(new web.Client(asClient));
    asking.connect(await bound.bind(ANY));
    await asking.send("question");
    const [question, { routingId }] = await bound.receive(receiving);
    expect(String(question)).toBe("question");
    await bound.send("answer", { routingId });
    expect(String((await asking.receive(receiving))[0])).toBe("answer");

    const bound2 = own(new node.Client(asServer));
    const serving = own(new web.Server(asClient));
    serving.connect(await bound2.bind(ANY));
    await bound2.send("from outside");
    const [body, peer] = await serving.receive(receiving);
    expect(String(body)).toBe("from outside");
    const memory = Buffer.from("to outside");
    await serving.send(memory, { routingId: peer.routingId, copy: true });
    memory.fill("x");
    expect(String((await bound2.receive(receiving))[0])).toBe("to outside");
    expect(serving.trySend("at once", { routingId: peer.routingId, copy: true })).toBe(true);
    expect(String((await bound2.receive(receiving))[0])).toBe("at once");
    expect((await failure(serving.send("to nobody", { routingId: 4_000_000_000 }))).code).toBe(
      "EHOSTUNREACH",
    );
  });

  it("a Dish gets the groups that it has joined; a Radio sends to those of its Dish", async () => {
    const radio = own(new node.Radio(asServer));
    const dish = own(new web.Dish(asClient));
    dish.join("weather");
    dish.connect(await radio.bind(ANY));
    await expect.poll(() => radio.stats().peers).toBe(1);
    // The JOIN goes behind the handshake: what is sent until then has no receiver.
    let heard = false;
    const sending = (async () => {
      for (let i = 0; i < 500 && !heard; i++) {
        await radio.send("not joined", { group: "sports" });
        await radio.send("rain", { group: "weather" });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    const [body, { group }] = await dish.receive(receiving);
    heard = true;
    await sending;
    expect([String(body), String(group)]).toEqual(["rain", "weather"]);

    const outside = own(new node.Dish(asServer));
    outside.join("news");
    const inside = own(new web.Radio(asClient));
    inside.connect(await outside.bind(ANY));
    heard = false;
    const publishing = (async () => {
      for (let i = 0; i < 500 && !heard; i++) {
        await inside.send("now", { group: "news", copy: true });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    expect(String((await outside.receive(receiving))[0])).toBe("now");
    heard = true;
    await publishing;
  });

  it("Scatter, Gather, Channel and Peer talk to their peers", async () => {
    const gather = own(new node.Gather(asServer));
    const scatter = own(new web.Scatter(asClient));
    scatter.connect(await gather.bind(ANY));
    await scatter.send("work");
    expect(String((await gather.receive(receiving))[0])).toBe("work");
    const scatter2 = own(new node.Scatter(asServer));
    const gather2 = own(new web.Gather(asClient));
    gather2.connect(await scatter2.bind(ANY));
    await scatter2.send("more");
    expect(String((await gather2.receive(receiving))[0])).toBe("more");

    const channel = own(new node.Channel(asServer));
    const near = own(new web.Channel(asClient));
    near.connect(await channel.bind(ANY));
    await near.send("there");
    expect(String((await channel.receive(receiving))[0])).toBe("there");
    await channel.send("back");
    expect(String((await near.receive(receiving))[0])).toBe("back");

    const peer = own(new node.Peer(asServer));
    const caller = own(new web.Peer(asClient));
    const routingId = caller.connectPeer(await peer.bind(ANY));
    await caller.send("hello", { routingId });
    const [hello, from] = await peer.receive(receiving);
    expect(String(hello)).toBe("hello");
    await peer.send("hello, you", { routingId: from.routingId });
    expect(String((await caller.receive(receiving))[0])).toBe("hello, you");
  });
});

describe("in a page", () => {
  it("they are sockets of shoal/browser", () => {
    expect(own(new web.Dish())).toBeInstanceOf(shoal.Socket);
    expect(thrown(() => own(new web.Dish()).connect("udp://127.0.0.1:1")).code).toBe("EPROTONOSUPPORT");
    expect(Object.keys(web)).not.toContain("Datagram");
  });
});
