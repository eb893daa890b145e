/** No options by libzmq's numbers; stands in for sockets/numbered-socket.ts. */
export abstract class SocketByNumber {}
