/** A side of NATS: `node main.js --scenario … --role …`. */
import { parseSide, Side } from "../node/side.js";
import { asker, client, server } from "./echo.js";
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
const play = request.scenario === "service" && request.role === "client" ? asker : roles[request.role];
if (play === undefined) throw new Error(`nats has no role ${request.role}`);
await play(new Side(request));
