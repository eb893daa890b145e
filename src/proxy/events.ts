import type { HandshakeError, ProtocolError, ShoalError } from "../core/errors.js";
import { EventStream, type EventsOf, event } from "../core/event-stream.js";
import { systemClock } from "../core/timers.js";
import { listen } from "../sockets/internal.js";
import type { DroppedReason } from "../sockets/stats.js";
import type { ProxySide } from "./pairs.js";
import type { ProxyPolicyReason } from "./policy/policy.js";
import type { ProxySocket } from "./proxy-socket.js";
import type { ProxyDrainResult, ProxyHandshakeReason } from "./stats.js";

/** Bound endpoints without wildcards. */
export interface ProxyListening {
  readonly frontend: readonly string[];
  readonly backend: readonly string[];
  readonly capture: readonly string[];
  readonly control: readonly string[];
}

/** A socket's reasons, except those of a program's own calls: the engine owns relayed memory. */
export type ProxyDropReason = Exclude<DroppedReason, "detached" | "timeout" | "aborted">;

const NO_HANDSHAKES: Readonly<Record<ProxyHandshakeReason, number>> = {
  authentication: 0,
  mechanism: 0,
  "curve-key": 0,
  "socket-type": 0,
  protocol: 0,
  other: 0,
};

const EVENTS = {
  "proxy:started": event<{ readonly endpoints: ProxyListening }>(),
  "proxy:paused": event(),
  "proxy:resumed": event(),
  /** New messages are refused soon. `timeout`: ms. */
  "drain:started": event<{ readonly timeout: number }>(),
  "drain:ended": event<{ readonly result: ProxyDrainResult }>(),
  "proxy:stopped": event(),
  /** Burst: the capture socket or a subscriber was too slow. `missed`: total. */
  "capture:dropped": event<{ readonly missed: number }>(),
  /** Burst: a request returned to this proxy repeatedly, and was dropped. `loops`: total at this side. */
  "loop:detected": event<{ readonly side: ProxySide; readonly loops: number }>(),
  /** Burst: messages without the required frames. `messages`: total. */
  "message:invalid": event<{ readonly side: ProxySide; readonly messages: number }>(),
  /** Burst: a side did not send messages. `messages`: total for this reason. */
  "message:dropped": event<{
    readonly side: ProxySide;
    readonly reason: ProxyDropReason;
    readonly messages: number;
  }>(),
  "peer:joined": event<{ readonly side: ProxySide; readonly address: string }>(),
  "peer:left": event<{
    readonly side: ProxySide;
    readonly address: string;
    readonly reason: "local" | "remote" | "heartbeat" | "protocol" | "unknown";
  }>(),
  "peer:refused": event<{
    readonly side: ProxySide;
    readonly address: string;
    readonly error: HandshakeError;
  }>(),
  /** Burst: failed handshakes. `failed`: total for this reason. */
  "handshake:failed": event<{
    readonly side: ProxySide;
    readonly reason: ProxyHandshakeReason;
    readonly failed: number;
    /** The first failed peer, else the side's own endpoint. */
    readonly address: string;
    readonly error: HandshakeError | ProtocolError;
  }>(),
  /** Burst: a policy refused peers or messages. `refused`: total for this reason. */
  "policy:refused": event<{
    readonly side: ProxySide;
    readonly reason: ProxyPolicyReason;
    readonly refused: number;
    /** Address of the first peer, without port, if known. */
    readonly address?: string;
    readonly publicKey?: string;
  }>(),
  /** A side's keys have changed. */
  "keys:changed": event<{
    readonly side: ProxySide;
    readonly keys: number;
    /** Peers disconnected with their removed key. */
    readonly revoked: number;
    /** Unreadable files, or the folder, with the reason; never a key. */
    readonly problems: readonly string[];
  }>(),
  /** Burst: a message failed unexpectedly. The proxy continues. */
  "message:failed": event<{ readonly error: unknown }>(),
  /** A source threw (the error's `cause`), and is read again in `interval` ms. */
  "source:failed": event<{
    readonly side: ProxySide;
    readonly error: ShoalError;
    readonly interval: number;
  }>(),
  /** An endpoint of a source cannot be connected to. */
  "endpoint:refused": event<{
    readonly side: ProxySide;
    readonly address: string;
    readonly error: ShoalError;
  }>(),
  /** Burst: connections could not be accepted, as at a limit of files. `failed`: total. */
  "accept:failed": event<{ readonly side: ProxySide; readonly failed: number; readonly error: ShoalError }>(),
};

/**
 * Burst events are emitted once per burst of a fault, which ends after a second without it. Totals are since the start.
 */
export type ProxyEvent = EventsOf<typeof EVENTS>;

const PROTOCOL_REASONS: Readonly<Record<string, ProxyHandshakeReason>> = {
  ERR_ZMTP_MECHANISM_MISMATCH: "mechanism",
  ERR_ZMTP_CRYPTOGRAPHIC: "curve-key",
  ERR_ZMTP_INVALID_METADATA: "socket-type",
};

/** ms without a fault that end a burst. */
const QUIET = 1_000;

function handshakeReason(type: string, code: string): ProxyHandshakeReason {
  if (type === "handshake:error:auth") return "authentication";
  if (type === "handshake:error:other") return "other";
  return PROTOCOL_REASONS[code] ?? "protocol";
}

export class ProxyEvents {
  readonly events = new EventStream<ProxyEvent>({ names: EVENTS });
  readonly handshakes: Readonly<Record<ProxySide, Record<ProxyHandshakeReason, number>>> = {
    frontend: { ...NO_HANDSHAKES },
    backend: { ...NO_HANDSHAKES },
  };
  /** By name of the fault: when it last came, ms, and how often it has. */
  readonly #faults = new Map<string, { last: number; total: number }>();

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
      else if (type === "source:failed" || type === "endpoint:refused") this.events.emit({ ...event, side });
      else if (type === "accept:error")
        this.#inBurst(`${side} accept`, 1, (failed) =>
          this.events.emit({ type: "accept:failed", side, failed, error: event.error }),
        );
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

  captureMissed(count: number): void {
    this.#inBurst("capture", count, (missed) => this.events.emit({ type: "capture:dropped", missed }));
  }

  policyRefused(
    side: ProxySide,
    reason: ProxyPolicyReason,
    count: number,
    { address, publicKey }: { readonly address?: string; readonly publicKey?: string | undefined },
  ): void {
    this.#inBurst(`${side} policy ${reason}`, count, (refused) =>
      this.events.emit({
        type: "policy:refused",
        side,
        reason,
        refused,
        ...(address === undefined ? {} : { address }),
        ...(publicKey === undefined ? {} : { publicKey }),
      }),
    );
  }

  messageRefused(side: ProxySide, verdict: "malformed" | "loop"): void {
    this.#inBurst(`${side} ${verdict}`, 1, (total) => {
      if (verdict === "loop") this.events.emit({ type: "loop:detected", side, loops: total });
      else this.events.emit({ type: "message:invalid", side, messages: total });
    });
  }

  messageFailed(error: unknown): void {
    this.#inBurst("failed", 1, () => this.events.emit({ type: "message:failed", error }));
  }

  #inBurst(name: string, count: number, emit: (total: number) => void): void {
    const now = systemClock.now();
    const fault = this.#faults.get(name) ?? { last: Number.NEGATIVE_INFINITY, total: 0 };
    this.#faults.set(name, fault);
    const isFirst = now - fault.last >= QUIET;
    fault.last = now;
    fault.total += count;
    if (isFirst) emit(fault.total);
  }
}
