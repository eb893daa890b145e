/** Linux's abstract names by themselves: `local://NAME` is `ipc://@NAME`. */
import { ipc } from "./ipc.js";
import type { Listener, Transport } from "./transport.js";

const inner = (endpoint: string): string => endpoint.replace("local://", "ipc://@");
const outer = (listener: Listener): Listener => ({
  endpoint: listener.endpoint.replace("ipc://@", "local://"),
  close: () => listener.close(),
});

export const local: Transport = {
  scheme: "local",
  listen: async (endpoint, options, acceptor) => outer(await ipc.listen(inner(endpoint), options, acceptor)),
  listenSync: (endpoint, options, acceptor) => outer(ipc.listenSync(inner(endpoint), options, acceptor)),
  dial: (endpoint, options, done) => ipc.dial(inner(endpoint), options, done),
};
