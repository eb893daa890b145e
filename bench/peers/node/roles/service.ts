/** A service of one node, and requests of another one. */
import { type Asker, askPipelined } from "./asking.js";
import { open } from "./cluster-messages.js";
import type { Role, Roles } from "./role.js";

const SERVICE = "echo";

const server: Role = async (side) => {
  const node = await open(side.role, {});
  let echoed = 0;
  node.serve(SERVICE, (body: Buffer) => {
    echoed++;
    return body;
  });
  await side.ready(node.address);
  await side.stopped;
  await side.done({ messages: echoed, bytes: echoed * side.size });
  await node.leave();
};

const client: Role = async (side) => {
  const node = await open(side.role, { seeds: [side.endpoint] });
  const asker: Asker = {
    ask: (_, body) =>
      void node.request<Buffer>(SERVICE, body, { waitForReady: true, timeout: 60_000 }).then(take),
    onReply: () => undefined,
    close: () => node.leave(),
  };
  const take = (reply: Buffer): void => asker.onReply(reply);
  await askPipelined(side, asker);
};

export const roles: Roles = { server, client };
