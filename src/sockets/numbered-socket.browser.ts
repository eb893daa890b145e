/** Replaces sockets/numbered-socket.ts: no options by libzmq's numbers. */
export abstract class SocketByNumber {}
