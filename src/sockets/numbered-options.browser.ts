/** Replaces sockets/numbered-options.ts: no options by libzmq's numbers. */
export const WRITE: unique symbol = Symbol("shoal.write");

export abstract class ContextByNumber {}
