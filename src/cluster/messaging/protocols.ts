/**
 * Protocols create byte streams between nodes: socket files, those of programs. The node's own port is in pair-streams.ts.
 * The node adds proof of identity, membership and messages (net/stream.ts).
 *
 *   listen ──> advertised in the node's details ──> connect, by other nodes ──> a stream
 */
import { once } from "node:events";
import { mkdtemp, rmdir } from "node:fs/promises";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { checkKeys, invalidArgument } from "../../core/arguments.js";
import { ignore } from "../../core/waiter.js";
import { disown, own } from "../../engine/zmtp/transport/ipc.js";
import { isProtocolName } from "./wire.js";

export interface DialTarget {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly host: string;
  /** "host:port". */
  readonly address: string;
  /** Whether it is on this host. */
  readonly local: boolean;
}

export interface ProtocolHost {
  /** Name of the cluster. */
  readonly cluster: string;
  readonly id: string;
  /** Host to bind: 127.0.0.1, an address, or "*". */
  readonly host: string;
  /** Ports to use, "FIRST-LAST"; `undefined`: any. */
  readonly ports: string | undefined;
}

export interface ProtocolListener {
  /** Address for other nodes to dial: a well-formed text of at most 128 bytes without ";". */
  readonly advert: string;
  close(linger: number): Promise<void>;
}

/** Made by {@link streamProtocol}. */
export interface MessageProtocol {
  /** 1 to 16 lower-case letters and digits. */
  readonly name: string;
  /** Whether it may reach a node, without using the network. */
  reaches(target: DialTarget): boolean;
  /**
   * Listens, and calls `accept` with each stream. The node's start waits for 10 s; a later listener is used, too.
   *
   * @throws anything: reported as `protocol:failed`
   */
  listen(accept: (stream: Duplex) => void, host: ProtocolHost): Promise<ProtocolListener>;
  /** Opens a stream. @param where `advert` of the other node's listener */
  connect(where: string, target: DialTarget, host: ProtocolHost): Promise<Duplex>;
}

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
