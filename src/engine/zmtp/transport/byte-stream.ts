/** What the engine needs of a stream: one of node:net, of node:tls, or of a program. */
export interface ByteStream {
  /** Written bytes that the layer beneath has not taken. */
  readonly writableLength: number;
  readonly errored: Error | null;
  /** `false` once ended on either side. */
  readonly writable: boolean;
  write(bytes: Uint8Array, done?: (error?: Error | null) => void): boolean;
  /** Collects writes until `uncork`. */
  cork(): void;
  uncork(): void;
  /** @param done called when all bytes are taken, or none can be */
  end(done?: () => void): unknown;
  end(last: Uint8Array): unknown;
  destroy(error?: Error): unknown;
  pause(): unknown;
  resume(): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end" | "close", listener: () => void): unknown;
}
