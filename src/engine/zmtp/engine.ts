/** ZMTP 3.1 in TypeScript (37/ZMTP), without native code. */

import { checkEndpoint } from "../../core/schemes/schemes.js";
import type { Engine, EngineCapabilities } from "../engine.js";
import { Datagrams } from "./datagrams.js";
import { InprocNames } from "./inproc.js";
import { CurveClient, CurveServer } from "./mechanism/curve.js";
import { CURVE_PRIMITIVES, curveIsNative } from "./mechanism/curve-primitives.js";
import type { EngineParts } from "./parts.js";
import { EventLoopRef, ProcessEnd } from "./process-hold.js";
import { RELAYS } from "./routing/relaying.js";
import { ZMTP_CAPABILITIES, ZmtpContext } from "./socket.js";
import { ThreadNames, threadsConnect } from "./threads/thread-names.js";
import { RAW } from "./transport/transport.js";
import { MACHINE, MACHINE_SCHEMES } from "./transport/transports.js";
import { ZapClient } from "./zap.js";

const CAPABILITIES: EngineCapabilities = Object.freeze({
  ...ZMTP_CAPABILITIES,
  transports: MACHINE_SCHEMES,
  peerEvents: MACHINE_SCHEMES,
});

/** For contexts of Node.js. */
export const NODE_PARTS: EngineParts = {
  curve: {
    server: (options) => new CurveServer(options, CURVE_PRIMITIVES),
    client: (options) => new CurveClient(options, CURVE_PRIMITIVES),
  },
  inproc: (shared) =>
    new InprocNames(shared && threadsConnect() ? (names) => new ThreadNames(names) : undefined),
  datagrams: (state, peers) => new Datagrams(state, peers),
  raw: RAW,
  relays: RELAYS,
  zap: (open) => new ZapClient(open),
  eventLoop: (reasons) => new EventLoopRef(reasons),
  processEnd: (...of) => new ProcessEnd(...of),
};

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
  checkEndpoint,
  createContext: (options, shared) => new ZmtpContext(options, shared, MACHINE, NODE_PARTS),
};

export function loadZmtpEngine(): Engine {
  return ENGINE;
}
