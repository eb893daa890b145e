/**
 * TLS over TCP. A stream is passed on once TCP is connected: handshakeInterval and maxPendingHandshakes bound
 * the TLS handshake, too.
 *
 *   TCP --certificates checked--> secure: ZMTP
 *    |
 *    +--malformed, not trusted, another version--> ends with its fault; no bytes were passed on
 *
 * Keys, certificates and authorities are options:
 *
 *   bind      tlsCert and tlsKey; with tlsCa each peer needs a certificate signed by one of these authorities
 *   connect   tlsCa has the trusted authorities, by default the system's; tlsCert and tlsKey for servers that ask for them
 *
 * Options are read for each handshake, so certificates can be renewed.
 */
import type { X509Certificate } from "node:crypto";
import { connect, isIP, type Server, type Socket } from "node:net";
import type { PeerCertificate, SecureContext, TLSSocket } from "node:tls";
import { checkAuthorities } from "../../../core/arguments.js";
import {
  InvalidArgumentError,
  NotSupportedError,
  type ShoalError,
  TransportError,
} from "../../../core/errors.js";
import { onTlsError, pendingOf, verifyError } from "../../../core/node-internals.js";
import { type EndpointUse, parseHostPort } from "../../../core/schemes/grammar.js";
import { ignore } from "../../../core/waiter.js";
import { type Fault, handshakeFault, protocolFault } from "../mechanism/mechanism.js";
import { KernelStream, makeServer, overTcp, peerOf, tune } from "./tcp.js";
import type { Acceptor, Stream, Transport, TransportOptions } from "./transport.js";

type CodedError = Error & { readonly code?: string };

class TlsStream extends KernelStream<TLSSocket> {
  override readonly prompt = false;
  /** Knows the bytes that the kernel has not taken. */
  readonly #raw: Socket;
  readonly #isServer: boolean;
  #secured = false;
  #error: CodedError | undefined = undefined;
  #fault: Fault | undefined = undefined;
  #onOpen: (() => void) | undefined = undefined;

  constructor(socket: TLSSocket, raw: Socket, isServer: boolean) {
    const { remote, address } = peerOf("tls", raw);
    super(socket, remote, address);
    this.#raw = raw;
    this.#isServer = isServer;
    raw.on("error", ignore);
    socket.unref();
    socket.on("error", (error) => {
      this.#error ??= error;
    });
    // An alert after the handshake makes the stream useless.
    onTlsError(socket, (error) => socket.destroy(error));
    socket.disableRenegotiation();
  }

  /** @param fault why the peer is refused in spite of a complete handshake */
  secured(fault: Fault | undefined): void {
    this.#secured = true;
    this.#fault ??= fault;
    const opened = this.#onOpen;
    this.#onOpen = undefined;
    if (fault !== undefined) this.socket.destroy(new Error(fault.message));
    else opened?.();
  }

  onceOpen(listener: () => void): void {
    this.#onOpen = listener;
  }

  get opening(): boolean {
    return !this.#secured;
  }

  override pending(): number {
    return pendingOf(this.#raw);
  }

  get certificate(): X509Certificate | undefined {
    return this.socket.getPeerX509Certificate();
  }

  fault(silent: boolean): Fault | undefined {
    const error = this.#error;
    const fault = this.#fault ?? (error === undefined ? undefined : this.#tlsFault(error));
    if (fault !== undefined) return fault;
    if (this.#secured) return silent && !this.#isServer ? HUNG_UP : undefined;
    return handshakeFault(
      error === undefined
        ? "the peer hung up during the TLS handshake"
        : `the TLS handshake failed: ${reasonOf(error)}`,
    );
  }

  /** `undefined`: an error of the connection. */
  #tlsFault(error: CodedError): Fault | undefined {
    const { code = "" } = error;
    // Servers on Bun; on Node.js `secured` has the fault already, and Deno reports only the code.
    if (this.socket.authorizationError || X509_CODE.test(code)) return notTrusted(error);
    // EPROTO: OpenSSL's error during a write.
    if (!/^(?:ERR_SSL_|ERR_TLS_|EPROTO$)/.test(code)) return undefined;
    const reason = reasonOf(error);
    if (reason === NO_CERTIFICATE || code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE")
      return { kind: "refused", code: "ERR_AUTHENTICATION", message: "TLS: the peer has no certificate" };
    if (/\balert\b/.test(reason)) return handshakeFault(`the peer ended TLS: ${reason}`);
    return protocolFault("ERR_PROTOCOL", `TLS: ${reason}`);
  }
}

/** OpenSSL's text; during a write the code is only EPROTO. */
const NO_CERTIFICATE = "peer did not return a certificate";
const X509_CODE =
  /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA$|HOSTNAME_MISMATCH$|ERR_TLS_CERT_)/;

/** A client of TLS 1.3 is done before the server checks its certificate (RFC 8446, Certificate). */
const HUNG_UP = handshakeFault(
  "the server hung up directly after the TLS handshake, as one does that does not accept this side's certificate, or needs one (tlsCert, tlsKey)",
);

/** Strips addresses, file names and line numbers. */
function reasonOf(error: Error & { readonly reason?: unknown }): string {
  const reason =
    typeof error.reason === "string"
      ? error.reason
      : /SSL routines:[^:]*:([^:]+)(?::|$)/.exec(error.message)?.[1];
  if (reason === undefined) return error.message.slice(0, 300);
  // Bun's BoringSSL has the constant's name.
  return /^[A-Z0-9_]+$/.test(reason) ? reason.replaceAll("_", " ").toLowerCase() : reason;
}

function notTrusted(error: CodedError): Fault {
  const code = error.code === undefined ? "" : ` (${error.code})`;
  return {
    kind: "refused",
    code: "ERR_AUTHENTICATION",
    message: `TLS: the peer's certificate is not accepted: ${error.message.slice(0, 300)}${code}`,
    cause: error,
  };
}

/** Certificates may have been renewed. */
function now(options: TransportOptions): TransportOptions {
  return options.live ?? options;
}

function server(endpoint: string, options: TransportOptions, acceptor: Acceptor): Server {
  let failing = false;
  const credentials = () => {
    const current = now(options);
    try {
      contextOf(current, "bind");
      failing = false;
    } catch (error) {
      // Reported once; meanwhile peers get the socket's last valid ones.
      if (!failing) acceptor.failed(refusedOptions(endpoint, error as Error));
      failing = true;
    }
    return lastContextOf(current);
  };
  credentials();
  return makeServer(endpoint, acceptor, (raw) => {
    tune(raw, options);
    const current = credentials();
    if (current === undefined || raw.remoteAddress === undefined) {
      raw.destroy();
      return;
    }
    const { context: secureContext, asks: requestCert } = current;
    const { TLSSocket } = process.getBuiltinModule("node:tls");
    const socket = new TLSSocket(raw, {
      isServer: true,
      secureContext,
      requestCert,
      rejectUnauthorized: requestCert,
    });
    const stream = new TlsStream(socket, raw, true);
    socket.on("secure", () => {
      const error = requestCert ? clientFault(socket) : undefined;
      stream.secured(error === undefined ? undefined : notTrusted(error));
    });
    acceptor.accepted(stream);
  });
}

/** Deno accepts any client's. */
const CHECKS_CLIENTS = process.versions.deno === undefined;

function clientFault(socket: TLSSocket): Error | undefined {
  return CHECKS_CLIENTS ? verifyError(socket) : new Error("Deno does not check the certificates of clients");
}

function refusedOptions(endpoint: string, cause: Error): ShoalError {
  const message = `${endpoint} goes on with its last certificate: ${cause.message}`;
  return new TransportError("ERR_TRANSPORT", message, { endpoint, cause });
}

function secure(raw: Socket, endpoint: string, options: TransportOptions): Stream {
  const current = now(options);
  const name = current.tlsServerName ?? parseHostPort(endpoint).host.replace(/%.*$/, "");
  tune(raw, options);
  const socket = process.getBuiltinModule("node:tls").connect({
    socket: raw,
    secureContext: contextOf(current, "connect"),
    host: name,
    // Addresses are not sent (RFC 6066), but must be in the certificate.
    ...(isIP(name) === 0 ? { servername: name } : {}),
    rejectUnauthorized: true,
    checkServerIdentity: (_, certificate) =>
      current.tlsCheckName ? identityFault(name, certificate) : undefined,
  });
  const stream = new TlsStream(socket, raw, false);
  socket.once("secureConnect", () => stream.secured(undefined));
  return stream;
}

export const tls: Transport = {
  ...overTcp("tls", server, (target, endpoint, options) => {
    const socket = connect(target);
    return { socket, stream: () => secure(socket, endpoint, options) };
  }),
  raw: false,

  assertUsable(use, options) {
    contextOf(now(options), use);
    if (use === "connect" || CHECKS_CLIENTS || now(options).tlsCa === null) return;
    throw new NotSupportedError(
      "Deno does not check the certificates of clients: to bind tls:// or wss:// there, leave tlsCa out, and authenticate clients by CURVE or PLAIN",
    );
  },
};

// --- Keys and certificates -------------------------------------------------------------------------------------------

type TlsOptions = Pick<
  TransportOptions,
  "tlsCert" | "tlsKey" | "tlsPassphrase" | "tlsCa" | "tlsServerName" | "tlsCheckName" | "tlsMinVersion"
>;

interface WithSystemCertificates {
  getCACertificates?(type: "default" | "system"): readonly string[];
}

const CONTEXT_OPTIONS = ["tlsCert", "tlsKey", "tlsPassphrase", "tlsCa", "tlsMinVersion"] as const;

interface Kept {
  readonly values: readonly unknown[];
  readonly context: SecureContext;
  /** Peers need a certificate. */
  readonly asks: boolean;
}

/** The last valid context of each socket: making one takes milliseconds. */
const contexts = new WeakMap<object, { bind?: Kept; connect?: Kept }>();

/** @throws InvalidArgumentError `EINVAL` for missing, malformed or mismatched keys and certificates */
export function contextOf(options: TlsOptions, use: EndpointUse): SecureContext {
  let both = contexts.get(options);
  if (both === undefined) {
    both = {};
    contexts.set(options, both);
  }
  const values = CONTEXT_OPTIONS.map((name) => options[name]);
  const kept = both[use];
  if (kept?.values.every((value, at) => value === values[at])) return kept.context;
  const context = makeContext(options, use);
  both[use] = { values, context, asks: options.tlsCa !== null };
  return context;
}

/** For a server whose present options are invalid. */
function lastContextOf(options: TlsOptions): Omit<Kept, "values"> | undefined {
  return contexts.get(options)?.bind;
}

function makeContext(options: TlsOptions, use: EndpointUse): SecureContext {
  const { tlsCert, tlsKey, tlsPassphrase, tlsCa, tlsMinVersion } = options;
  if (use === "bind" && (tlsCert === null || tlsKey === null))
    throw new InvalidArgumentError("To bind tls:// the socket needs the options tlsCert and tlsKey, in PEM");
  if ((tlsCert === null) !== (tlsKey === null))
    throw new InvalidArgumentError("The options tlsCert and tlsKey go together");
  // Node.js ignores an empty text (a file during its rewrite), and refuses every peer.
  if (tlsCert === "" || tlsKey === "")
    throw new InvalidArgumentError("tlsCert and tlsKey cannot be used: one of them is empty");
  if (tlsCa !== null) checkAuthorities("The option tlsCa", tlsCa);
  if (!CHECKS_KEYS) checkKey(options);
  const ca = tlsCa ?? (use === "connect" ? systemCertificates() : undefined);
  try {
    return process.getBuiltinModule("node:tls").createSecureContext({
      minVersion: tlsMinVersion,
      ...(tlsCert === null ? {} : { cert: tlsCert }),
      ...(tlsKey === null ? {} : { key: tlsKey }),
      ...(tlsPassphrase === null ? {} : { passphrase: tlsPassphrase }),
      ...(ca === undefined ? {} : { ca: ca as string | string[] }),
      // A resumed session would skip the check of the client's certificate; OpenSSL refuses it with an alert.
      ...(use === "bind" && tlsCa !== null ? { secureOptions: crypto().constants.SSL_OP_NO_TICKET } : {}),
    });
  } catch (error) {
    throw new InvalidArgumentError(`tlsCert, tlsKey and tlsCa cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Deno checks keys only with the first peer. */
const CHECKS_KEYS = process.versions.deno === undefined;

function checkKey({ tlsCert, tlsKey, tlsPassphrase }: TlsOptions): void {
  if (tlsCert === null || tlsKey === null) return;
  let fits = false;
  try {
    const passphrase = tlsPassphrase === null ? {} : { passphrase: tlsPassphrase };
    const { createPrivateKey, X509Certificate } = crypto();
    fits = new X509Certificate(tlsCert).checkPrivateKey(createPrivateKey({ key: tlsKey, ...passphrase }));
  } catch (error) {
    throw new InvalidArgumentError(`tlsCert and tlsKey cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (!fits)
    throw new InvalidArgumentError("tlsCert and tlsKey cannot be used: the key is another certificate's");
}

/** Loaded with TLS: it takes several ms. */
function crypto(): typeof import("node:crypto") {
  return process.getBuiltinModule("node:crypto");
}

/** `undefined`: Node.js uses its own. */
function systemCertificates(): readonly string[] | undefined {
  const { getCACertificates } = process.getBuiltinModule("node:tls") as WithSystemCertificates;
  if (getCACertificates === undefined) return undefined;
  return [...new Set([...getCACertificates("default"), ...getCACertificates("system")])];
}

/** Node.js 22.23 never matches IPv6 addresses (its `domainToASCII` returns an empty text). */
function identityFault(host: string, certificate: PeerCertificate): Error | undefined {
  const fault = process.getBuiltinModule("node:tls").checkServerIdentity(host, certificate);
  if (fault === undefined || isIP(host) !== 6) return fault;
  return new (crypto().X509Certificate)(certificate.raw).checkIP(host) === undefined ? fault : undefined;
}
