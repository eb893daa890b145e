/**
 * Who is connected, from the monitor's events: a pure fold.
 *
 * libzmq names the endpoint in its events, not the peer, and reports the end of
 * a connection that never finished its handshake just like any other. So a
 * failed handshake is remembered until its `disconnect` comes.
 */
import type { DisconnectReason, SocketEvent } from "../events.js";
import { eventError } from "./errors.js";
import type { NativeEvent } from "./native.js";

interface Endpoint {
  peers: number;
  failed: number;
  connecting: boolean;
  wasConnected: boolean;
}

export class PeerTable {
  readonly #endpoints = new Map<string, Endpoint>();
  #connected = 0;
  #reconnects = 0;

  /** Peers whose handshake is complete. */
  get connected(): number {
    return this.#connected;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  /** This side connects to `address`. */
  connecting(address: string): void {
    this.#at(address).connecting = true;
  }

  /** This side disconnects from `address`; libzmq reports nothing then. */
  disconnecting(address: string): SocketEvent[] {
    const endpoint = this.#endpoints.get(address);
    if (endpoint === undefined) return [];
    this.#endpoints.delete(address);
    this.#connected -= endpoint.peers;
    return endpoint.peers > 0 ? this.#left(address, "local") : [];
  }

  /** What the program is told of one native event. */
  hear(event: NativeEvent): SocketEvent[] {
    const address = event.address ?? "";
    switch (event.type) {
      case "handshake": {
        const endpoint = this.#at(address);
        endpoint.peers += 1;
        this.#connected += 1;
        if (endpoint.connecting && endpoint.wasConnected) this.#reconnects += 1;
        endpoint.wasConnected = true;
        return [
          { type: "handshake", address },
          { type: "peer:join", address },
        ];
      }
      case "handshake:error:auth":
      case "handshake:error:protocol":
      case "handshake:error:other":
        this.#at(address).failed += 1;
        return [{ type: event.type, address, error: eventError(event) } as SocketEvent];
      case "disconnect": {
        const endpoint = this.#at(address);
        if (endpoint.failed > 0) {
          endpoint.failed -= 1;
          return [{ type: "disconnect", address, reason: "unknown" }];
        }
        if (endpoint.peers === 0) return [];
        endpoint.peers -= 1;
        this.#connected -= 1;
        return this.#left(address, "unknown");
      }
      case "connect:retry":
        return [{ type: "connect:retry", address, interval: event.interval ?? 0 }];
      case "accept:error":
      case "bind:error":
      case "close:error":
        return [{ type: event.type, address, error: eventError(event) }];
      case "accept":
      case "bind":
      case "connect":
      case "connect:delay":
      case "close":
        return [{ type: event.type, address }];
      default:
        return [{ type: "unknown" }];
    }
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
      endpoint = { peers: 0, failed: 0, connecting: false, wasConnected: false };
      this.#endpoints.set(address, endpoint);
    }
    return endpoint;
  }
}
