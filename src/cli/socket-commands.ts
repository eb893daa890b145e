/** The socket commands: shoal pub, sub, xpub, xsub, push, pull, req, rep, dealer, router, pair. Each is a socket with lines. */

import { setTimeout as sleep } from "node:timers/promises";
import type { Command, Option } from "commander";
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  type RoutingIdOptions,
  type Socket,
  Subscriber,
  XPublisher,
  XSubscriber,
} from "../index.js";
import { Failure, hasCode } from "./failure.js";
import { encodeRoutingId } from "./format.js";
import { addSocketCommand, repeatable, type Settings } from "./options.js";
import { type Ending, runSocket, type Session } from "./session.js";
import { converse, receiveAll, type Send, sendAll, sendTo, waitFailed, waitFor } from "./transfer.js";

/** The first byte of a subscription (29/PUBSUB). */
const SUBSCRIBE = 1;

interface SubscriptionSettings extends Settings {
  /** Topic prefixes; `false` with --no-subscribe. */
  readonly subscribe?: readonly string[] | boolean;
}

function prefixesOf({ subscribe }: Pick<SubscriptionSettings, "subscribe">): readonly string[] {
  if (subscribe === false) return [];
  return Array.isArray(subscribe) ? subscribe : [""];
}

/** Adds the commands, in the order of the help. */
export function addSocketCommands(program: Command): void {
  addPubSubCommands(program);
  addPipelineCommands(program);
  addRequestReplyCommands(program);
  addTwoWayCommands(program);
}

// shoal pub, sub, xpub, xsub: messages to every subscriber of their topic.

function addPubSubCommands(program: Command): void {
  addPub(program);
  addSub(program);
  addXPub(program);
  addXSub(program);
}

function subscribeOption(): Option {
  return repeatable(
    "--subscribe <PREFIX>",
    "subscribe to messages whose first frame begins with PREFIX (repeatable; default: all)",
  );
}

function addPub(program: Command): void {
  addSocketCommand(
    program,
    {
      name: "pub",
      summary: "send each line to every subscriber",
      direction: "send",
      description:
        "Sends each line of standard input as a message to every subscriber of its topic. Waits for a first subscriber " +
        "and for slow ones, so none misses a message after connecting.",
      examples: [
        "seq 100 | shoal pub --bind tcp://127.0.0.1:5556",
        "echo 'weather|sunny' | shoal pub --multipart '|' --bind tcp://127.0.0.1:5556",
      ],
    },
    (settings) =>
      runSocket(settings, {
        name: "pub",
        open: (security) => new Publisher({ ...security, noDrop: true }),
        async run(session) {
          const { socket, stop } = session;
          const wait = { timeout: session.settings.timeout ?? -1, signal: stop.forced };
          const subscribed = async (): Promise<void> => {
            try {
              await socket.waitForSubscribers(wait);
            } catch (error) {
              throw waitFailed(error, `no subscriber connected within ${wait.timeout} ms`);
            }
          };
          await sendAll(session, sendTo(session), subscribed, session.settings.count);
          return "complete";
        },
      }),
  );
}

function addSub(program: Command): void {
  addSocketCommand<SubscriptionSettings>(
    program,
    {
      name: "sub",
      summary: "print the messages of publishers",
      direction: "receive",
      description: "Prints the messages of its publishers, one per line.",
      examples: [
        "shoal sub --connect tcp://127.0.0.1:5556",
        "shoal sub --connect tcp://127.0.0.1:5556 --subscribe weather --multipart '|' --count 1",
      ],
    },
    (settings) =>
      runSocket(settings, {
        name: "sub",
        open(security) {
          const socket = new Subscriber(security);
          socket.subscribe(...prefixesOf(settings));
          return socket;
        },
        async run(session) {
          await receiveAll(session, { until: session.stop.requested, max: session.settings.count });
          return "received";
        },
      }),
  ).addOption(subscribeOption());
}

function addXPub(program: Command): void {
  addSocketCommand(
    program,
    {
      name: "xpub",
      summary: "like pub, and print the subscriptions",
      description:
        "Sends standard input like pub, and prints subscriptions: a byte 1 and the topic prefix for a new one, a byte 0 " +
        "and the prefix when the last subscriber of it unsubscribes.",
      examples: [
        "seq 100 | shoal xpub --bind tcp://127.0.0.1:5556",
        "shoal xpub --bind tcp://127.0.0.1:5556 --json --count 1 < /dev/null",
      ],
    },
    (settings) =>
      runSocket(settings, {
        name: "xpub",
        open: (security) => new XPublisher({ ...security, noDrop: true }),
        run(session) {
          let onSubscription: () => void = () => undefined;
          const subscribed = new Promise<void>((resolve) => {
            onSubscription = resolve;
          });
          return converse(session, {
            send: sendTo(session),
            first: () => waitFor(session, subscribed, "no subscriber connected"),
            onMessage: ([frame]) => {
              if (frame?.[0] === SUBSCRIBE) onSubscription();
            },
          });
        },
      }),
  );
}

function addXSub(program: Command): void {
  addSocketCommand<SubscriptionSettings>(
    program,
    {
      name: "xsub",
      summary: "like sub, and send lines to the publishers",
      description:
        "Prints the messages of its publishers, and sends each line of standard input to them as a message. A line that " +
        "begins with a byte 1 subscribes to the rest of it; with a byte 0 it unsubscribes.",
      examples: [
        "shoal xsub --connect tcp://127.0.0.1:5556 --subscribe weather",
        "printf '\\001weather\\n' | shoal xsub --no-subscribe --connect tcp://127.0.0.1:5556",
      ],
    },
    (settings) =>
      runSocket(settings, {
        name: "xsub",
        open: (security) => new XSubscriber(security),
        async run(session) {
          for (const prefix of prefixesOf(settings)) {
            await session.socket.send(Buffer.concat([Buffer.from([SUBSCRIBE]), Buffer.from(prefix)]));
          }
          const ending = await converse(session, { send: sendTo(session), endsWithInput: false });
          return session.input.taken > 0 ? ending : "received";
        },
      }),
  )
    .addOption(subscribeOption())
    .option("--no-subscribe", "no subscription except those in standard input");
}

// shoal push, pull: distributing work, and collecting it.

function addPipelineCommands(program: Command): void {
  addSocketCommand(
    program,
    {
      name: "push",
      summary: "send each line to one of the pull peers, in turn",
      direction: "send",
      description:
        "Sends each line of standard input as a message to one of its pull peers, in turn. Waits for a peer, and ends when " +
        "everything is delivered.",
      examples: [
        "seq 100 | shoal push --bind tcp://127.0.0.1:5557",
        "shoal push --raw --connect tcp://127.0.0.1:5558 < picture.png",
      ],
    },
    (settings) =>
      runSocket(settings, {
        name: "push",
        open: (security) => new Push(security),
        async run(session) {
          await sendAll(session, sendTo(session), async () => undefined, session.settings.count);
          return "complete";
        },
      }),
  );
  addSocketCommand(
    program,
    {
      name: "pull",
      summary: "print the messages of push peers",
      direction: "receive",
      description: "Prints the messages of its push peers, one per line; the peers take turns.",
      examples: [
        "shoal pull --connect tcp://127.0.0.1:5557",
        "shoal pull --raw --count 1 --bind tcp://127.0.0.1:5558 > picture.png",
      ],
    },
    (settings) =>
      runSocket(settings, {
        name: "pull",
        open: (security) => new Pull(security),
        async run(session) {
          await receiveAll(session, { until: session.stop.requested, max: session.settings.count });
          return "received";
        },
      }),
  );
}

// shoal req, rep: requests and replies.

interface ReplySettings extends RoutedSettings {
  readonly echo?: boolean;
}

function addRequestReplyCommands(program: Command): void {
  addRoutingId(
    addSocketCommand<RoutedSettings>(
      program,
      {
        name: "req",
        summary: "send each line as a request, and print each reply",
        description:
          "Sends each line of standard input as a request, after the reply to the one before it, and prints the " +
          "replies in that order.",
        examples: [
          "echo hello | shoal req --connect tcp://127.0.0.1:5559",
          "shoal req --connect tcp://127.0.0.1:5559 --timeout 2000 < questions.txt",
        ],
      },
      (settings) =>
        runSocket(settings, {
          name: "req",
          open: (security) => new Request({ ...security, ...routingIdOf(settings) }),
          run: ask,
        }),
    ),
  );
  const rep = addSocketCommand<ReplySettings>(
    program,
    {
      name: "rep",
      summary: "print each request, and reply with the next line",
      description:
        "Prints each request, and replies with the next line of standard input, or, with --echo, with the request. " +
        "Ends when no line is left to reply with.",
      examples: [
        "shoal rep --bind tcp://127.0.0.1:5559 --echo",
        "printf 'yes\\nno\\n' | shoal rep --bind tcp://127.0.0.1:5559",
      ],
    },
    (settings) =>
      runSocket(settings, {
        name: "rep",
        open: (security) => new Reply({ ...security, ...routingIdOf(settings) }),
        run: (session) => answer(session, settings.echo === true),
      }),
  );
  rep.option("--echo", "reply with the request");
  addRoutingId(rep);
}

async function ask(session: Session<Request>): Promise<Ending> {
  const { socket, settings, stop, output } = session;
  const call = { timeout: settings.timeout ?? -1, signal: stop.forced };
  const send = async (frames: Buffer[]): Promise<boolean> => {
    try {
      const reply = await socket.request(frames, call);
      await output.print([reply]);
      return true;
    } catch (error) {
      const why =
        call.timeout < 0
          ? "the connection ended before the reply came"
          : `no reply came within ${call.timeout} ms`;
      throw waitFailed(error, why);
    }
  };
  await sendAll(session, send, async () => undefined, settings.count);
  return "complete";
}

/**
 * The next reply is read while the request is awaited, so the end of the input is known before a request is received that
 * could not be answered.
 */
async function answer(session: Session<Reply>, echo: boolean): Promise<Ending> {
  const { socket, settings, stop, input, output, log } = session;
  const { count = Number.POSITIVE_INFINITY, timeout = -1 } = settings;
  const replies = input.messages();
  for (let answered = 0; answered < count && !stop.requested.aborted; answered++) {
    const noReply = new AbortController();
    const next = echo ? undefined : replies.next();
    next?.then(
      ({ done }) => done && noReply.abort(),
      () => noReply.abort(),
    );
    let request: Buffer[];
    try {
      const signal = AbortSignal.any([stop.requested, noReply.signal]);
      request = await socket.receive({ timeout, signal });
    } catch (error) {
      if (!hasCode(error, "ABORT_ERR")) throw waitFailed(error, `no request came within ${timeout} ms`);
      await (stop.requested.aborted ? undefined : next); // Throws the error of the input, if there is one.
      if (!stop.requested.aborted) log.info("standard input ended: nothing left to reply with");
      break;
    }
    await output.print([request]);
    const reply = next === undefined ? request : (await next).value;
    if (reply === undefined) {
      const why = stop.requested.aborted ? "stopped" : "standard input ended";
      throw new Failure(`${why}: a request is left without a reply`);
    }
    try {
      // Also when the command was forced to stop while it printed the request: there is room for the reply as a rule.
      await socket.send(reply, stop.forced.aborted ? { timeout: 0 } : { timeout, signal: stop.forced });
    } catch (error) {
      throw waitFailed(error, "there was no room for a reply");
    }
  }
  return "complete";
}

// shoal dealer, router, pair: sending and receiving at once.

/** How long a line for an absent peer waits for it to connect, in ms. */
const PEER_GRACE = 1_000;
/** Between two attempts to reach a peer that is absent or full, in ms. */
const RETRY = 10;

/** Settings of sockets that have a routing id. */
interface RoutedSettings extends Settings {
  readonly routingId?: string;
}

/** The routing id as a socket option. */
function routingIdOf({ routingId }: Pick<RoutedSettings, "routingId">): RoutingIdOptions {
  return routingId === undefined ? {} : { routingId };
}

/** Adds `--routing-id` to a command. */
function addRoutingId(command: Command): void {
  command.option("--routing-id <ID>", "the routing id by which a router addresses this end");
}

function addTwoWayCommands(program: Command): void {
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
          routed: "routing id",
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
 * The `send` of a router or server: waits for a peer that is full, and up to PEER_GRACE for one that is absent; then it skips the line, so
 * that one lost peer does not hold up the others.
 */
export function sendRouted(session: Session<Socket & { send(frames: Buffer[]): Promise<void> }>): Send {
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
