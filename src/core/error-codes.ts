/** The codes of all errors; they are API. docs/errors.md is generated from them, with each comment as "What to do". */

/** What is known about each error with a code. */
export interface ErrorCodeDetails {
  /**
   * Whether the same call may succeed later although the program changes nothing. A list: only with one of these as
   * `reason`.
   */
  readonly retryable: boolean | readonly string[];
  readonly meaning: string;
}

/** Every error code, whether its errors are retryable, and its meaning. scripts/rolldown/browser.js reads the rows' text. */
export const ERROR_CODES = {
  /** Correct the call; the text states what was expected. Nothing has changed. */
  EINVAL: { retryable: false, meaning: "An invalid argument, option, endpoint or message." },
  /** Retry, wait longer, or give up. An outgoing message was not sent; no message was lost. */
  EAGAIN: {
    retryable: true,
    meaning:
      "A timeout of send or receive, a full queue of the peer, or the socket closed while the call waited.",
  },
  /** Make a new socket. */
  EBADF: {
    retryable: false,
    meaning: "The socket, context or observer is closed, or the batch is disposed.",
  },
  /** Find who has the address, or bind another; port `*` finds a free one. */
  EADDRINUSE: { retryable: true, meaning: "The endpoint is already bound." },
  /** Bind an address of this machine, or `*` for all of them. */
  EADDRNOTAVAIL: { retryable: false, meaning: "The address to bind does not belong to this machine." },
  /** Use a port from 1024 up, a writable folder, or give the process permission. */
  EACCES: { retryable: false, meaning: "The process has no permission for this endpoint." },
  /** Name an interface that exists, or an address. */
  ENODEV: { retryable: false, meaning: "The network interface in the endpoint does not exist." },
  /** Use the endpoint as given or as `lastEndpoint` has it; create the folder of an ipc path first. */
  ENOENT: {
    retryable: false,
    meaning: "The endpoint is not bound or connected here, or an ipc path or its folder is missing.",
  },
  /** Choose a shorter ipc path; that of `ipc://*` is in TMPDIR. */
  ENAMETOOLONG: { retryable: false, meaning: "The ipc path is longer than the system allows." },
  /**
   * Lower `maxMessageSize` or `maxReceiveQueueBytes`, or raise the memory limit. The peer's connection has ended, or
   * nothing was sent.
   */
  ENOMEM: { retryable: true, meaning: "No memory for a peer's message, or for the copy of an outgoing one." },
  /** Start the peer; over inproc, bind in the same context. The socket retries (`connect:retry`). */
  ECONNREFUSED: { retryable: true, meaning: "Nothing listens at the endpoint." },
  /** Use a transport of this engine (docs/engines.md), or another engine. */
  EPROTONOSUPPORT: { retryable: false, meaning: "The endpoint's transport is unknown to this engine." },
  /** Use tcp, ipc or inproc for this socket type. */
  ENOCOMPATPROTO: { retryable: false, meaning: "The transport does not fit this socket type." },
  /** Give the request up, or wait until the peer joins. From a cluster's node: no member has this name. */
  EHOSTUNREACH: { retryable: true, meaning: "No peer with this routing id is connected." },
  /** Close sockets, or raise `maxSockets` or the limit of open files. Patterns report `endpoint:refused` and retry. */
  EMFILE: { retryable: true, meaning: "No room for another socket in the context or the process." },
  /** Lower `ioThreads`, or raise the process's limit of threads. */
  EMTHREAD: { retryable: false, meaning: "The context could not start its input and output threads." },
  /** End the program, too. */
  ETERM: { retryable: false, meaning: "The engine's context was terminated." },
  /** Send and receive in turn (Request, Reply); run a proxy once. */
  EFSM: { retryable: false, meaning: "The wrong state for this call." },
  /** Retry, wait longer, or report the peer as absent. */
  ETIMEDOUT: {
    retryable: true,
    meaning: "No answer in time: a request, a wait for subscribers or for readiness.",
  },
  /** Nothing; `cause` is the signal's reason. */
  ABORT_ERR: { retryable: false, meaning: "The caller's AbortSignal was aborted." },
  /** Use another engine (docs/engines.md) or socket type. */
  NOT_SUPPORTED: { retryable: false, meaning: "The engine or the socket type cannot do this." },
  /** Install the package `zeromq`, or choose another engine with `SHOAL_ENGINE`. */
  ERR_ENGINE_UNAVAILABLE: { retryable: false, meaning: "The engine does not load on this machine." },
  /** Run the command in the message, such as `npm install lmdb` (docs/installing.md). */
  ERR_PACKAGE_UNAVAILABLE: {
    retryable: false,
    meaning: "An optional package is not installed, or does not load.",
  },
  /** Await `send` and `receive`; a higher bound only hides a slow receiver. */
  ERR_TOO_MANY_PENDING: {
    retryable: true,
    meaning:
      "More waiting calls than `maxPendingSends`, `maxPendingSendBytes` or `maxPendingReceives` allows.",
  },
  /** Correct the value, or the sender of a received message; `cause` has the schema's issues. */
  ERR_INVALID_MESSAGE: { retryable: false, meaning: "The socket's codec or schema refuses a message." },
  /** Look at `cause`; the socket reconnects. */
  ERR_HANDSHAKE: { retryable: true, meaning: "The connection's handshake failed." },
  /** Check the credentials; `status` is the ZAP status (300, 400 or 500). */
  ERR_AUTHENTICATION: { retryable: false, meaning: "One end refused the other's credentials." },
  /** Find out what the peer is. */
  ERR_PROTOCOL: { retryable: false, meaning: "The peer broke the wire protocol." },
  /** Find out what the peer is. */
  ERR_ZMTP_UNSPECIFIED: { retryable: false, meaning: "Handshake: an error without detail." },
  /** Find out what the peer is. */
  ERR_ZMTP_UNEXPECTED_COMMAND: { retryable: false, meaning: "Handshake: an unexpected command." },
  /** Find out what the peer is. */
  ERR_ZMTP_INVALID_SEQUENCE: { retryable: false, meaning: "Handshake: commands or nonces out of order." },
  /** Check the keys on both ends. */
  ERR_ZMTP_KEY_EXCHANGE: { retryable: false, meaning: "Handshake: the CURVE key exchange failed." },
  /** Find out what the peer is. */
  ERR_ZMTP_MALFORMED_COMMAND_UNSPECIFIED: { retryable: false, meaning: "Handshake: a malformed command." },
  /** Find out what the peer is. */
  ERR_ZMTP_MALFORMED_COMMAND_MESSAGE: { retryable: false, meaning: "A malformed CURVE MESSAGE." },
  /** Find out what the peer is. */
  ERR_ZMTP_MALFORMED_COMMAND_HELLO: { retryable: false, meaning: "Handshake: a malformed HELLO." },
  /** Find out what the peer is. */
  ERR_ZMTP_MALFORMED_COMMAND_INITIATE: { retryable: false, meaning: "Handshake: a malformed INITIATE." },
  /** Find out what the peer is. */
  ERR_ZMTP_MALFORMED_COMMAND_ERROR: { retryable: false, meaning: "Handshake: a malformed ERROR." },
  /** Find out what the peer is. */
  ERR_ZMTP_MALFORMED_COMMAND_READY: { retryable: false, meaning: "Handshake: a malformed READY." },
  /** Find out what the peer is. */
  ERR_ZMTP_MALFORMED_COMMAND_WELCOME: { retryable: false, meaning: "Handshake: a malformed WELCOME." },
  /** Connect fitting socket types. */
  ERR_ZMTP_INVALID_METADATA: {
    retryable: false,
    meaning: "Handshake: malformed metadata, or a socket type that does not fit.",
  },
  /** Check the server's key on the client. */
  ERR_ZMTP_CRYPTOGRAPHIC: { retryable: false, meaning: "Handshake: a CURVE box does not open." },
  /** Give both ends the same security options. */
  ERR_ZMTP_MECHANISM_MISMATCH: { retryable: false, meaning: "Handshake: different security mechanisms." },
  /** Correct the ZAP handler. */
  ERR_ZAP_UNSPECIFIED: { retryable: false, meaning: "ZAP: the handler failed." },
  /** Correct the ZAP handler. */
  ERR_ZAP_MALFORMED_REPLY: { retryable: false, meaning: "ZAP: a malformed reply." },
  /** Correct the ZAP handler. */
  ERR_ZAP_BAD_REQUEST_ID: { retryable: false, meaning: "ZAP: an answer to another request." },
  /** Correct the ZAP handler. */
  ERR_ZAP_BAD_VERSION: { retryable: false, meaning: "ZAP: another version." },
  /** Correct the ZAP handler. */
  ERR_ZAP_INVALID_STATUS_CODE: {
    retryable: false,
    meaning: "ZAP: a status other than 200, 300, 400 or 500.",
  },
  /** Correct the ZAP handler. */
  ERR_ZAP_INVALID_METADATA: { retryable: false, meaning: "ZAP: malformed metadata." },
  /** Read the key again; `revision` is its revision, 0 for a missing key. */
  ERR_CONFLICT: {
    retryable: false,
    meaning: "A Clone's key does not have the expected revision; nothing changed.",
  },
  /** Look at `stage`, `reason` and `cause`. */
  ERR_VETOED: { retryable: false, meaning: "A hook vetoed the message, query or service." },
  /** Look at `reason`: a failed or lost worker, a missing or overloaded service. */
  ERR_SERVICE: {
    retryable: [
      "no-service",
      "overloaded",
      "expired",
      "worker-lost",
      "incomplete",
      "slow-reader",
      "unread",
      "stopping",
      "broker-lost",
    ],
    meaning: "A service could not answer a request.",
  },
  /** Look at `reason`: `taken` by another program, `gone`, `refused` by the server, `full`. */
  ERR_SESSION: {
    retryable: ["full", "unavailable", "stopping"],
    meaning: "A session refused a call, or ended.",
  },
  /** Free room, open the store in one process only, repeat an unknown outcome with the same id, check a damaged file. */
  ERR_STORE: {
    retryable: ["full", "overloaded"],
    meaning: "A store failed: `reason` is full, overloaded, taken, failed, outcome-unknown or damaged.",
  },
  /** Look at `cause` and `trace`; run it again with the seed in `SHOAL_SEED`. */
  ERR_SIMULATION: {
    retryable: false,
    meaning: "A simulation failed, or a simulated node went down under a call.",
  },
  /** Look at `cause`. Only the events `source:failed` and `endpoint:refused` have this error. */
  ERR_SOURCE: { retryable: true, meaning: "A source of endpoints threw, or has too many of them." },
  /** Look at `cause`, the engine's error. */
  ERR_TRANSPORT: { retryable: true, meaning: "Another transport error of the operating system." },
} as const satisfies Record<string, ErrorCodeDetails>;
