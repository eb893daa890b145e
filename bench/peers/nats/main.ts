/** A side of the contender nats: `node main.js --scenario … --role …`. */
import { parseSide, Side } from "../node/side.js";
import { client, server } from "./echo.js";
import * as keyValue from "./key-value.js";
import { consumer, producer, publisher, subscriber } from "./stream.js";

const roles: Readonly<Record<string, (side: Side) => Promise<void>>> = {
  client,
  consumer,
  producer,
  publisher,
  server,
  subscriber,
};
const keyValueRoles: typeof roles = { client: keyValue.client, server: keyValue.server };
const request = parseSide(process.argv.slice(2));
const play = (request.scenario === "clone-set" ? keyValueRoles : roles)[request.role];
if (play === undefined) throw new Error(`nats has no role ${request.role}`);
await play(new Side(request));
