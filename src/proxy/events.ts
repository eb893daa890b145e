/**
 * The events of a proxy, and what emits them. What may come in floods is emitted once for each burst, with how many there
 * have been in all.
 */

import { systemClock } from "../core/clock.js";
import type { HandshakeError, ProtocolError } from "../core/errors.js";
import { type EventNames, EventStream } from "../core/event-stream.js";
import { listen } from "../sockets/internal.js";
import type { DroppedReason } from "../sockets/stats.js";
import type { Place, ProxyLoopPeer } from "./loop-detector.js";
import type { ProxySide } from "./pairs.js";
import type { ProxyPolicyReason } from "./policy/policy.js";
import type { PolicyEffects } from "./policy/side-policy.js";
import type { ProxySocket } from "./proxy-socket.js";
import type { PumpsEffects } from "./pumps.js";
import type { ProxyDrainResult, ProxyHandshakeReason } from "./stats.js";

/** Where a proxy's sockets listen, wildcards filled in. */
export interface ProxyListening {
  readonly frontend: readonly string[];
  readonly backend: readonly string[];
  readonly capture: readonly string[];
  readonly control: readonly string[];
}

/**
 * Why a side did not send a message: as sockets have it, without what only a program's own calls meet. What a proxy passes
 * on is in the engine's memory, which no program can transfer.
 */
export type ProxyDropReason = Exclude<DroppedReason, "detached" | "timeout" | "aborted">;

const NO_HANDSHAKES: Readonly<Record<ProxyHandshakeReason, number>> = {
  authentication: 0,
  mechanism: 0,
  protocol: 0,
  other: 0,
};

/** An event of a proxy. Those of bursts are emitted once for each burst: the next after a second without one. */
export type ProxyEvent =
  | { readonly type: "proxy:started"; readonly endpoints: ProxyListening }
  | { readonly type: "proxy:paused" }
  | { readonly type: "proxy:resumed" }
  /** A drain has begun: nothing new is taken in any more, or soon. */
  | { readonly type: "drain:started"; readonly timeout: number }
  /** It is over. */
  | { readonly type: "drain:ended"; readonly result: ProxyDrainResult }
  /** The proxy has ended. */
  | { readonly type: "proxy:stopped" }
  /** A burst: the capture socket, or one of its listeners, was too slow, and `missed` so many in all. */
  | { readonly type: "capture:dropped"; readonly missed: number }
  /** A burst: messages come back to this proxy; `loops` times in all at this side it was noticed. */
  | {
      readonly type: "loop:detected";
      readonly side: ProxySide | "capture";
      /**
       * How: a `request` came again and again, and was dropped; this proxy is connected to `itself`; a `neighbour`, another
       * proxy that takes what goes out here gives what comes in. The last two as far as policies let messages pass.
       */
      readonly by: "request" | ProxyLoopPeer;
      readonly loops: number;
    }
  /** A burst: messages without the frames that they have to have, so many in all. */
  | { readonly type: "message:invalid"; readonly side: ProxySide; readonly messages: number }
  /** A burst: a side did not send messages, so many in all for this reason. */
  | {
      readonly type: "message:dropped";
      readonly side: ProxySide;
      readonly reason: ProxyDropReason;
      readonly messages: number;
    }
  | { readonly type: "peer:joined"; readonly side: ProxySide; readonly address: string }
  | {
      readonly type: "peer:left";
      readonly side: ProxySide;
      readonly address: string;
      readonly reason: "local" | "remote" | "heartbeat" | "protocol" | "unknown";
    }
  | {
      readonly type: "peer:refused";
      readonly side: ProxySide;
      readonly address: string;
      readonly error: HandshakeError;
    }
  /** A burst: handshakes at a side failed, so many in all for this reason. */
  | {
      readonly type: "handshake:failed";
      readonly side: ProxySide;
      readonly reason: ProxyHandshakeReason;
      readonly failed: number;
      /** Of the first: the peer where it is known, else the side's own endpoint. */
      readonly address: string;
      readonly error: HandshakeError | ProtocolError;
    }
  /** A burst: a side's policy refused peers or messages, so many in all for this reason. */
  | {
      readonly type: "policy:refused";
      readonly side: ProxySide;
      readonly reason: ProxyPolicyReason;
      readonly refused: number;
      /** The peer that it began with, where it is known: its network address, without a port. */
      readonly address?: string;
      /** Its key, of a peer that was refused for it; Z85. */
      readonly publicKey?: string;
    }
  /** The keys of a side's policy were read, and are others than before. */
  | {
      readonly type: "keys:changed";
      readonly side: ProxySide;
      /** How many there are. */
      readonly keys: number;
      /** Peers that were disconnected because theirs has gone. */
      readonly revoked: number;
      /** What could not be read, and therefore is not a key: a file's name with what is wrong, or the folder. Never a key. */
      readonly problems: readonly string[];
    }
  /** A burst: a message could not be passed for an unforeseen reason. The proxy continues. */
  | { readonly type: "message:failed"; readonly error: unknown };

/** Every event; another name throws. */
const NAMES: EventNames<ProxyEvent> = {
  "proxy:started": true,
  "proxy:paused": true,
  "proxy:resumed": true,
  "drain:started": true,
  "drain:ended": true,
  "proxy:stopped": true,
  "capture:dropped": true,
  "loop:detected": true,
  "message:invalid": true,
  "message:dropped": true,
  "peer:joined": true,
  "peer:left": true,
  "peer:refused": true,
  "handshake:failed": true,
  "policy:refused": true,
  "keys:changed": true,
  "message:failed": true,
};

/** ms without one, after which the next begins a new burst. */
const QUIET = 1_000;

/** Whether a fault begins a burst, so that an event is emitted once for each. Pure. */
export class EventThrottle {
  #last = Number.NEGATIVE_INFINITY;
  #total = 0;

  /** How many there were. */
  get total(): number {
    return this.#total;
  }

  /**
   * It has happened.
   *
   * @param now ms
   * @param count how often at once
   * @returns whether this is the first of a burst
   */
  note(now: number, count = 1): boolean {
    const first = now - this.#last >= QUIET;
    this.#last = now;
    this.#total += count;
    return first;
  }
}

function handshakeReason(type: string, code: string): ProxyHandshakeReason {
  if (type === "handshake:error:auth") return "authentication";
  if (type === "handshake:error:other") return "other";
  return code === "ERR_ZMTP_MECHANISM_MISMATCH" ? "mechanism" : "protocol";
}

/** Emits the events of a proxy's sides, policies and pumps. */
export class ProxyEvents {
  readonly events = new EventStream<ProxyEvent>({ names: NAMES });
  /** Handshakes that failed at each side. */
  readonly handshakes: Readonly<Record<ProxySide, Record<ProxyHandshakeReason, number>>> = {
    frontend: { ...NO_HANDSHAKES },
    backend: { ...NO_HANDSHAKES },
  };
  readonly #throttles = new Map<string, EventThrottle>();

  /** Passes on what happens at a side's socket. */
  listen(side: ProxySide, { socket }: ProxySocket): void {
    listen(socket, (event) => {
      const { type } = event;
      if (type === "drop") {
        const { reason } = event;
        if (reason === "detached") return;
        this.#inBurst(`${side} ${reason}`, event.messages, (messages) => {
          this.events.emit({ type: "message:dropped", side, reason, messages });
        });
      } else if (type === "peer:join")
        this.events.emit({ type: "peer:joined", side, address: event.address });
      else if (type === "peer:leave")
        this.events.emit({ type: "peer:left", side, address: event.address, reason: event.reason });
      else if (type === "peer:refused")
        this.events.emit({ type, side, address: event.address, error: event.error });
      else if (
        type === "handshake:error:auth" ||
        type === "handshake:error:protocol" ||
        type === "handshake:error:other"
      ) {
        const { error } = event;
        const reason = handshakeReason(type, error.code);
        this.handshakes[side][reason] += 1;
        const address = event.peer ?? event.address;
        this.#inBurst(`${side} handshake ${reason}`, 1, (failed) => {
          this.events.emit({ type: "handshake:failed", side, reason, failed, address, error });
        });
      }
    });
  }

  /** For a side's policy. */
  forPolicy(side: ProxySide): PolicyEffects {
    return {
      policyOnRefused: (reason, count, { address, publicKey }) =>
        this.#inBurst(`${side} policy ${reason}`, count, (refused) =>
          this.events.emit({
            type: "policy:refused",
            side,
            reason,
            refused,
            ...(address === undefined ? {} : { address }),
            ...(publicKey === undefined ? {} : { publicKey }),
          }),
        ),
      policyOnKeys: ({ keys, problems }, revoked) =>
        this.events.emit({ type: "keys:changed", side, keys: keys.size, revoked, problems }),
    };
  }

  /** For the pumps: what does not pass between the sides. */
  readonly forPumps: Pick<PumpsEffects, "refused" | "failed"> = {
    refused: (side, verdict) =>
      this.#inBurst(`${side} ${verdict}`, 1, (total) => {
        if (verdict === "loop")
          this.events.emit({ type: "loop:detected", side, by: "request", loops: total });
        else this.events.emit({ type: "message:invalid", side, messages: total });
      }),
    failed: (error) => this.#inBurst("failed", 1, () => this.events.emit({ type: "message:failed", error })),
  };

  /** Messages come back by a peer of this proxy. */
  loop(side: Place, by: ProxyLoopPeer): void {
    this.#inBurst(`${side} ${by}`, 1, (loops) =>
      this.events.emit({ type: "loop:detected", side, by, loops }),
    );
  }

  #inBurst(name: string, count: number, emit: (total: number) => void): void {
    let throttle = this.#throttles.get(name);
    if (throttle === undefined) {
      throttle = new EventThrottle();
      this.#throttles.set(name, throttle);
    }
    if (throttle.note(systemClock.now(), count)) emit(throttle.total);
  }
}
