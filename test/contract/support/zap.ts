import { Router } from "../../../src/index.js";
import type { World } from "./world.js";

/**
 * Options by which a PLAIN server asks `allows` about its clients: `authenticate`, or on libzmq none, and a ZAP handler of the
 * world's context (27/ZAP).
 */
export async function plainCheck(
  world: World,
  allows: (username: string, password: string) => boolean,
): Promise<object> {
  if (world.engine !== "libzmq")
    return { authenticate: ({ username = "", password = "" }) => allows(username, password) };
  const handler = world.own(new Router({ context: world.context, linger: 0 }));
  await handler.bind("inproc://zeromq.zap.01");
  const answerAll = async (): Promise<void> => {
    for await (const [peer, empty, version, id, , , , , username, password] of handler) {
      const status = allows(String(username), String(password)) ? "200" : "400";
      await handler.send([peer, empty, version, id, status, "", "", ""] as (Buffer | string)[]);
    }
  };
  answerAll().catch(() => undefined);
  return {};
}
