/** Protocols other than the node's own port: ipc, and those of programs. */
import { once } from "node:events";
import { mkdtemp, rmdir } from "node:fs/promises";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkKeys, invalidArgument } from "../../core/arguments.js";
import { ignore } from "../../core/waiter.js";
import { disown, own } from "../../engine/zmtp/transport/ipc.js";
import { isProtocolName } from "./advert.js";
import type { DialTarget, MessageProtocol } from "./protocol.js";

/** Options of {@link streamProtocol}. */
export type StreamProtocolOptions = Omit<MessageProtocol, "reaches"> & {
  /** Whether it may reach a node, without using the network. Default: nodes of this host. */
  readonly reaches?: ((target: DialTarget) => boolean) | undefined;
};

/**
 * A protocol of a program, for `messaging.protocols`: streams of bytes, such as named pipes. Both nodes prove themselves
 * on each stream, and a cluster with a key or password seals its data.
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown option, or one of another type
 */
export function streamProtocol(options: StreamProtocolOptions): MessageProtocol {
  checkKeys("streamProtocol", options, ["name", "reaches", "listen", "connect"]);
  const { reaches = ({ local }) => local } = options;
  const protocol = { ...options, reaches };
  checkProtocol(protocol);
  return protocol;
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkProtocol({ name, ...calls }: MessageProtocol): void {
  if (!isProtocolName(name))
    throw invalidArgument("a protocol's name must be 1 to 16 lower-case letters and digits", name);
  for (const call of ["reaches", "listen", "connect"] as const)
    if (typeof calls[call] !== "function")
      throw invalidArgument(`${call} of the protocol ${name} must be a function`, calls[call]);
}

/** Socket files, for nodes of this host. */
export function ipcProtocol(): MessageProtocol {
  return {
    name: "ipc",
    reaches: ({ local }) => local,

    async listen(accept) {
      // Of mode 700: no other user can connect, or put a socket there.
      const folder = await mkdtemp(join(tmpdir(), "shoal-m-"));
      const path = join(folder, "m");
      const server = createServer(accept).on("error", ignore); // Without files a stream is not accepted.
      server.listen({ path, backlog: 512 });
      try {
        await once(server, "listening");
      } catch (error) {
        await rmdir(folder).catch(ignore);
        throw error;
      }
      own(path, folder);
      return {
        advert: path,
        async close() {
          server.close();
          disown(path);
        },
      };
    },

    async connect(path) {
      const socket = connectSocket(path);
      await once(socket, "connect");
      return socket;
    },
  };
}
