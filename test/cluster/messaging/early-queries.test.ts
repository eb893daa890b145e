/** Queries from the moment on at which nodes meet, with packets that are lost: a node may be asked before it knows where the asker takes replies. */
import { expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { simulate } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";
import { KEY, pause } from "../simulated.js";

const NAMES = ["a", "b", "c"];
const TIMEOUT = 8_000;

it("no reply is missing of nodes whose details come late", {
  timeout: LONG ? 1_200_000 : 60_000,
}, async () => {
  const missing: string[] = [];
  let replies = 0;
  const network = { latency: [1, 10], loss: 0.2 } as const;
  // In one of these, a node learns of another from one that has not got its details either.
  await simulate({ seed: 12, runs: LONG ? 120 : 1, network }, async (world) => {
    for (const name of NAMES)
      world.node(name).start(async () => {
        const node = new ClusterNode({ name, scope: "link", key: KEY, port: 7000, seeds: ["a:7000"] });
        node.onQuery(({ data }) => data);
        await node.start();
        for (let count = 0; count < 50; count++) {
          const services = node.members({ self: false });
          if (services.length > 0)
            void node
              .query({ services, data: `${count}`, timeout: TIMEOUT })
              .collect()
              .then((results) => {
                replies += results.replies.length;
                for (const service of results.missing) missing.push(`${name}.${count}: ${service.name}`);
              });
          await pause(20);
        }
      });
    await world.advance(TIMEOUT + 4_000);
  });
  expect(missing).toEqual([]);
  expect(replies).toBeGreaterThan(150);
});
