/** What the engine uses of a stream of Node.js: sockets of node:net and node:tls, and any Duplex, have it. */
export interface ByteStream {
  /** Bytes that were written and not yet taken by what is beneath. */
  readonly writableLength: number;
  readonly errored: Error | null;
  /** `false`: it has ended, on either side, and drops what is written. */
  readonly writable: boolean;
  write(bytes: Uint8Array, done?: (error?: Error | null) => void): boolean;
  /** What is written until `uncork` goes out at once. */
  cork(): void;
  uncork(): void;
  /** Ends this side's half, behind what was written. @param done called when all was taken, or nothing more can be */
  end(done?: () => void): unknown;
  end(last: Uint8Array): unknown;
  destroy(error?: Error): unknown;
  pause(): unknown;
  resume(): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end" | "close", listener: () => void): unknown;
}
