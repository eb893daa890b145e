/** shoal dealer, router, pair: sending and receiving at once. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { Dealer, Pair, Router, type RoutingIdOptions } from "../index.js";
import { hasCode } from "./failure.js";
import { encodeRoutingId } from "./format.js";
import { addSocketCommand, type Settings } from "./options.js";

import { runSocket, type Session } from "./session.js";
import { converse, type Send, sendTo, waitFailed, waitFor } from "./transfer.js";

/** How long a line for an absent peer waits for it to connect, in ms. */
const PEER_GRACE = 1_000;
/** Between two attempts to reach a peer that is absent or full, in ms. */
const RETRY = 10;

/** Settings of sockets that have a routing id. */
export interface RoutedSettings extends Settings {
  readonly routingId?: string;
}

/** The routing id as a socket option. */
export function routingIdOf({ routingId }: Pick<RoutedSettings, "routingId">): RoutingIdOptions {
  return routingId === undefined ? {} : { routingId };
}

/** Adds `--routing-id` to a command. */
export function addRoutingId(command: Command): void {
  command.option("--routing-id <ID>", "the routing id by which a router addresses this end");
}

export function addTwoWayCommands(program: Command): void {
  addRoutingId(
    addSocketCommand<RoutedSettings>(
      program,
      {
        name: "dealer",
        summary: "send lines to peers in turn, and print their messages",
        description:
          "Sends standard input to its peers in turn, and prints their messages, both at once. A rep peer expects an " +
          "empty frame before the message.",
        examples: [
          "printf 'a\\nb\\n' | shoal dealer --count 2 --connect tcp://127.0.0.1:5560",
          "echo '|hello' | shoal dealer --multipart '|' --count 1 --connect tcp://127.0.0.1:5559",
        ],
      },
      (settings) =>
        runSocket(settings, {
          name: "dealer",
          open: (security) => new Dealer({ ...security, ...routingIdOf(settings) }),
          run: (session) => converse(session, { send: sendTo(session) }),
        }),
    ),
  );
  addRoutingId(
    addSocketCommand<RoutedSettings>(
      program,
      {
        name: "router",
        summary: "send to each peer by its routing id",
        description:
          "Prints each message as ROUTING-ID MESSAGE, and sends lines of that form to the peers they name, both at once. A " +
          "routing id that is not printable text is written as 0x and hexadecimal digits.",
        examples: [
          "shoal router --bind tcp://127.0.0.1:5560",
          "echo 'alice hello' | shoal router --bind tcp://127.0.0.1:5560",
        ],
      },
      (settings) =>
        runSocket(settings, {
          name: "router",
          routed: true,
          open: (security) => new Router({ ...security, ...routingIdOf(settings), mandatory: true }),
          run: (session) =>
            converse(session, {
              send: sendRouted(session),
              first: () => waitFor(session, session.peers.seen, "no peer connected"),
            }),
        }),
    ),
  );
  addSocketCommand(
    program,
    {
      name: "pair",
      summary: "send to and receive from one peer",
      description: "Sends standard input to the one peer, and prints its messages, both at once.",
      examples: [
        "shoal pair --bind tcp://127.0.0.1:5561",
        "echo hello | shoal pair --connect tcp://127.0.0.1:5561",
      ],
    },
    (settings) =>
      runSocket(settings, {
        name: "pair",
        open: (security) => new Pair(security),
        run: (session) => converse(session, { send: sendTo(session) }),
      }),
  );
}

/**
 * A router's `send`: waits for a peer that is full, and up to PEER_GRACE for one that is absent; then it skips the line, so
 * that one lost peer does not hold up the others.
 */
function sendRouted(session: Session<Router>): Send {
  const { socket, settings, stop, log, input } = session;
  const room = settings.timeout ?? Number.POSITIVE_INFINITY;
  const grace = Math.min(room, PEER_GRACE);
  return async (frames) => {
    const started = performance.now();
    for (;;) {
      try {
        await socket.send(frames);
        return true;
      } catch (error) {
        const waited = performance.now() - started;
        const absent = hasCode(error, "EHOSTUNREACH");
        if (absent && (waited >= grace || stop.forced.aborted)) {
          const id = encodeRoutingId(frames[0] as Buffer, Buffer.from(" "));
          log.warn(`line ${input.taken}: no peer with the routing id ${id} is connected`);
          return false;
        }
        const full = hasCode(error, "EAGAIN");
        if (full && (waited >= room || stop.forced.aborted)) {
          throw waitFailed(error, `the peer had no room for a message within ${room} ms`);
        }
        if (!absent && !full) throw error;
      }
      await sleep(RETRY);
    }
  };
}
