/** A side in Node over shoal or the package zeromq: `node main.js shoal|zeromq --scenario … --role …`. */
import { type Kit, loadKit } from "./kit.js";
import { loadRoles, needsSockets } from "./roles/index.js";
import { parseSide, Side } from "./side.js";

const [library = "", ...args] = process.argv.slice(2);
const request = parseSide(args);
const api = String(request.options.api ?? "await");
const plain = library !== "shoal" || api.startsWith("plain");
const roles = await loadRoles(request.scenario, plain);
const play = roles[request.role];
if (play === undefined) throw new Error(`the scenario ${request.scenario} has no role ${request.role} here`);
const kit = needsSockets(request.scenario, plain) ? await loadKit(library, api) : ({} as Kit);
await play(new Side(request), kit);
