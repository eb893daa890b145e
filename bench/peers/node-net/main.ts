/** A side of node-net: `node main.js --scenario … --role …`. */
import { parseSide, Side } from "../node/side.js";
import { client, server } from "./echo.js";
import { copier, copyReaders, publisher, subscriber } from "./fan-out.js";
import { stormClient, stormServer } from "./storm.js";
import { consumer, producer } from "./stream.js";

const roles: Readonly<Record<string, (side: Side) => Promise<void>>> = {
  client,
  consumer,
  producer,
  publisher,
  server,
  subscriber: (side) => subscriber(side),
};
/** Roles of the scenario cluster-publish, where each node gets a separate copy. */
const copyRoles: typeof roles = { publisher: copier, subscribers: copyReaders };
/** Roles of the scenario connection-storm, where each connection begins with a greeting. */
const stormRoles: typeof roles = { client: stormClient, server: stormServer };
const request = parseSide(process.argv.slice(2));
const ofScenario = new Map([
  ["cluster-publish", copyRoles],
  ["connection-storm", stormRoles],
]);
const play = (ofScenario.get(request.scenario) ?? roles)[request.role];
if (play === undefined) throw new Error(`node-net has no role ${request.role}`);
await play(new Side(request));
