/**
 * A relay that takes all and passes nothing: only a heartbeat shows it. When it does: test/engine/zmtp/heartbeat-rules.test.ts.
 */
import { describe, expect, it } from "vitest";
import { CURVE_SERVER, curveClient } from "../../contract/support/keys.js";
import { collect, nextEvent } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { Relay } from "../../support/relay.js";

const world = new World("zmtp", "tcp");
const INTERVAL = 150;

describe.each([
  ["NULL", {}, {}],
  ["CURVE", CURVE_SERVER, curveClient()],
])("a black-holed %s link", (_, server, client) => {
  it.each(["idle", "sending"])("is noticed by both sides, %s, and made again", async (how) => {
    const pull = world.pull({ ...server, heartbeatInterval: INTERVAL, heartbeatTimeout: INTERVAL });
    const relay = await Relay.to(await world.bind(pull));
    world.after(() => relay.close());
    const push = world.push({
      ...client,
      heartbeatInterval: INTERVAL,
      heartbeatTimeout: INTERVAL,
      reconnectInterval: 5,
      sendHighWaterMark: 10,
    });
    push.connect(relay.endpoint);
    await push.send("before");
    expect(await collect(pull, 1)).toEqual(["before"]);

    const noticed = [pull, push].map((socket) => nextEvent(socket, "disconnect"));
    relay.blackHole(true);
    if (how === "sending") await push.send("into the hole");
    for (const { reason } of await Promise.all(noticed)) expect(reason).toBe("heartbeat");
    expect([pull.stats().peers, push.stats().peers]).toEqual([0, 0]);

    relay.cut();
    relay.blackHole(false);
    await push.send("after");
    expect((await collect(pull, 1))[0]).toBe("after");
  });
});
