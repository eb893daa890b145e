/** The only engine in a page. Replaces engine/select.ts. */
import { ADDITIONS } from "../browser/additions.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { Engine, EngineCapabilities } from "./engine.js";
import { ZMTP_CAPABILITIES, ZmtpContext } from "./zmtp/context.js";
import { routedTypes } from "./zmtp/routing/create.browser.js";
import { MACHINE, SCHEMES } from "./zmtp/transport/transports.browser.js";

const CAPABILITIES: EngineCapabilities = {
  ...ZMTP_CAPABILITIES,
  get transports() {
    return ADDITIONS.inproc === undefined ? SCHEMES : [...SCHEMES, "inproc"];
  },
  peerEvents: SCHEMES,
};

const ENGINE: Engine = {
  name: "zmtp",
  capabilities: CAPABILITIES,
  get features() {
    const curve = ADDITIONS.curve !== undefined;
    const draft = routedTypes().includes("Dish");
    return { ipc: false, pgm: false, tipc: false, norm: false, curve, gssapi: false, draft };
  },
  createContext: (options, shared) => new ZmtpContext(options, shared, MACHINE),
};

export const ENGINE_NAMES: readonly string[] = ["zmtp"];
export const DEFAULT_ENGINE = "zmtp";

/**
 * @param choice an engine or its name; `undefined` for the only one
 * @throws InvalidArgumentError `EINVAL` for another name
 */
export function selectEngine(choice: string | Engine | undefined): Engine {
  if (typeof choice === "object" && typeof choice?.createContext === "function") return choice;
  if (choice === undefined || choice === ENGINE.name) return ENGINE;
  throw new InvalidArgumentError(`A page has the engine zmtp only; got ${String(choice)}`);
}
