/** A side of etcd: `node main.js --scenario … --role …`. */
import { keyValueRole } from "../key-value/roles.js";
import { parseSide, Side } from "../node/side.js";
import { keysOf } from "./client.js";

const request = parseSide(process.argv.slice(2));
const play = keyValueRole(request.scenario, request.role);
if (play === undefined) throw new Error(`etcd has no role ${request.role} in ${request.scenario}`);
const side = new Side(request);
await play(side, keysOf(side, request.role === "server"));
