/** Starts programs that import the library, and send themselves a message. */
import { fileURLToPath } from "node:url";
import { playStartUp } from "../../start-up.js";
import type { Roles } from "./index.js";

const PROGRAM = fileURLToPath(new URL("../first-message.js", import.meta.url));

export const roles: Roles = {
  program: (side, kit) =>
    playStartUp(side, { file: process.execPath, args: [PROGRAM, kit.shoal ? "shoal" : "zeromq"] }),
};
