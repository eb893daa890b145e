/** Reference for requests between nodes: a DEALER and a ROUTER. */
import { askPipelined } from "./asking.js";
import { roles as echo } from "./echo.js";
import { plainAsker } from "./plain-broker.js";
import type { Role, Roles } from "./role.js";

export const roles: Roles = {
  server: echo.server as Role,
  client: (side, kit) => askPipelined(side, plainAsker(side, kit)),
};
