/**
 * Counts connected peers from the monitor's events.
 *
 * libzmq's events name the endpoint rather than the peer, and a failed handshake is remembered until its
 * `disconnect`, which peers have, too. For unfit metadata libzmq reports only that: one during a handshake counts as
 * its end. If the handshake later succeeds or fails, a peer's leave is reported late.
 */

import { ProtocolError, TransportError } from "../../core/errors.js";
import type { DisconnectReason, SocketEvent } from "../events.js";
import { eventError, type NativeEvent } from "./native.js";

interface Endpoint {
  peers: number;
  failed: number;
  shaking: number;
  /** Ends counted for handshakes that may have been peers'. */
  doubtful: number;
}

export class PeerTable {
  readonly #raw: boolean;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #dialled = new Set<string>();
  #connected = 0;

  /** @param raw connections count as peers at once (STREAM) */
  constructor(raw = false) {
    this.#raw = raw;
  }

  get connected(): number {
    return this.#connected;
  }

  connecting(address: string): void {
    this.#dialled.add(address);
  }

  isConnecting(address: string): boolean {
    return this.#dialled.has(address);
  }

  /** libzmq has no event for this side's disconnect. */
  disconnecting(address: string): SocketEvent[] {
    this.#dialled.delete(address);
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
        if (endpoint.shaking > 0) {
          endpoint.shaking -= 1;
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
        this.#at(address).shaking += 1;
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
    if (endpoint.shaking > 0) {
      endpoint.shaking -= 1;
      return [];
    }
    if (endpoint.doubtful === 0) return [];
    endpoint.doubtful -= 1;
    return this.#lose(endpoint, address).slice(1);
  }

  #lose(endpoint: Endpoint, address: string): SocketEvent[] {
    endpoint.peers -= 1;
    endpoint.doubtful = Math.min(endpoint.doubtful, endpoint.peers);
    this.#connected -= 1;
    return this.#left(address, "unknown");
  }

  #joined(address: string): SocketEvent {
    const endpoint = this.#at(address);
    endpoint.peers += 1;
    this.#connected += 1;
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
      endpoint = { peers: 0, failed: 0, shaking: 0, doubtful: 0 };
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
