/** ZMTP 3.1 in TypeScript (37/ZMTP), without native code. */

import type { SocketTypeName } from "../../core/socket-type.js";
import type { Engine, EngineCapabilities } from "../engine.js";
import { ZMTP_CAPABILITIES, ZmtpContext } from "./context.js";
import { assertPlainDatagrams, Datagrams } from "./datagrams.js";
import { InprocPeers } from "./inproc.js";
import { InprocNames } from "./inproc-names.js";
import { EventLoopRef, ProcessEnd } from "./lifetime.js";
import { Listening } from "./listening.js";
import { CurveClient } from "./mechanism/curve-client.js";
import { curveIsNative } from "./mechanism/curve-primitives.js";
import { CurveServer } from "./mechanism/curve-server.js";
import type { EngineParts } from "./parts.js";
import { openRaw } from "./raw.js";
import { PairRouting } from "./routing/pair.js";
import { PipelineRouting } from "./routing/pipeline.js";
import { PublishRouting } from "./routing/publish.js";
import { SingleFrameQueue } from "./routing/queues.js";
import { DishRouting, RadioRouting } from "./routing/radio-dish.js";
import { RELAYS } from "./routing/relaying.js";
import { ReplyRouting } from "./routing/reply.js";
import { RequestRouting } from "./routing/request.js";
import { RouterRouting, StreamRouting } from "./routing/router.js";
import type { RoutingOf } from "./routing/routing.js";
import { ServerRouting } from "./routing/server.js";
import { SubscribeRouting } from "./routing/subscribe.js";
import { SharedNames } from "./threads/node-threads.js";
import { MACHINE, machineSchemes, type TransportTable } from "./transport/transports.js";
import { ZapClient } from "./zap.js";

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

export const ROUTINGS: Readonly<Record<SocketTypeName, RoutingOf>> = {
  Pair: (effects) => new PairRouting(effects),
  Publisher: (effects) => new PublishRouting(effects, false),
  XPublisher: (effects) => new PublishRouting(effects, true),
  Subscriber: (effects) => new SubscribeRouting(effects, true),
  XSubscriber: (effects) => new SubscribeRouting(effects, false),
  Push: (effects) => new PipelineRouting(effects, true, false),
  Pull: (effects) => new PipelineRouting(effects, false, true),
  Dealer: (effects) => new PipelineRouting(effects, true, true),
  Request: (effects) => new RequestRouting(effects),
  Reply: (effects) => new ReplyRouting(effects),
  Router: (effects) => new RouterRouting(effects),
  Stream: (effects) => new StreamRouting(effects),
  Client: (effects) => new PipelineRouting(effects, true, true, SingleFrameQueue),
  Server: (effects) => new ServerRouting(effects),
  Peer: (effects) => new ServerRouting(effects),
  Radio: (effects) => new RadioRouting(effects),
  Dish: (effects) => new DishRouting(effects),
  Scatter: (effects) => new PipelineRouting(effects, true, false, SingleFrameQueue),
  Gather: (effects) => new PipelineRouting(effects, false, true, SingleFrameQueue),
  Datagram: (effects) => new PairRouting(effects),
  Channel: (effects) => new PairRouting(effects, SingleFrameQueue),
};

/** For contexts of Node.js. */
export const NODE_PARTS: EngineParts = {
  routings: ROUTINGS,
  curve: {
    server: (options) => new CurveServer(options),
    client: (options) => new CurveClient(options),
  },
  inproc: {
    names: (shared) => (shared ? new SharedNames() : new InprocNames()),
    peers: (state, names, peers) => new InprocPeers(state, names, peers),
  },
  datagrams: {
    assertPlain: assertPlainDatagrams,
    open: (state, peers) => new Datagrams(state, peers),
  },
  raw: openRaw,
  relays: RELAYS,
  listening: (parts) => new Listening(parts),
  zap: (open) => new ZapClient(open),
  eventLoop: (reasons) => new EventLoopRef(reasons),
  processEnd: (socket, state, pipes, blocky) => new ProcessEnd(socket, state, pipes, blocky),
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
