/** Statistics of proxies. */

import type { Pump } from "../sockets/pump.js";
import { CORE } from "../sockets/socket.js";
import type { PROXY, PROXY_CAPTURE, PROXY_CONTROL } from "../statistics/proxy.js";
import type { StatisticsOf } from "../statistics/rows.js";
import type { ProxySocketType } from "./pairs.js";
import type { ProxyPolicyRefusals } from "./policy/policy.js";
import type { ProxySocket } from "./proxy-socket.js";

export interface ProxyIncoming {
  readonly messages: number;
  /** Bytes without framing. */
  readonly bytes: number;
  /** Messages waiting to be taken, as far as the engine can count. */
  readonly queued: number;
  readonly dropped: {
    /** Messages without the required frames. */
    readonly malformed: number;
    /** Requests that passed this proxy repeatedly. */
    readonly loop: number;
    /** Unforeseen errors, reported by an event. */
    readonly failed: number;
    /** The proxy stopped first. */
    readonly stopped: number;
  };
}

export interface ProxyOutgoing {
  readonly messages: number;
  readonly bytes: number;
  /** Unsent messages (copies, if sent to many), as far as the engine can count. */
  readonly queued: number;
  /** 0 if the engine cannot count them. */
  readonly dropped: {
    /** The receiver is not connected. */
    readonly unroutable: number;
    /** The receiver was at its high-water mark. */
    readonly "peer-full": number;
    /** The receiver left first. */
    readonly disconnected: number;
    /** A newer message took its place (`conflate`). */
    readonly conflated: number;
    /** The proxy stopped first. */
    readonly closed: number;
  };
}

/**
 * `authentication`: credentials; `mechanism`: different security; `curve-key`: a wrong CURVE key; `socket-type`: a socket
 * type or metadata that does not fit; `protocol`: not a ZMTP peer; `other`: the peer left early.
 */
export type ProxyHandshakeReason =
  | "authentication"
  | "mechanism"
  | "curve-key"
  | "socket-type"
  | "protocol"
  | "other";

export interface ProxySideStats {
  readonly type: ProxySocketType;
  /** Endpoints without wildcards. */
  readonly endpoints: readonly string[];
  /** Endpoints that are not from a source. */
  readonly connected: readonly string[];
  /** `undefined` if the engine cannot tell. */
  readonly peers: number | undefined;
  /** Connections restored after a loss; `undefined` if the engine cannot tell. */
  readonly reconnects: number | undefined;
  /** A policy's earlier refusals are in `refused`. */
  readonly handshakeErrors: Readonly<Record<ProxyHandshakeReason, number>>;
  readonly in: ProxyIncoming;
  readonly out: ProxyOutgoing;
  /**
   * The policy's refusals: connections (`address`, `key`, `size`), messages and subscriptions (`topic`), delayed reads
   * (`rate`).
   */
  readonly refused: ProxyPolicyRefusals;
}

export type ProxyCaptureStats = StatisticsOf<typeof PROXY_CAPTURE>;

export type ProxyControlStats = StatisticsOf<typeof PROXY_CONTROL>;

export interface ProxyDrainResult {
  /** Nothing that had arrived is left. When the timeout ended the drain, peers may have had more to send. */
  readonly drained: boolean;
  /** Received but not passed on. */
  readonly received: number;
  /** Passed on but not sent, as far as the engine can count. */
  readonly queued: number;
  /** Requests of the last minute without a reply. */
  readonly unanswered: number;
}

export type ProxyStats = StatisticsOf<typeof PROXY> & {
  readonly name?: string;
  readonly frontend: ProxySideStats;
  readonly backend: ProxySideStats;
  readonly capture?: ProxyCaptureStats;
  readonly control?: ProxyControlStats;
  /** Present after a drain. */
  readonly drain?: ProxyDrainResult;
};

/** @param incoming reads this side @param outgoing writes to it @param refused by its policy */
export function sideStats(
  type: ProxySocketType,
  opened: ProxySocket | undefined,
  incoming: Pump | undefined,
  outgoing: Pump | undefined,
  refused: ProxyPolicyRefusals,
  handshakeErrors: Readonly<Record<ProxyHandshakeReason, number>>,
): ProxySideStats {
  const counters = opened?.socket[CORE].counters;
  const engine = opened?.socket[CORE].engine.stats();
  const drops = incoming?.counts.dropped;
  return {
    type,
    endpoints: [...(opened?.bound ?? [])],
    connected: [...(opened?.connected ?? [])],
    peers: engine?.peers,
    reconnects: engine?.reconnects,
    handshakeErrors: { ...handshakeErrors },
    in: {
      messages: incoming === undefined ? 0 : (counters?.received ?? 0),
      bytes: incoming === undefined ? 0 : (counters?.bytesReceived ?? 0),
      queued: engine?.queuedIn ?? 0,
      dropped: {
        malformed: drops?.malformed ?? 0,
        loop: drops?.loop ?? 0,
        failed: drops?.failed ?? 0,
        stopped: drops?.stopped ?? 0,
      },
    },
    out: {
      messages: counters?.delivered ?? 0,
      bytes: (counters?.bytesSent ?? 0) - (outgoing?.counts.lostBytes ?? 0),
      queued: engine?.queuedOut ?? 0,
      dropped: {
        unroutable: counters?.dropped.unroutable ?? 0,
        "peer-full": (counters?.dropped["peer-full"] ?? 0) + (engine?.dropped?.["peer-full"] ?? 0),
        disconnected: engine?.dropped?.disconnected ?? 0,
        conflated: engine?.dropped?.conflated ?? 0,
        closed: counters?.dropped.closed ?? 0,
      },
    },
    refused,
  };
}
