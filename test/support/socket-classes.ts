/** The classes of sockets that every engine has, with the names of their types. */
import * as shoal from "../../src/index.js";

type Named = [name: keyof typeof shoal.SocketType, of: new (options?: never) => shoal.Socket];

export const SOCKET_CLASSES = Object.entries(shoal).filter(([name]) => name in shoal.SocketType) as Named[];
