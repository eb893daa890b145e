/** A proxy's statistics, put together from its sockets and its pumps. */

import { countersOf, engineStats } from "../sockets/internal.js";
import type { Pump } from "../sockets/pump.js";
import type { SteeringCounts } from "./control-protocol.js";
import type { ProxySocketType } from "./pairs.js";
import type { ProxyPolicyRefusals } from "./policy/policy.js";
import type { ProxySocket } from "./proxy-socket.js";
import type { ProxyState } from "./states.js";

/** What came in at a side. */
export interface ProxyIncoming {
  /** Messages that the proxy took. */
  readonly messages: number;
  /** Bytes of their frames, without framing. */
  readonly bytes: number;
  /** Messages that wait to be taken, as far as the engine can count. */
  readonly queued: number;
  /** Messages that were taken and not passed on, by reason. */
  readonly dropped: {
    /** A request or reply without the frames that it has to have. */
    readonly malformed: number;
    /** A request that had come through this proxy again and again. */
    readonly loop: number;
    /** An unforeseen error; an event reports it. */
    readonly failed: number;
    /** The proxy stopped before it was passed on. */
    readonly stopped: number;
  };
}

/** What went out at a side. */
export interface ProxyOutgoing {
  /** Messages that the engine took to send. */
  readonly messages: number;
  readonly bytes: number;
  /** Messages, or copies of them where a socket sends to many, that have not left, as far as the engine can count. */
  readonly queued: number;
  /** Messages, or copies, that did not go out, by reason; 0 where the engine cannot count them. */
  readonly dropped: {
    /** The peer that it was for is not there (any more). */
    readonly unroutable: number;
    /** The peer was at its high-water mark. */
    readonly "peer-full": number;
    /** The peer left before it went out. */
    readonly disconnected: number;
    /** The proxy stopped before it went out. */
    readonly closed: number;
  };
}

/**
 * Why handshakes fail: credentials (`authentication`), different security at the two ends (`mechanism`), a peer that is not of
 * this protocol or a socket type that does not fit (`protocol`), and peers that left before it was over (`other`).
 */
export type ProxyHandshakeReason = "authentication" | "mechanism" | "protocol" | "other";

/** One side's statistics. */
export interface ProxySideStats {
  readonly type: ProxySocketType;
  /** Where it listens, wildcards filled in. */
  readonly endpoints: readonly string[];
  /** What it connects to, but for endpoints of a source. */
  readonly connected: readonly string[];
  /** Connected peers; `undefined` where the engine cannot know. */
  readonly peers: number | undefined;
  /** Connections made again after a loss; `undefined` where the engine cannot know. */
  readonly reconnects: number | undefined;
  /** Handshakes that failed, by reason; those that a policy refused before are in `refused`. */
  readonly handshakeErrors: Readonly<Record<ProxyHandshakeReason, number>>;
  readonly in: ProxyIncoming;
  readonly out: ProxyOutgoing;
  /**
   * What the side's policy refused, by reason: connections (`address`, `key`, `size`), messages and subscriptions (`topic`),
   * and how often reading was held back (`rate`).
   */
  readonly refused: ProxyPolicyRefusals;
}

/** A capture's statistics. */
export interface ProxyCaptureStats {
  /** Messages that the capture socket took. */
  readonly captured: number;
  /** Messages that it did not take; of a PUB, copies that a subscriber was too slow for, or left before it got them. */
  readonly missed: number;
  /** Messages, or copies, that wait for a listener, as far as the engine knows. */
  readonly queued: number;
  /** Connected listeners; `undefined` where the engine cannot know. */
  readonly peers: number | undefined;
}

/** A control socket's statistics. */
export interface ProxyControlStats {
  /** Commands that were carried out. */
  readonly commands: number;
  /** Messages that were not a command, or did not fit the proxy's state. */
  readonly refused: number;
}

/** What was left when a drain ended. */
export interface ProxyDrainResult {
  /** Whether nothing was. */
  readonly drained: boolean;
  /** Messages that had come in and were not passed on. */
  readonly received: number;
  /** Messages that were passed on and had not left, as far as the engine can count. */
  readonly queued: number;
  /** Requests of the last minute that were passed on and had no reply. */
  readonly unanswered: number;
}

/** A proxy's statistics, all counts since it started. */
export interface ProxyStats {
  /** Where it was given one. */
  readonly name?: string;
  readonly state: ProxyState;
  readonly frontend: ProxySideStats;
  readonly backend: ProxySideStats;
  /** Requests of the last minute that were passed on and have no reply yet; 0 where none are expected. */
  readonly unanswered: number;
  /** Proxies among its peers that lead back to it, itself among them; 0 where the engine cannot know. */
  readonly loops: number;
  readonly capture?: ProxyCaptureStats;
  readonly control?: ProxyControlStats;
  /** What the drain came to, once it is over. */
  readonly drain?: ProxyDrainResult;
}

/** @param incoming the pump that reads this side, if there is one @param outgoing the one that writes to it @param refused by its policy @param handshakeErrors so far */
export function sideStats(
  type: ProxySocketType,
  opened: ProxySocket | undefined,
  incoming: Pump | undefined,
  outgoing: Pump | undefined,
  refused: ProxyPolicyRefusals,
  handshakeErrors: Readonly<Record<ProxyHandshakeReason, number>>,
): ProxySideStats {
  const counters = opened === undefined ? undefined : countersOf(opened.socket);
  const engine = opened === undefined ? undefined : engineStats(opened.socket);
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
        closed: counters?.dropped.closed ?? 0,
      },
    },
    refused,
  };
}

/** What libzmq reports of a side. */
export function steeringOf(side: ProxySideStats): SteeringCounts {
  return { in: side.in, out: side.out };
}
