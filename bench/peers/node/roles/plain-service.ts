/** Reference for requests: REQ and REP for one request at a time, DEALER and ROUTER for several. */
import type { Kit } from "../kit.js";
import type { Side } from "../side.js";
import { type Asker, askPipelined } from "./asking.js";
import type { Role, Roles } from "./role.js";

const isSingle = (side: Side) => side.number("window", 1) === 1;

const server: Role = async (side, kit) => {
  const socket = isSingle(side) ? new kit.Reply() : new kit.Router();
  await socket.bind(side.endpoint);
  let echoed = 0;
  const serving = (async () => {
    for await (const frames of socket) {
      await socket.send(frames as [Buffer, ...Buffer[]]);
      echoed++;
    }
  })();
  await side.ready(socket.lastEndpoint);
  await side.stopped;
  await side.done({ messages: echoed, bytes: echoed * side.size });
  await socket.close();
  await serving;
};

const client: Role = async (side, kit) => {
  const asker = isSingle(side) ? requester(side, kit) : dealer(side, kit);
  await askPipelined(side, asker);
};

function requester(side: Side, kit: Kit): Asker {
  const socket = new kit.Request();
  socket.connect(side.endpoint);
  const asker: Asker = {
    async ask(_, body) {
      await socket.send(body);
      const [reply] = await socket.receive();
      asker.onReply(reply as Buffer);
    },
    onReply: () => undefined,
    close: () => socket.close(),
  };
  return asker;
}

function dealer(side: Side, kit: Kit): Asker {
  const socket = new kit.Dealer();
  socket.connect(side.endpoint);
  const asker: Asker = {
    ask: (_, body) => void socket.send(body),
    onReply: () => undefined,
    async close() {
      await socket.close();
      await receiving;
    },
  };
  const receiving = (async () => {
    for await (const [reply] of socket) asker.onReply(reply as Buffer);
  })();
  return asker;
}

export const roles: Roles = { server, client };
