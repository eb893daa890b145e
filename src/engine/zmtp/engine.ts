/** ZMTP 3.1 in TypeScript (37/ZMTP), without native code. */
import type { Engine, EngineCapabilities } from "../engine.js";
import { ZMTP_CAPABILITIES, ZmtpContext } from "./context.js";
import { curveIsNative } from "./mechanism/curve-primitives.js";
import { NODE_PARTS } from "./node-parts.js";
import { MACHINE, machineSchemes, type TransportTable } from "./transport/transports.js";

const CAPABILITIES: EngineCapabilities = Object.freeze({
  ...ZMTP_CAPABILITIES,
  // Programs can register transports.
  get transports() {
    return machineSchemes();
  },
  get peerEvents() {
    return machineSchemes();
  },
});

const ENGINE: Engine = {
  name: "zmtp",
  capabilities: CAPABILITIES,
  features: Object.freeze({
    ipc: true,
    pgm: false,
    tipc: false,
    norm: false,
    curve: true,
    gssapi: false,
    draft: true,
    /** Reading it loads the addon. */
    get sodium(): boolean {
      return curveIsNative();
    },
  }),
  createContext: (options, shared) => new ZmtpContext(options, shared, MACHINE, NODE_PARTS),
};

export function zmtpEngineOver(transports: TransportTable): Engine {
  return {
    ...ENGINE,
    createContext: (options, shared) =>
      new ZmtpContext(options, shared, { ...MACHINE, transports }, NODE_PARTS),
  };
}

export function loadZmtpEngine(): Engine {
  return ENGINE;
}
