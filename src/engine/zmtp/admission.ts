/** Who gets in: the mechanism of each handshake, and who judges what a peer presents. */
import type { SocketTypeName } from "../../core/socket-type.js";
import type { Announcement, PeerCredentials } from "../engine.js";
import type { InprocNames } from "./inproc-names.js";
import type { Mechanism, Verdict } from "./mechanism/mechanism.js";
import { createMechanism } from "./mechanism/select.js";
import { identityOf, mechanismOf, mechanismOptions } from "./options.js";
import { WIRE_NAMES } from "./routing/routing.js";
import { ZAP_ENDPOINT, type ZapClient } from "./zap-client.js";

/** Where a socket's questions about its peers go. */
export interface AdmissionHost {
  /** The program's own hook. */
  readonly authenticate: ((peer: PeerCredentials) => Promise<boolean>) | undefined;
  /** Asks the context's own authentication service. */
  readonly zap: ZapClient;
}

export class Admission {
  /** What each handshake says of this socket beside its type and its identity. */
  announcement: Announcement | undefined = undefined;
  readonly #names: InprocNames;
  readonly #type: SocketTypeName;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #host: AdmissionHost;

  constructor(
    names: InprocNames,
    type: SocketTypeName,
    options: Readonly<Record<string, unknown>>,
    host: AdmissionHost,
  ) {
    this.#names = names;
    this.#type = type;
    this.#options = options;
    this.#host = host;
  }

  /** @throws ShoalError for options with which no handshake could end well; asked before anybody is let in */
  mechanism(): Mechanism {
    const { name, isServer } = mechanismOf(this.#options);
    const asks = this.#judge(name, isServer) !== undefined;
    const wireName = WIRE_NAMES[this.#type];
    const options = mechanismOptions(this.#options, wireName, asks, this.announcement);
    return createMechanism(name, isServer, options);
  }

  judge(peer: PeerCredentials): Promise<Verdict> {
    const { name, isServer } = mechanismOf(this.#options);
    return this.#judge(name, isServer)?.(peer) ?? Promise.resolve(false);
  }

  /** What a peer counts as that presented nothing: it was not judged. */
  unjudged(address: string): PeerCredentials {
    const { name } = mechanismOf(this.#options);
    return { mechanism: name, address, domain: String(this.#options.zapDomain ?? "") };
  }

  /**
   * Who judges peers: the socket's hook, else a ZAP service bound in the context, by libzmq's rules: NULL asks it
   * only with a domain, PLAIN and CURVE servers always.
   */
  #judge(name: string, isServer: boolean): ((peer: PeerCredentials) => Promise<Verdict>) | undefined {
    const { authenticate } = this.#host;
    if (authenticate !== undefined) return async (peer) => (await authenticate(peer)) === true;
    const domain = String(this.#options.zapDomain ?? "");
    if (name === "NULL" ? domain === "" : !isServer) return undefined;
    if (this.#names.has(ZAP_ENDPOINT)) return (peer) => this.#host.zap.ask(peer, identityOf(this.#options));
    return this.#options.zapEnforceDomain === true && domain !== "" ? async () => false : undefined;
  }
}
