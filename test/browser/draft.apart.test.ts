/** The draft sockets of the build for browsers, against those of Node.js. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as node from "../../src/sockets/draft/index.js";
import { failure, thrown } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { loadWeb, WEB } from "./support/web.js";

const shoal = await loadWeb();
const web = (await import(join(WEB, "draft.js"))) as typeof import("../../src/browser/draft/index.js");
const own = closeAfterEach();
const receiving = { timeout: 10_000 };
const ANY = "ws://127.0.0.1:*";

describe("what binds outside of a page, which the contract has in the other direction,", () => {
  it("has answers of a Server in it", async () => {
    const bound = own(new node.Client());
    const serving = own(new web.Server());
    serving.connect(await bound.bind(ANY));
    await bound.send("from outside");
    const [body, peer] = await serving.receive(receiving);
    expect(String(body)).toBe("from outside");
    const memory = Buffer.from("to outside");
    await serving.send(memory, { routingId: peer.routingId, copy: true });
    memory.fill("x");
    expect(String((await bound.receive(receiving))[0])).toBe("to outside");
    expect(serving.trySend("at once", { routingId: peer.routingId, copy: true })).toBe(true);
    expect(String((await bound.receive(receiving))[0])).toBe("at once");
    expect((await failure(serving.send("to nobody", { routingId: 4_000_000_000 }))).code).toBe(
      "EHOSTUNREACH",
    );
  });

  it("has what a Radio in it sends to a group", async () => {
    const outside = own(new node.Dish());
    outside.join("news");
    const inside = own(new web.Radio());
    inside.connect(await outside.bind(ANY));
    let heard = false;
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

  it("has the work of a Scatter in it", async () => {
    const gather = own(new node.Gather());
    const scatter = own(new web.Scatter());
    scatter.connect(await gather.bind(ANY));
    await scatter.send("work");
    expect(String((await gather.receive(receiving))[0])).toBe("work");
  });
});

it("in a page they are sockets of shoal/browser", () => {
  expect(own(new web.Dish())).toBeInstanceOf(shoal.Socket);
  expect(thrown(() => own(new web.Dish()).connect("udp://127.0.0.1:1")).code).toBe("EPROTONOSUPPORT");
  expect(Object.keys(web)).not.toContain("Datagram");
});
