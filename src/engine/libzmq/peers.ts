/**
 * Counts connected peers from the monitor's events.
 *
 * libzmq's events name the endpoint rather than the peer, and a failed handshake is remembered until its
 * `disconnect`, which peers have, too. For unfit metadata libzmq reports only that: one soon after an `accept`
 * counts as the end of that handshake. If it later succeeds, a peer's leave is reported late.
 */

import { ProtocolError, TransportError } from "../../core/errors.js";
import { type Clock, systemClock } from "../../core/timers.js";
import type { DisconnectReason, SocketEvent } from "../events.js";
import { eventError, type NativeEvent } from "./native.js";

interface Endpoint {
  peers: number;
  failed: number;
  readonly shaking: number[];
  /** Ends counted for handshakes that may have been peers'. */
  doubtful: number;
  connecting: boolean;
  lost: number;
}

/** ms within which a handshake with unfit metadata fails. */
const HANDSHAKE_TIME = 1_000;

export class PeerTable {
  readonly #clock: Clock;
  readonly #raw: boolean;
  readonly #endpoints = new Map<string, Endpoint>();
  #connected = 0;
  #reconnects = 0;

  /** @param raw connections count as peers at once (STREAM) */
  constructor(raw = false, clock: Clock = systemClock) {
    this.#raw = raw;
    this.#clock = clock;
  }

  get connected(): number {
    return this.#connected;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  connecting(address: string): void {
    this.#at(address).connecting = true;
  }

  isConnecting(address: string): boolean {
    return this.#endpoints.get(address)?.connecting === true;
  }

  /** libzmq has no event for this side's disconnect. */
  disconnecting(address: string): SocketEvent[] {
    const endpoint = this.#endpoints.get(address);
    if (endpoint === undefined) return [];
    this.#endpoints.delete(address);
    this.#connected -= endpoint.peers;
    return endpoint.peers > 0 ? this.#left(address, "local") : [];
  }

  eventsFor(event: NativeEvent): SocketEvent[] {
    const address = event.address ?? "";
    switch (event.type) {
      case "handshake":
        return [...this.#shaken(address), { type: "handshake", address }, this.#joined(address)];
      case "handshake:error:auth":
      case "handshake:error:protocol":
      case "handshake:error:other":
        // A raw peer's `disconnect` follows.
        if (this.#raw) return [];
        this.#at(address).failed += 1;
        return [
          ...this.#shaken(address),
          { type: event.type, address, error: eventError(event) } as SocketEvent,
        ];
      case "disconnect": {
        const endpoint = this.#at(address);
        if (endpoint.failed > 0) {
          endpoint.failed -= 1;
          return [{ type: "disconnect", address, reason: "unknown" }];
        }
        const began = endpoint.shaking.at(-1);
        const recent = began !== undefined && this.#clock.now() - began <= HANDSHAKE_TIME;
        if (began !== undefined && (recent || endpoint.peers === 0)) {
          endpoint.shaking.pop();
          if (endpoint.peers === 0)
            return [unfit(address), { type: "disconnect", address, reason: "protocol" }];
          endpoint.doubtful += 1;
          return [{ type: "disconnect", address, reason: "unknown" }];
        }
        return endpoint.peers === 0 ? [] : this.#lose(endpoint, address);
      }
      case "connect:retry":
        return [
          { type: "connect:retry", address, interval: event.interval ?? 0, error: unreachable(address) },
        ];
      case "accept:error":
      case "bind:error":
      case "close:error":
        return [{ type: event.type, address, error: eventError(event) }];
      case "accept":
      case "connect":
        if (this.#raw) return [{ type: event.type, address }, this.#joined(address)];
        this.#at(address).shaking.push(this.#clock.now());
        return [{ type: event.type, address }];
      case "bind":
      case "connect:delay":
      case "close":
        return [{ type: event.type, address }];
      default:
        return [{ type: "unknown" }];
    }
  }

  /** @returns the leave of a peer that was counted for the handshake */
  #shaken(address: string): SocketEvent[] {
    const endpoint = this.#at(address);
    if (endpoint.shaking.shift() !== undefined || endpoint.doubtful === 0) return [];
    endpoint.doubtful -= 1;
    return this.#lose(endpoint, address).slice(1);
  }

  #lose(endpoint: Endpoint, address: string): SocketEvent[] {
    endpoint.peers -= 1;
    endpoint.doubtful = Math.min(endpoint.doubtful, endpoint.peers);
    this.#connected -= 1;
    if (endpoint.connecting) endpoint.lost += 1;
    return this.#left(address, "unknown");
  }

  #joined(address: string): SocketEvent {
    const endpoint = this.#at(address);
    endpoint.peers += 1;
    this.#connected += 1;
    if (endpoint.lost > 0) {
      endpoint.lost -= 1;
      this.#reconnects += 1;
    }
    return { type: "peer:join", address };
  }

  #left(address: string, reason: DisconnectReason): SocketEvent[] {
    return [
      { type: "disconnect", address, reason },
      { type: "peer:leave", address, reason },
    ];
  }

  #at(address: string): Endpoint {
    let endpoint = this.#endpoints.get(address);
    if (endpoint === undefined) {
      endpoint = { peers: 0, failed: 0, shaking: [], doubtful: 0, connecting: false, lost: 0 };
      this.#endpoints.set(address, endpoint);
    }
    return endpoint;
  }
}

function unreachable(endpoint: string): TransportError {
  return new TransportError("ERR_TRANSPORT", `No connection to ${endpoint}: libzmq does not report why`, {
    endpoint,
  });
}

function unfit(address: string): SocketEvent {
  const error = new ProtocolError(
    "Handshake failed: the peer's metadata does not fit, such as its socket type",
    "ERR_ZMTP_INVALID_METADATA",
    { endpoint: address },
  );
  return { type: "handshake:error:protocol", address, error };
}
