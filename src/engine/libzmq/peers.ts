/**
 * Who is connected, from the monitor's events: a pure fold.
 *
 * libzmq names the endpoint in its events, not the peer, and reports the end of
 * a connection that never finished its handshake just like any other. So a
 * failed handshake is remembered until its `disconnect` comes.
 *
 * Of a peer whose metadata does not fit (a wrong socket type) it reports nothing
 * but the `disconnect`. Where others are connected that looks like one of them
 * leaving. A `disconnect` soon after an `accept` is therefore taken for the end
 * of that handshake; should the handshake then end well after all, it had been a
 * peer, whose leaving is reported late.
 */
import { type Clock, systemClock } from "../../core/clock.js";
import { ProtocolError, TransportError } from "../../core/errors.js";
import type { DisconnectReason, SocketEvent } from "../events.js";
import { eventError } from "./errors.js";
import type { NativeEvent } from "./native.js";

interface Endpoint {
  peers: number;
  failed: number;
  /** When the connections were made whose handshake has not ended. */
  readonly shaking: number[];
  /** Ends that were taken for a handshake's and may have been a peer's; no more than there are peers. */
  doubtful: number;
  connecting: boolean;
  /** Connections that were lost and have not been made again. */
  lost: number;
}

/** ms after its beginning in which a handshake with unfit metadata has certainly failed. */
const HANDSHAKE_TIME = 1_000;

export class PeerTable {
  readonly #clock: Clock;
  readonly #raw: boolean;
  readonly #endpoints = new Map<string, Endpoint>();
  #connected = 0;
  #reconnects = 0;

  /** @param raw connections have no handshake (STREAM): one that stands is a peer */
  constructor(raw = false, clock: Clock = systemClock) {
    this.#raw = raw;
    this.#clock = clock;
  }

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

  /** What the program gets for one native event. */
  eventsFor(event: NativeEvent): SocketEvent[] {
    const address = event.address ?? "";
    switch (event.type) {
      case "handshake":
        return [...this.#shaken(address), { type: "handshake", address }, this.#joined(address)];
      case "handshake:error:auth":
      case "handshake:error:protocol":
      case "handshake:error:other":
        // What libzmq makes of a raw peer's end; its `disconnect` follows.
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
        return [{ type: "connect:retry", address, interval: event.interval ?? 0, error: unreached(address) }];
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

  /** A handshake has ended, well or not. @returns a peer's leaving that was taken for its end */
  #shaken(address: string): SocketEvent[] {
    const endpoint = this.#at(address);
    if (endpoint.shaking.shift() !== undefined || endpoint.doubtful === 0) return [];
    endpoint.doubtful -= 1;
    return this.#lose(endpoint, address).slice(1); // The `disconnect` was reported.
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

function unreached(endpoint: string): TransportError {
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
