/** Binding and connecting what the command line names, and hearing what comes of it. */
import type { EventOfType, Socket } from "../index.js";
import { asUsage, Failure } from "./failure.js";
import type { Log } from "./log.js";
import type { Settings } from "./options.js";

/** Transports whose peers the engine reports (docs/engines.md). */
const REPORTED = /^(?:tcp|ipc):/;

/** What ends a handshake before there is a peer. */
type HandshakeFault = EventOfType<
  "handshake:error:auth" | "handshake:error:protocol" | "handshake:error:other"
>;

/** What is known of a socket's peers. */
export interface Peers {
  /** Settles with the first peer; at once where the engine cannot tell. */
  readonly seen: Promise<void>;
  /** Rejects when the only way to a peer is barred: it refuses this side's credentials or mechanism. */
  readonly refused: Promise<never>;
}

/**
 * Says who comes, who goes and who is refused.
 *
 * A refusal is the end for a socket that only connects, since each further
 * attempt would bring it again; where peers come to us it is theirs to mend.
 */
export function watchPeers(socket: Socket, settings: Settings, log: Log): Peers {
  const { events } = socket;
  const curve = settings.curveServerKey !== undefined || settings.curveCertificate !== undefined;
  const connectsOnly = settings.bind.length === 0;
  const seen = new Promise<void>((resolve) => {
    if (![...settings.bind, ...settings.connect].every((endpoint) => REPORTED.test(endpoint))) resolve();
    events.on("peer:join", (event) => {
      log.detail(`a peer joined at ${event.address}`);
      resolve();
    });
  });
  events.on("peer:leave", (event) => log.detail(`a peer left at ${event.address}`));
  events.on("peer:refused", (event) => log.warnOnce(`${lowerFirst(event.error.message)}`));
  events.on("handshake:error:other", (event) => {
    log.warnOnce(handshakeFault(event, curve));
  });
  const refused = new Promise<never>((_, reject) => {
    events.on("handshake:error:auth", (event) => {
      if (connectsOnly) reject(new Failure(handshakeFault(event, curve)));
    });
    events.on("handshake:error:protocol", (event) => {
      const what = handshakeFault(event, curve);
      if (connectsOnly) reject(new Failure(what));
      else log.warnOnce(what);
    });
  });
  refused.catch(() => undefined); // Whoever waits hears of it; nobody may.
  return { seen, refused };
}

/** @throws UsageError for an endpoint that is none; the library's error for one that cannot be had */
export async function openEndpoints(socket: Socket, settings: Settings, log: Log): Promise<void> {
  for (const endpoint of settings.bind) {
    await asUsage(() => socket.bind(endpoint));
    log.info(`listening at ${socket.lastEndpoint ?? endpoint}`);
  }
  for (const endpoint of settings.connect) await asUsage(() => socket.connect(endpoint));
}

/** Why a handshake came to nothing, in words. @param curve whether this end has CURVE */
export function handshakeFault(event: HandshakeFault, curve: boolean): string {
  const { type, address, error } = event;
  switch (type) {
    case "handshake:error:auth":
      return `${address} refused: ${lowerFirst(error.message)}`;
    case "handshake:error:protocol":
      return `no handshake at ${address}: ${explain(error.code)}`;
    case "handshake:error:other":
      return `no handshake at ${address}: the peer hung up${curve ? "; is the server's key right?" : ""}`;
  }
}

function explain(code: string): string {
  switch (code) {
    case "ERR_ZMTP_MECHANISM_MISMATCH":
      return "the two ends use different security (PLAIN, CURVE or none)";
    case "ERR_ZMTP_CRYPTOGRAPHIC":
      return "a CURVE key is wrong";
    case "ERR_ZMTP_INVALID_METADATA":
      return "the socket types do not fit each other";
    default:
      return code;
  }
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
