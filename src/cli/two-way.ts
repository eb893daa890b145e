/** shoal dealer, router, pair: lines both ways at once. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { Dealer, Pair, Router, type RoutingIdOptions } from "../index.js";
import { addSocketCommand } from "./command.js";
import { converse } from "./converse.js";
import { hasCode } from "./failure.js";
import type { Settings } from "./options.js";
import { encodeRoutingId } from "./routing-id.js";
import { runSocket, type Session } from "./session.js";
import { type Send, sendTo, waitFailed, waitFor } from "./transfer.js";

/** How long a line for a peer that is not there waits for it to come (back), in ms. */
const PEER_GRACE = 1_000;
/** Between two attempts to reach a peer that is away or full, in ms. */
const RETRY = 10;

/** Settings of sockets that a router can know by name. */
export interface RoutedSettings extends Settings {
  readonly routingId?: string;
}

/** The name to construct a socket with. */
export function routingIdOf({ routingId }: Pick<RoutedSettings, "routingId">): RoutingIdOptions {
  return routingId === undefined ? {} : { routingId };
}

/** Adds `--routing-id` to a command. */
export function addRoutingId(command: Command): void {
  command.option("--routing-id <ID>", "the name under which a router knows this end");
}

export function addTwoWayCommands(program: Command): void {
  addRoutingId(
    addSocketCommand<RoutedSettings>(
      program,
      {
        name: "dealer",
        summary: "send lines to peers in turn, print what they send",
        description:
          "Sends standard input to its peers in turn, and prints what comes from them, both at once. A rep peer " +
          "wants an empty frame before the message.",
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
        summary: "talk to each peer by its routing id",
        description:
          "Prints what comes as ROUTING-ID MESSAGE, and sends lines of that form to the peers they name, both at " +
          "once. An id that is no plain text is written as 0x and hexadecimal digits.",
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
              first: () => waitFor(session, session.peers.seen, "no peer came"),
            }),
        }),
    ),
  );
  addSocketCommand(
    program,
    {
      name: "pair",
      summary: "talk to one peer, both ways",
      description: "Sends standard input to the one peer, and prints what comes from it, both at once.",
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
 * A router's sending: waits for a peer that is full, a moment for one that is
 * away, and then passes the line over, so that one lost peer does not stop the others.
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
        const away = hasCode(error, "EHOSTUNREACH");
        if (away && (waited >= grace || stop.forced.aborted)) {
          const id = encodeRoutingId(frames[0] as Buffer, Buffer.from(" "));
          log.warn(`line ${input.taken}: no peer with the routing id ${id} is connected`);
          return false;
        }
        const full = hasCode(error, "EAGAIN");
        if (full && (waited >= room || stop.forced.aborted)) {
          throw waitFailed(error, `the peer had no room for a message within ${room} ms`);
        }
        if (!away && !full) throw error;
      }
      await sleep(RETRY);
    }
  };
}
