/** Starts programs that import the library and send themselves a message. */

import { pathToFileURL } from "node:url";
import { packageFile, programFile } from "../../../places.js";
import { playStartUp } from "../../start-up.js";
import type { Roles } from "./role.js";

const PROGRAM = programFile("peers/node/first-message-main");

export const roles: Roles = {
  program: (side, kit) =>
    playStartUp(side, {
      file: process.execPath,
      args: [PROGRAM, kit.shoal ? "shoal" : pathToFileURL(packageFile("zeromq") ?? "zeromq").href],
    }),
};
