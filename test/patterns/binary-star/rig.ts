/** What the tests of pairs on real sockets have: the endpoints, the servers and the clients of a pair. */
import { type Clock, systemClock } from "../../../src/core/timers.js";
import type { Raw } from "../../../src/index.js";
import { BinaryStarClient, BinaryStarServer, type RequestHandler } from "../../../src/patterns/index.js";
import { until } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { removeAfterEach } from "../../support/folders.js";

/** ms. */
export const HEARTBEAT = 100;
export const ROLES = ["primary", "backup"] as const;
export type Role = (typeof ROLES)[number];
/** Endpoints of both servers. */
export type Places = Readonly<Record<Role, { readonly clients: string; readonly state: string }>>;

/** Once for a file, outside of its tests. */
export function starRig() {
  const makeFolder = removeAfterEach();
  const keep: <T extends { close(options?: { linger: number }): unknown }>(thing: T) => T = closeAfterEach();
  const ipc = (): string => `ipc://${makeFolder()}/s`;
  const places = (): Places => ({
    primary: { clients: ipc(), state: ipc() },
    backup: { clients: ipc(), state: ipc() },
  });
  async function serve(
    role: Role,
    at: Places,
    handler: RequestHandler<Raw> = (body) => `${role} ${body}`,
    { as = role, heartbeatInterval = HEARTBEAT, maxInFlight = 1_000, clock = systemClock as Clock } = {},
  ): Promise<BinaryStarServer> {
    const peer = at[role === "primary" ? "backup" : "primary"].state;
    const star = { role: as, peer, heartbeatInterval, clock };
    const server = keep(new BinaryStarServer<Raw>(handler, { star, maxInFlight }));
    await server.bind("clients", at[role].clients);
    await server.bind("state", at[role].state);
    return server;
  }
  /** @param timeout ms of a request */
  function ask({ primary, backup }: Places, timeout = 8_000, attemptTimeout = 500): BinaryStarClient {
    return keep(new BinaryStarClient([primary.clients, backup.clients], { attemptTimeout, timeout }));
  }
  return { keep, ipc, places, serve, ask };
}

/** A busy machine may hold a server up for longer than its heartbeats, which is in doubt then: it is asked again. */
export async function handOver(server: BinaryStarServer): Promise<void> {
  const { star } = server;
  for (let done = false; !done; ) {
    await until(() => star.state === "active" && star.stats().peer === "passive", "the peer is passive");
    done = await server.handOver().then(
      () => true,
      (error) => {
        if (error.code !== "EFSM") throw error;
        return false;
      },
    );
  }
}
