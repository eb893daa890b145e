/**
 * The only engine of a page, and what it is composed of. Replaces engine/select.ts: a socket without a context gets its
 * engine without an import by the program.
 */
import { checkEndpoint } from "../browser/endpoints.js";
import { NO_CURVE, PAGE_PARTS } from "../browser/parts.js";
import { webSocketTransport } from "../browser/web-socket.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { Engine, EngineCapabilities } from "./engine.js";
import { LOADED_ROUTINGS } from "./zmtp/routing/routing.js";
import { ZMTP_CAPABILITIES, ZmtpContext } from "./zmtp/socket.js";
import type { Transport } from "./zmtp/transport/transport.js";
import type { Platform } from "./zmtp/transport/transports.js";

const TRANSPORTS: ReadonlyMap<string, Transport> = new Map(
  ["ws", "wss"].map((scheme) => [scheme, webSocketTransport(scheme)]),
);

/** Schemes without additions such as inproc. */
const SCHEMES: readonly string[] = [...TRANSPORTS.keys()];

const PAGE: Platform = {
  transports: TRANSPORTS,
  hostName: () => "browser",
  interfaces: () => [],
};

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
    const draft = LOADED_ROUTINGS.Dish !== undefined;
    return { ipc: false, pgm: false, tipc: false, norm: false, curve, gssapi: false, draft };
  },
  checkEndpoint,
  createContext: (options, shared) => new ZmtpContext(options, shared, PAGE, PAGE_PARTS),
};

/** @throws InvalidArgumentError `EINVAL` for another name */
export function selectEngine(choice: string | Engine | undefined): Engine {
  if (typeof choice === "object" && typeof choice?.createContext === "function") return choice;
  if (choice === undefined || choice === ENGINE.name) return ENGINE;
  throw new InvalidArgumentError(`A page has the engine zmtp only; got ${String(choice)}`);
}
