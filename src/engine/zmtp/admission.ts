/** Chooses each handshake's mechanism, and authenticates peers. */
import { isBytes } from "../../core/bytes.js";
import type { ShoalError } from "../../core/errors.js";
import type { OptionValues } from "../../core/option-table.js";
import { decodeZ85 } from "../../core/z85.js";
import type { PeerCredentials } from "../engine.js";
import { faultEvents } from "./errors.js";
import {
  type ChosenMechanism,
  type CurveParts,
  chosenMechanism,
  type Fault,
  type Mechanism,
  type MechanismOptions,
  type Verdict,
} from "./mechanism/mechanism.js";
import { BareMechanism, NullMechanism } from "./mechanism/null.js";
import { PlainClient, PlainServer } from "./mechanism/plain.js";
import { identityOf, propertiesOf } from "./options.js";
import { wireNameOf } from "./routing/routing.js";
import type { SocketState } from "./socket-state.js";
import { ZAP_ENDPOINT } from "./zap.js";

export function mechanismOf(
  { name, isServer }: ChosenMechanism,
  options: MechanismOptions,
  curve: CurveParts,
): Mechanism {
  if (name === "CURVE") return isServer ? curve.server(options) : curve.client(options);
  if (name === "PLAIN") return isServer ? new PlainServer(options) : new PlainClient(options);
  return new NullMechanism(options);
}

function key(value: string | Uint8Array | null): Uint8Array | undefined {
  if (typeof value === "string") return decodeZ85(value);
  return isBytes(value) ? value : undefined;
}

export class Admission {
  readonly #state: SocketState;
  readonly #parts: { readonly curve: CurveParts };
  /** Authentications in progress, at most `maxPendingHandshakes`. */
  #asked = 0;
  /** Gives each connection a place among them. */
  readonly #waiting = new Map<object, () => void>();
  #decoded: Decoded | undefined = undefined;

  constructor(state: SocketState, parts: { readonly curve: CurveParts }) {
    this.#state = state;
    this.#parts = parts;
  }

  /** @throws ShoalError for options that make every handshake fail */
  check(): void {
    // NULL works with any options.
    if (this.mechanismName !== "NULL") this.mechanism();
  }

  /**
   * @param isBare for a stream without a handshake (45/ZWS, No Mechanism)
   * @param isTrusted for a peer in this process
   * @throws as `check`
   */
  mechanism(isBare = false, isTrusted = false): Mechanism {
    const { options } = this.#state;
    if (isTrusted) return new NullMechanism({ properties: this.#properties, asks: false });
    const chosen = chosenMechanism(options);
    const asks = this.#authenticator(chosen) !== undefined;
    if (isBare && chosen.name === "NULL") return new BareMechanism({ asks }, identityOf(options));
    const given: MechanismOptions = {
      properties: this.#properties,
      asks,
      plainUsername: options.plainUsername ?? "",
      plainPassword: options.plainPassword ?? "",
      curveSecretKey: this.#secretKey,
      curveServerKey: key(options.curveServerKey),
    };
    return mechanismOf(chosen, given, this.#parts.curve);
  }

  /** One array as long as the option stays, since the public key is kept with it (mechanism/curve-box.ts). */
  get #secretKey(): Uint8Array | undefined {
    const given = this.#state.options.curveSecretKey;
    if (this.#decoded?.given !== given) this.#decoded = { given, bytes: key(given) };
    return this.#decoded.bytes;
  }

  get mechanismName(): string {
    return chosenMechanism(this.#state.options).name;
  }

  /**
   * A peer that disconnects keeps its place until the program has answered, or for `handshakeInterval`, so that
   * repeated connects cannot start more.
   *
   * @param onAsk called when the program is asked about the peer, maybe after others
   */
  async authenticate(connection: object, peer: PeerCredentials, onAsk: () => void): Promise<Verdict> {
    const { options } = this.#state;
    if (this.#asked < options.maxPendingHandshakes) this.#asked += 1;
    else await new Promise<void>((go) => void this.#waiting.set(connection, go));
    onAsk();
    let hasPlace = true;
    const leavePlace = (): void => {
      if (hasPlace) this.#left();
      hasPlace = false;
    };
    const { handshakeInterval } = options;
    const timer = handshakeInterval > 0 ? setTimeout(leavePlace, handshakeInterval).unref() : undefined;
    try {
      return (await this.#authenticator(chosenMechanism(options))?.(peer)) ?? false;
    } finally {
      clearTimeout(timer);
      leavePlace();
    }
  }

  forget(connection: object): void {
    this.#waiting.delete(connection);
  }

  #left(): void {
    this.#asked -= 1;
    for (const [connection, go] of this.#waiting) {
      if (this.#asked >= this.#state.options.maxPendingHandshakes) return;
      this.#asked += 1;
      this.#waiting.delete(connection);
      go();
    }
  }

  anonymous(address: string): PeerCredentials {
    return { mechanism: this.mechanismName, address, domain: this.#state.options.zapDomain ?? "" };
  }

  /** @returns the error of the first event */
  report(fault: Fault, endpoint: string, peer = { address: endpoint, remote: endpoint }): ShoalError {
    const events = faultEvents(fault, endpoint, peer, this.mechanismName);
    for (const event of events) this.#state.effects.event(event);
    return events[0].error;
  }

  /** Those without a routing id share one array. */
  get #properties(): Uint8Array {
    const { options, type } = this.#state;
    const wireName = wireNameOf(type);
    return options.routingId === null ? usualProperties(wireName, options) : propertiesOf(options, wireName);
  }

  /**
   * The socket's hook, else the context's ZAP service by libzmq's rules: NULL asks only with a domain, PLAIN
   * and CURVE servers always.
   */
  #authenticator({ name, isServer }: ChosenMechanism): Authenticate | undefined {
    const { listener, names, options, zap } = this.#state;
    const authenticate = listener.engineAuthenticate;
    if (authenticate !== undefined) return async (peer) => (await authenticate(peer)) === true;
    const domain = options.zapDomain ?? "";
    if (name === "NULL" ? domain === "" : !isServer) return undefined;
    if (zap !== undefined && names?.has(ZAP_ENDPOINT) === true)
      return (peer) => zap.ask(peer, identityOf(options));
    return options.zapEnforceDomain === true && domain !== "" ? async () => false : undefined;
  }
}

/** Shared by sockets without a routing id; one entry per type. */
const usual = new Map<string, Uint8Array>();

function usualProperties(wireName: string, options: Readonly<OptionValues>): Uint8Array {
  const bytes = usual.get(wireName) ?? propertiesOf(options, wireName);
  usual.set(wireName, bytes);
  return bytes;
}

interface Decoded {
  readonly given: OptionValues["curveSecretKey"];
  readonly bytes: Uint8Array | undefined;
}

type Authenticate = (peer: PeerCredentials) => Promise<Verdict>;
