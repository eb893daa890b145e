/** All parts of the engine, for contexts of Node.js. */
import { assertPlainDatagrams, Datagrams } from "./datagrams.js";
import { InprocPeers } from "./inproc.js";
import { InprocNames } from "./inproc-names.js";
import { EventLoopRef, ProcessEnd } from "./lifetime.js";
import { Listening } from "./listening.js";
import { CurveClient } from "./mechanism/curve-client.js";
import { CurveServer } from "./mechanism/curve-server.js";
import type { EngineParts } from "./parts.js";
import { openRaw } from "./raw.js";
import { RELAYS } from "./routing/relaying.js";
import { ROUTINGS } from "./routing/routings.js";
import { SharedNames } from "./threads/shared-names.js";
import { ZapClient } from "./zap.js";

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
