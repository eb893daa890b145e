/** Nodes of a file's tests, in one process and over the host's own sockets. */
import { once } from "node:events";
import type { Server } from "node:http";
import { connect, type Socket } from "node:net";
import { afterEach } from "vitest";
import {
  ClusterNode,
  type ClusterNodeOptions,
  ConnectionManager,
  type RefusedReason,
} from "../../src/cluster/index.js";
import type { EventStream } from "../../src/core/event-stream.js";
import { closeAfterEach } from "../support/close-after-each.js";

/** Once for a file, outside of its tests, after each of which the nodes are closed. @param common options of all of them */
export function testNodes(common: () => ClusterNodeOptions) {
  const closing = closeAfterEach();

  /** One that is not started. */
  function node(name: string, options: ClusterNodeOptions = {}): ClusterNode {
    return closing(new ClusterNode({ name, ...common(), ...options }));
  }

  async function started(name: string, options: ClusterNodeOptions = {}): Promise<ClusterNode> {
    const made = node(name, options);
    await made.start();
    return made;
  }

  return { node, started };
}

/** The first event that fits, from now on. */
export function event<E extends { readonly type: string }, T extends E["type"]>(
  of: { readonly events: EventStream<E> },
  type: T,
  fits: (event: Extract<E, { type: T }>) => boolean = () => true,
): Promise<Extract<E, { type: T }>> {
  return new Promise((resolve) => {
    const listener = (found: Extract<E, { type: T }>): void => {
      if (!fits(found)) return;
      of.events.off(type, listener as never);
      resolve(found);
    };
    of.events.on(type, listener as never);
  });
}

/** Until a condition holds: there is no event of it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Until a counter of what was dropped is at least so much. */
export function dropped(of: ClusterNode, reason: string, least = 1): Promise<void> {
  return until(() => (of.stats().dropped[reason] ?? 0) >= least);
}

/** Reasons for which it refuses others, from now on. */
export function reasonsOf(node: ClusterNode): Set<RefusedReason> {
  const reasons = new Set<RefusedReason>();
  node.events.on("refused", ({ reason }) => void reasons.add(reason));
  return reasons;
}

/** Once for a file, outside of its tests. @returns dials a node as a stranger, whose socket is gone after the test */
export function strangers(): (of: ClusterNode) => Promise<Socket> {
  const sockets: Socket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });
  return async (of) => {
    const socket = connect(portOf(of), "127.0.0.1").on("error", () => undefined);
    sockets.push(socket);
    await once(socket, "connect");
    return socket;
  };
}

/** Once for a file, outside of its tests. @returns has a server listen until the test is over, and where that is */
export function webServers(): (server: Server) => Promise<string> {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });
  return async (server) => {
    servers.push(server.listen(0, "127.0.0.1"));
    await once(server, "listening");
    return `127.0.0.1:${(server.address() as { port: number }).port}`;
  };
}

export function portOf(of: ClusterNode): number {
  return Number(of.address.split(":")[1]);
}

/** Keeps streams to all of the list. */
export function managerOf(node: ClusterNode, list: readonly string[]): ConnectionManager {
  const manager = new ConnectionManager(node);
  manager.setList(list);
  return manager;
}

/** Until each sees exactly so many members. */
export function together(count: number, ...all: readonly ClusterNode[]): Promise<void> {
  return until(() => all.every((each) => each.members().length === count));
}
