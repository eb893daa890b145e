/** The only engine in a page. Replaces engine/select.ts. */
import { PAGE, SCHEMES } from "../browser/machine.js";
import { NO_CURVE, PAGE_PARTS } from "../browser/parts.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { Engine, EngineCapabilities } from "./engine.js";
import { ZMTP_CAPABILITIES, ZmtpContext } from "./zmtp/context.js";

const CAPABILITIES: EngineCapabilities = {
  ...ZMTP_CAPABILITIES,
  get transports() {
    return PAGE_PARTS.inproc === undefined ? SCHEMES : [...SCHEMES, "inproc"];
  },
  peerEvents: SCHEMES,
};

const ENGINE: Engine = {
  name: "zmtp",
  capabilities: CAPABILITIES,
  get features() {
    const curve = PAGE_PARTS.curve !== NO_CURVE;
    const draft = PAGE_PARTS.routings.Dish !== undefined;
    return { ipc: false, pgm: false, tipc: false, norm: false, curve, gssapi: false, draft };
  },
  createContext: (options, shared) => new ZmtpContext(options, shared, PAGE, PAGE_PARTS),
};

export const ENGINE_NAMES: readonly string[] = ["zmtp"];
export const DEFAULT_ENGINE = "zmtp";

/** @throws InvalidArgumentError `EINVAL` for another name */
export function selectEngine(choice: string | Engine | undefined): Engine {
  if (typeof choice === "object" && typeof choice?.createContext === "function") return choice;
  if (choice === undefined || choice === ENGINE.name) return ENGINE;
  throw new InvalidArgumentError(`A page has the engine zmtp only; got ${String(choice)}`);
}
