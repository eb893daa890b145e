/** A side in Node over shoal or the package zeromq: `node main.js shoal|zeromq --scenario … --role …`. */
import { loadKit } from "./kit.js";
import { loadRoles } from "./roles/index.js";
import { parseSide, Side } from "./side.js";

const [library = "", ...args] = process.argv.slice(2);
const request = parseSide(args);
const roles = await loadRoles(request.scenario);
const play = roles[request.role];
if (play === undefined) throw new Error(`the scenario ${request.scenario} has no role ${request.role} here`);
const side = new Side(request);
await play(side, await loadKit(library, side.option("api", "await")));
