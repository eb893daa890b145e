/** A protocol of a program's own: named pipes, each listener's in a folder of the test's. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { createId } from "../../../src/cluster/identity.js";
import type { MessageProtocol } from "../../../src/cluster/messaging/protocol.js";
import { streamProtocol } from "../../../src/cluster/messaging/protocols.js";

export function pipesIn(folder: string): MessageProtocol {
  return streamProtocol({
    name: "pipe",
    async listen(accept) {
      // A path has about a hundred bytes.
      const path = join(folder, createId().slice(0, 12));
      const server = createServer(accept).listen(path);
      await once(server, "listening");
      return { advert: path, close: async () => void server.close() };
    },
    async connect(path) {
      const stream = connect(path);
      await once(stream, "connect");
      return stream;
    },
  });
}
