/** A side of node-net: `node main.js --scenario … --role …`. */
import { parseSide, Side } from "../node/side.js";
import { client, server } from "./echo.js";
import { publisher, subscriber } from "./fan-out.js";
import { consumer, producer } from "./stream.js";

const roles: Readonly<Record<string, (side: Side) => Promise<void>>> = {
  client,
  consumer,
  producer,
  publisher,
  server,
  subscriber,
};
const request = parseSide(process.argv.slice(2));
const play = roles[request.role];
if (play === undefined) throw new Error(`node-net has no role ${request.role}`);
await play(new Side(request));
