/** What `disconnect` owes to a peer that nobody here wrote, and that reads only afterwards. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Context, Push } from "../../src/index.js";
import { LONG } from "../support/long.js";
import { NO_C, startC } from "./c-peer.js";
import { Endpoints } from "./endpoints.js";
import { OURS } from "./kinds.js";
import type { Peer } from "./peer.js";
import { NO_PYTHON, startPython } from "./python-peer.js";

const COUNT = 2_000;
const SIZE = 5_000;
/** As the peers make them: the number's low byte, and on from there. */
const PATTERN = Buffer.from(Uint8Array.from({ length: SIZE + 256 }, (_, i) => i));
const PEERS = [
  { title: "pyzmq", skip: NO_PYTHON, start: () => startPython() },
  ...(LONG ? [{ title: "C", skip: NO_C, start: () => startC() }] : []),
];

for (const theirs of PEERS) {
  const endpoints = new Endpoints();
  describe.skipIf(theirs.skip)(theirs.title + (theirs.skip ? `: skipped, ${theirs.skip}` : ""), () => {
    let peer: Peer;
    const pushes: Push[] = [];
    beforeAll(async () => {
      peer = await theirs.start();
    });
    afterAll(() => peer?.stop());
    afterEach(() => Promise.all(pushes.splice(0).map((push) => push.close({ linger: 0 }))));

    it.each(
      OURS.flatMap((engine) => (["tcp", "ipc"] as const).map((transport) => [engine, transport] as const)),
    )("gets all that %s had accepted for it, over %s", async (engine, transport) => {
      const pull = await peer.open("PULL", { RCVHWM: 10 });
      const endpoint = await pull.bind(await endpoints.free(transport));
      const push = new Push({ context: new Context({ engine }), sendHighWaterMark: 0 });
      pushes.push(push);
      push.connect(endpoint);
      await push.ready();
      for (let i = 0; i < COUNT; i++)
        await push.send([String(i), PATTERN.subarray(i % 256, (i % 256) + SIZE)]);
      push.disconnect(endpoint);
      expect(await pull.call("follow", { last: COUNT - 1, size: SIZE })).toEqual({ first: 0, jumps: [] });
      await pull.call("wait", { joins: 1, leaves: 1 });
      await pull.call("close");
    });
  });
}
