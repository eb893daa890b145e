/** What happens at a proxy. */
import type { HandshakeError } from "../core/errors.js";
import type { WayBack } from "./neighbours.js";
import type { ProxySideName } from "./pairs.js";
import type { PolicyReason } from "./policy/policy.js";
import type { DrainResult } from "./stats.js";

/** Where a proxy's sockets listen, wildcards filled in. */
export interface ProxyListening {
  readonly frontend: readonly string[];
  readonly backend: readonly string[];
  readonly capture: readonly string[];
  readonly control: readonly string[];
}

/** Why a side did not send a message. */
export type ProxyDropReason = "unroutable" | "peer-full" | "disconnected" | "closed";

/** An event of a proxy. Those of bursts are told once for each: the next after a second without one. */
export type ProxyEvent =
  | { readonly type: "start"; readonly endpoints: ProxyListening }
  | { readonly type: "pause" }
  | { readonly type: "resume" }
  /** A drain begins: nothing new is taken in any more, or soon. */
  | { readonly type: "drain"; readonly timeout: number }
  /** It is over. */
  | { readonly type: "drained"; readonly result: DrainResult }
  /** The proxy has ended. */
  | { readonly type: "stop" }
  /** A burst: the capture socket, or one of its listeners, was too slow, and `missed` so many in all. */
  | { readonly type: "capture:drop"; readonly missed: number }
  /** A burst: messages come back to this proxy; `loops` times in all at this side it was noticed. */
  | {
      readonly type: "loop";
      readonly side: ProxySideName | "capture";
      /**
       * How: a `request` came again and again, and was dropped; this proxy is connected to `itself`; a `neighbour`, another
       * proxy that takes what goes out here gives what comes in. The last two as far as policies let messages pass.
       */
      readonly by: "request" | WayBack;
      readonly loops: number;
    }
  /** A burst: messages without the frames that they have to have, so many in all. */
  | { readonly type: "malformed"; readonly side: ProxySideName; readonly messages: number }
  /** A burst: a side did not send messages, so many in all for this reason. */
  | {
      readonly type: "drop";
      readonly side: ProxySideName;
      readonly reason: ProxyDropReason;
      readonly messages: number;
    }
  | { readonly type: "peer:join"; readonly side: ProxySideName; readonly address: string }
  | {
      readonly type: "peer:leave";
      readonly side: ProxySideName;
      readonly address: string;
      readonly reason: "local" | "remote" | "heartbeat" | "protocol" | "unknown";
    }
  | {
      readonly type: "peer:refused";
      readonly side: ProxySideName;
      readonly address: string;
      readonly error: HandshakeError;
    }
  /** A burst: a side's policy refused peers or messages, so many in all for this reason. */
  | {
      readonly type: "policy";
      readonly side: ProxySideName;
      readonly reason: PolicyReason;
      readonly refused: number;
      /** The peer that it began with, where it is known: its network address, without a port. */
      readonly address?: string;
      /** Its key, of a peer that was refused for it; Z85. */
      readonly publicKey?: string;
    }
  /** The keys of a side's policy were read, and are others than before. */
  | {
      readonly type: "keys";
      readonly side: ProxySideName;
      /** How many there are. */
      readonly keys: number;
      /** Peers that were disconnected because theirs has gone. */
      readonly revoked: number;
      /** What could not be read, and is no key therefore: a file's name with what is wrong, or the folder. Never a key. */
      readonly problems: readonly string[];
    }
  /** A burst: a message could not be passed, for a reason that nobody has foreseen. The proxy goes on. */
  | { readonly type: "error"; readonly error: unknown };
