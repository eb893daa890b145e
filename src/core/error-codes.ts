/** The codes of all errors; they are API. docs/errors.md is generated from them, with each comment as "What to do". */

/** Every error code with its meaning. */
export const ERROR_CODES = {
  /** Correct the call: the text states what was expected and what came. Nothing has changed. */
  EINVAL: "An argument, option, endpoint or message has the wrong type, unit or range.",
  /** Try again later, wait longer, or give up. An outgoing message was not sent; no message was lost. */
  EAGAIN:
    "The wait ended without a result: `sendTimeout` or `receiveTimeout` ran out, the peer's queue is full, or the socket closed while the call waited.",
  /** Make a new socket; a closed one stays closed. */
  EBADF: "The socket, context or observer is closed, or the batch disposed.",
  /** Find who has the address (`endpoint`), or bind another; port `*` always finds a free one. */
  EADDRINUSE: "The endpoint is already bound by this or another process.",
  /** Bind an address of this machine, or `*` for all of them. */
  EADDRNOTAVAIL: "The address to bind does not belong to this machine.",
  /** Use a port from 1024 up or a folder that the process may write, or give it the permission. */
  EACCES: "The process has no permission for this endpoint.",
  /** Name an interface that exists, or an address. */
  ENODEV: "The network interface in the endpoint does not exist.",
  /**
   * Unbind or disconnect an endpoint by the name it was given, or as `lastEndpoint` has it; create the folder of an
   * ipc path first.
   */
  ENOENT:
    "The endpoint was never bound or connected on this socket, or the ipc path, or its folder, is not there.",
  /** Choose a shorter ipc path. */
  ENAMETOOLONG: "The ipc path is longer than the system allows.",
  /**
   * For a peer's message, its connection has ended. For an outgoing message, nothing was sent and nothing has
   * changed. Lower `maxMessageSize` or `maxReceiveQueueBytes`, or raise the process's memory limit.
   */
  ENOMEM: "The process has no memory for a peer's message, or for the copy of one that is sent.",
  /**
   * Start the peer; over inproc, bind in the same context before the connect. The socket tries again by itself
   * (`connect:retry`).
   */
  ECONNREFUSED: "Nothing listens at the endpoint.",
  /** Use a transport of this engine (docs/engines.md), or another engine. */
  EPROTONOSUPPORT: "The endpoint's transport is unknown to this engine.",
  /** Use tcp, ipc or inproc for this socket type. */
  ENOCOMPATPROTO: "The transport does not fit this socket type.",
  /**
   * The peer is gone or never connected: give the request up, or wait until it joins. From a cluster's node: no
   * member has this name.
   */
  EHOSTUNREACH: "No peer with this routing id is connected.",
  /**
   * Close sockets, or raise `maxSockets` of the context or the process's limit of open files. A pattern's client or
   * worker that opens a socket by itself reports it as the event `endpoint:refused`, and tries again.
   */
  EMFILE: "The context or the process has no room for another socket.",
  /** Lower `ioThreads`, or raise the process's limit of threads. */
  EMTHREAD: "The context could not start its input and output threads.",
  /** The engine is shutting down: end the program, too. */
  ETERM: "The engine's context was terminated.",
  /** Send and receive in turn (Request, Reply); run a proxy once. */
  EFSM: "The socket is in the wrong state for this call.",
  /** Retry, wait longer, or report the peer as absent. */
  ETIMEDOUT: "No answer came in time: a request, a wait for subscribers or for readiness.",
  /** Nothing: the program wanted it. `cause` is the signal's reason. */
  ABORT_ERR: "The caller's AbortSignal was aborted before the operation took effect.",
  /** Use an engine or a socket type that can (docs/engines.md), or change the program to do without. */
  NOT_SUPPORTED: "The engine or the socket type cannot do this.",
  /** Install the package `zeromq` on a platform it has binaries for, or choose another engine with `SHOAL_ENGINE`. */
  ERR_ENGINE_UNAVAILABLE: "The engine could not be loaded on this machine.",
  /** Run the command that the message names, such as `npm install lmdb` (docs/installing.md). */
  ERR_PACKAGE_UNAVAILABLE:
    "A store or another part needs an optional package that is not installed, or does not load on this machine.",
  /** Await `send` and `receive`; a higher bound only hides that the receiver does not keep up. */
  ERR_TOO_MANY_PENDING:
    "More sends or receives wait on the socket than `maxPendingSends`, `maxPendingSendBytes` or `maxPendingReceives` allows.",
  /**
   * Correct the value; `cause` has the schema's issues. For a received message it is an event: correct its sender.
   */
  ERR_INVALID_MESSAGE: "A message does not pass the socket's codec or schema.",
  /** Look at `cause`; the socket connects again by itself. */
  ERR_HANDSHAKE: "The connection's handshake failed.",
  /** Check the credentials; `status` is the ZAP status (300, 400 or 500). */
  ERR_AUTHENTICATION: "The peer refused this socket's credentials, or this socket refused the peer's.",
  /** Find out what the peer is; its connection is closed. */
  ERR_PROTOCOL: "The peer broke the wire protocol.",
  /** Find out what the peer is; a peer of a common library does not do this. */
  ERR_ZMTP_UNSPECIFIED: "Handshake: a protocol error without detail.",
  /** Find out what the peer is; a peer of a common library does not do this. */
  ERR_ZMTP_UNEXPECTED_COMMAND: "Handshake: a command that does not belong there.",
  /** Find out what the peer is; a peer of a common library does not do this. */
  ERR_ZMTP_INVALID_SEQUENCE: "Handshake: commands or nonces out of order.",
  /** Check the keys on both ends. */
  ERR_ZMTP_KEY_EXCHANGE: "Handshake: the CURVE key exchange failed.",
  /** Find out what the peer is; a peer of a common library does not do this. */
  ERR_ZMTP_MALFORMED_COMMAND_UNSPECIFIED: "Handshake: a malformed command.",
  /** Find out what the peer is; a peer of a common library does not do this. */
  ERR_ZMTP_MALFORMED_COMMAND_MESSAGE: "A malformed CURVE MESSAGE.",
  /** Find out what the peer is; a peer of a common library does not do this. */
  ERR_ZMTP_MALFORMED_COMMAND_HELLO: "Handshake: a malformed HELLO.",
  /** Find out what the peer is; a peer of a common library does not do this. */
  ERR_ZMTP_MALFORMED_COMMAND_INITIATE: "Handshake: a malformed INITIATE.",
  /** Find out what the peer is; a peer of a common library does not do this. */
  ERR_ZMTP_MALFORMED_COMMAND_ERROR: "Handshake: a malformed ERROR.",
  /** Find out what the peer is; a peer of a common library does not do this. */
  ERR_ZMTP_MALFORMED_COMMAND_READY: "Handshake: a malformed READY.",
  /** Find out what the peer is; a peer of a common library does not do this. */
  ERR_ZMTP_MALFORMED_COMMAND_WELCOME: "Handshake: a malformed WELCOME.",
  /** Connect socket types that fit each other. */
  ERR_ZMTP_INVALID_METADATA:
    "Handshake: metadata that is malformed or does not fit, such as the socket type.",
  /** Check the server's key on the client. */
  ERR_ZMTP_CRYPTOGRAPHIC: "Handshake: a CURVE box does not open.",
  /** Give both ends the same security options. */
  ERR_ZMTP_MECHANISM_MISMATCH: "Handshake: the two ends use different security mechanisms.",
  /** Correct the program that handles ZAP requests. */
  ERR_ZAP_UNSPECIFIED: "Authentication: the ZAP handler failed.",
  /** Correct the program that handles ZAP requests. */
  ERR_ZAP_MALFORMED_REPLY: "Authentication: the ZAP handler's reply is malformed.",
  /** Correct the program that handles ZAP requests. */
  ERR_ZAP_BAD_REQUEST_ID: "Authentication: the ZAP handler answered another request.",
  /** Correct the program that handles ZAP requests. */
  ERR_ZAP_BAD_VERSION: "Authentication: the ZAP handler speaks another version.",
  /** Correct the program that handles ZAP requests. */
  ERR_ZAP_INVALID_STATUS_CODE: "Authentication: the ZAP handler's status is not 200, 300, 400 or 500.",
  /** Correct the program that handles ZAP requests. */
  ERR_ZAP_INVALID_METADATA: "Authentication: the ZAP handler's metadata is malformed.",
  /** Read the key again and decide again; `revision` is what it had, 0 when it was not there. */
  ERR_CONFLICT: "An update of a Clone was not made: its key does not have the revision that was asked for.",
  /** Look at `stage`, at `reason` where the hook gave one, and at `cause`. */
  ERR_VETOED: "A hook of a cluster's messaging vetoed the message, query or service.",
  /** Look at `reason`: a worker failed, was lost, there is no such service, or it is overloaded. */
  ERR_SERVICE: "A service could not answer a request; `reason` says why.",
  /**
   * Look at `reason`: `taken`: another program has the session; `gone`: it was removed; `refused`: the server refuses
   * this client; `full`: the session has no room.
   */
  ERR_SESSION: "A session refused a call, or ended; `reason` says why.",
  /**
   * Free room, open the store in one process only, repeat with the same id when the outcome is unknown, or check the
   * damaged file.
   */
  ERR_STORE:
    "A store refused or failed; `reason` says full, overloaded, taken, failed, outcome-unknown or damaged.",
  /** Look at `cause` and `trace`, and run the simulation again with the seed in `SHOAL_SEED`. */
  ERR_SIMULATION:
    "A simulation of `shoal/testing` failed; the message has the seed that repeats it. Or a simulated node went down under a call.",
  /**
   * Look at `cause`. The error is never thrown: the events `source:failed` and `endpoint:refused` have it as `error`.
   * The last list stays in force, and the source is read again.
   */
  ERR_SOURCE: "A source of endpoints threw, or has more of them than are used.",
  /** Look at `cause`, which is the engine's own error. */
  ERR_TRANSPORT: "The operating system reported a transport error that has no code of its own here.",
} as const;
