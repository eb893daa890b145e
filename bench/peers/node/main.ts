/** A side in Node over shoal or the package zeromq: `node main.js shoal|zeromq --scenario … --role …`. */
import { loadKit } from "./kit.js";
import { loadRoles } from "./roles/index.js";
import { parseSide, Side } from "./side.js";

const [library = "", ...args] = process.argv.slice(2);
const request = parseSide(args);
const api = String(request.options.api ?? "await");
const plain = library !== "shoal" || api === "plain";
const roles = await loadRoles(request.scenario, plain);
const play = roles[request.role];
if (play === undefined) throw new Error(`the scenario ${request.scenario} has no role ${request.role} here`);
await play(new Side(request), await loadKit(library, api));
