/** The connections of a STREAM socket: each is a peer from its first byte on, and a pipe of its own. */
import type { Dialer } from "./dialer.js";
import { disconnectError, lostError } from "./errors.js";
import type { LinksHost } from "./links.js";
import type { Pipe } from "./pipe.js";
import type { Pipes } from "./pipes.js";
import { RawConnection } from "./raw-connection.js";
import type { Stream } from "./transport/transport.js";

const NOBODY = { socketType: "", identity: Buffer.alloc(0), commands: false } as const;

export class RawConnections {
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #pipes: Pipes;
  readonly #host: LinksHost;
  /** Connections of peers that came. */
  accepted = 0;

  constructor(options: Readonly<Record<string, unknown>>, pipes: Pipes, host: LinksHost) {
    this.#options = options;
    this.#pipes = pipes;
    this.#host = host;
  }

  /** @param dialer whose stream it is; `undefined`: a peer's, which came through `endpoint` */
  open(stream: Stream, endpoint: string, dialer: Dialer | undefined): void {
    if (dialer === undefined) this.accepted += 1;
    // What was sent while it was being connected waits in the dialler's own.
    const waiting = dialer?.pipe;
    const pipe: Pipe = waiting ?? this.#pipes.make(endpoint, false);
    pipe.out.inPieces = true;
    if (dialer?.routingId !== undefined) pipe.routingId = Buffer.from(dialer.routingId);
    const raw = new RawConnection(
      stream,
      pipe,
      this.#options.notify !== false,
      () => this.#host.changed(),
      (reason, cause) => {
        if (dialer === undefined) this.accepted -= 1;
        const error = disconnectError(cause, reason, stream.remote);
        this.#pipes.left(pipe, reason, error);
        dialer?.lost(error ?? lostError(reason, stream.remote));
        this.#host.changed();
      },
    );
    pipe.linked(raw, NOBODY);
    if (waiting === undefined) this.#pipes.add(pipe);
    if (dialer !== undefined) {
      dialer.pipe = pipe;
      dialer.connected();
    }
    this.#pipes.joined(pipe);
    raw.start();
    raw.flush();
    if (this.#pipes.closing || pipe.leaving !== undefined) setImmediate(() => raw.finish());
  }
}
