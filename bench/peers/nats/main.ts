/** A side of NATS: `node main.js --scenario … --role …`. */
import { keyValueRole } from "../key-value/roles.js";
import { parseSide, Side } from "../node/side.js";
import { asker, client, server } from "./echo.js";
import { bucketOf } from "./key-value.js";
import * as sessions from "./sessions.js";
import { consumer, producer, publisher, subscriber } from "./stream.js";

const roles: Readonly<Record<string, (side: Side) => Promise<void>>> = {
  client,
  consumer,
  producer,
  publisher,
  server,
  subscriber,
};
const request = parseSide(process.argv.slice(2));
const keyValue = keyValueRole(request.scenario, request.role);
const play = ((): ((side: Side) => Promise<void>) | undefined => {
  if (request.scenario === "sessions") return request.role === "client" ? sessions.client : sessions.server;
  return request.scenario === "service" && request.role === "client" ? asker : roles[request.role];
})();
const side = new Side(request);
if (keyValue !== undefined) await keyValue(side, bucketOf(side, request.role === "server"));
else if (play !== undefined) await play(side);
else throw new Error(`nats has no role ${request.role}`);
