/** The role `program` of the scenario start-up for contenders in other languages: `start-up-main.js '["FILE","ARG"]' --scenario …`. */
import { parseSide, Side } from "./node/side.js";
import { playStartUp } from "./start-up.js";

const [command = "[]", ...args] = process.argv.slice(2);
const [file = "", ...rest] = JSON.parse(command) as string[];
await playStartUp(new Side(parseSide(args)), { file, args: rest });
