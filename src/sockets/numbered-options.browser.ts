/** Replaces sockets/numbered-options.ts: no options by libzmq's numbers. */
export abstract class ContextByNumber {}
