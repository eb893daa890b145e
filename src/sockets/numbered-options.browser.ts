/** Replaces sockets/numbered-options.ts: programs for the package `zeromq` do not run in pages, which would load 1 kB for them. */
export const WRITE: unique symbol = Symbol("shoal.write");

export abstract class ContextByNumber {}
export { ContextByNumber as SocketByNumber };
