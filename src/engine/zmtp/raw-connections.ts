/** The connections of a STREAM socket: each is a peer from its first byte on, and a pipe of its own. */
import type { Dialer } from "./dialer.js";
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

  constructor(options: Readonly<Record<string, unknown>>, pipes: Pipes, host: LinksHost) {
    this.#options = options;
    this.#pipes = pipes;
    this.#host = host;
  }

  /** @param dialer whose stream it is; `undefined`: a peer's, which came through `endpoint` */
  open(stream: Stream, endpoint: string, dialer: Dialer | undefined): void {
    const pipe: Pipe = this.#pipes.make(endpoint, false);
    if (dialer?.routingId !== undefined) pipe.routingId = Buffer.from(dialer.routingId);
    const raw = new RawConnection(
      stream,
      pipe,
      this.#options.notify !== false,
      () => this.#host.changed(),
      (reason) => {
        this.#pipes.left(pipe, reason);
        dialer?.lost();
        this.#host.changed();
      },
    );
    pipe.linked(raw, NOBODY);
    this.#pipes.add(pipe);
    if (dialer !== undefined) {
      dialer.pipe = pipe;
      dialer.connected();
    }
    this.#pipes.joined(pipe);
    raw.start();
  }
}
