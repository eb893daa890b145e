/** The socket commands, `shoal pub` to `shoal pair`. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  type Readable,
  Reply,
  Request,
  Router,
  type Socket,
  Subscriber,
  type Writable,
  XPublisher,
  XSubscriber,
} from "../index.js";
import { describe, Failure, hasCode, waitFailed } from "./failure.js";
import { encodeRoutingId } from "./format.js";
import {
  addClusterOptions,
  addCommand,
  addSharedOptions,
  type CommandFace,
  type Given,
  repeatable,
} from "./options.js";
import { addSecurityOptions, type SecurityOptions } from "./security.js";
import { addAnswerOptions, answerer } from "./service.js";
import {
  converse,
  type Ending,
  receiveAll,
  runSocket,
  type Send,
  type Session,
  type SocketSettings,
  sendAll,
  sendTo,
  waitFor,
} from "./session.js";

/** First byte of a subscription (29/PUBSUB). */
const SUBSCRIBE = 1;
/** ms that a line waits for an absent peer, and between attempts. */
const PEER_GRACE = 1_000;
const RETRY = 10;

type Frames = Socket & Readable<Buffer[]> & Writable<Buffer[]>;

interface SocketCommand<S extends Socket = Frames> extends Omit<CommandFace, "name"> {
  readonly direction?: "send" | "receive";
  options?(command: Command): unknown;
  /** The first frame is a routing id. */
  readonly routed?: true;
  open(security: SecurityOptions, settings: SocketSettings): S;
  /** Before the first message is sent. */
  first?(session: Session<S>): Promise<void>;
  /** Default: by `direction`. */
  run?(session: Session<S>): Promise<Ending>;
}

function row<S extends Socket>(command: SocketCommand<S>): SocketCommand {
  return command as unknown as SocketCommand;
}

const routingId = (command: Command): Command =>
  command.option("--routing-id <ID>", "the routing id by which a router addresses this end");
const subscribe = (command: Command): Command =>
  command.addOption(
    repeatable(
      "--subscribe <PREFIX>",
      "subscribe to messages whose first frame begins with PREFIX (repeatable; default: all)",
    ),
  );
const idOf = ({ routingId }: SocketSettings): { readonly routingId?: string } =>
  routingId === undefined ? {} : { routingId };
const prefixesOf = ({ subscribe }: SocketSettings): readonly string[] =>
  subscribe === false ? [] : Array.isArray(subscribe) ? subscribe : [""];

const COMMANDS: Readonly<Record<string, SocketCommand>> = {
  pub: row<Publisher>({
    summary: "send each line to every subscriber",
    direction: "send",
    description:
      "Sends each line of standard input as a message to every subscriber of its topic. Waits for a first subscriber " +
      "and for slow ones, so none misses a message after connecting.",
    examples: [
      "seq 100 | shoal pub --bind tcp://127.0.0.1:5556",
      "echo 'weather|sunny' | shoal pub --multipart '|' --bind tcp://127.0.0.1:5556",
    ],
    open: (security) => new Publisher({ ...security, noDrop: true }),
    async first({ socket, settings: { timeout = -1 }, stop }) {
      try {
        await socket.waitForSubscribers({ timeout, signal: stop.forced });
      } catch (error) {
        throw waitFailed(error, `no subscriber connected within ${timeout} ms`);
      }
    },
  }),
  sub: row<Subscriber>({
    summary: "print the messages of publishers",
    direction: "receive",
    description: "Prints the messages of its publishers, one per line.",
    examples: [
      "shoal sub --connect tcp://127.0.0.1:5556",
      "shoal sub --connect tcp://127.0.0.1:5556 --subscribe weather --multipart '|' --count 1",
    ],
    options: subscribe,
    open(security, settings) {
      const socket = new Subscriber(security);
      socket.subscribe(...prefixesOf(settings));
      return socket;
    },
  }),
  xpub: row<XPublisher>({
    summary: "like pub, and print the subscriptions",
    description:
      "Sends standard input like pub, and prints subscriptions: a byte 1 and the topic prefix for a new one, a byte 0 " +
      "and the prefix when the last subscriber of it unsubscribes.",
    examples: [
      "seq 100 | shoal xpub --bind tcp://127.0.0.1:5556",
      "shoal xpub --bind tcp://127.0.0.1:5556 --json --count 1 < /dev/null",
    ],
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
  xsub: row<XSubscriber>({
    summary: "like sub, and send lines to the publishers",
    description:
      "Prints the messages of its publishers, and sends each line of standard input to them as a message. A line that " +
      "begins with a byte 1 subscribes to the rest of it; with a byte 0 it unsubscribes.",
    examples: [
      "shoal xsub --connect tcp://127.0.0.1:5556 --subscribe weather",
      "printf '\\001weather\\n' | shoal xsub --no-subscribe --connect tcp://127.0.0.1:5556",
    ],
    options: (command) =>
      subscribe(command).option("--no-subscribe", "no subscription except those in standard input"),
    open: (security) => new XSubscriber(security),
    async run(session) {
      for (const prefix of prefixesOf(session.settings))
        await session.socket.send(Buffer.concat([Buffer.of(SUBSCRIBE), Buffer.from(prefix)]));
      const ending = await converse(session, { send: sendTo(session), endsWithInput: false });
      return session.input.taken > 0 ? ending : "received";
    },
  }),
  push: row<Push>({
    summary: "send each line to one of the pull peers, in turn",
    direction: "send",
    description:
      "Sends each line of standard input as a message to one of its pull peers, in turn. Waits for a peer, and ends when " +
      "everything is delivered.",
    examples: [
      "seq 100 | shoal push --bind tcp://127.0.0.1:5557",
      "shoal push --raw --connect tcp://127.0.0.1:5558 < picture.png",
    ],
    open: (security) => new Push(security),
  }),
  pull: row<Pull>({
    summary: "print the messages of push peers",
    direction: "receive",
    description: "Prints the messages of its push peers, one per line; the peers take turns.",
    examples: [
      "shoal pull --connect tcp://127.0.0.1:5557",
      "shoal pull --raw --count 1 --bind tcp://127.0.0.1:5558 > picture.png",
    ],
    open: (security) => new Pull(security),
  }),
  req: row<Request>({
    summary: "send each line as a request, and print each reply",
    description:
      "Sends each line of standard input as a request, after the reply to the one before it, and prints the " +
      "replies in that order.",
    examples: [
      "echo hello | shoal req --connect tcp://127.0.0.1:5559",
      "shoal req --connect tcp://127.0.0.1:5559 --timeout 2000 < questions.txt",
    ],
    options: routingId,
    open: (security, settings) => new Request({ ...security, ...idOf(settings) }),
    run: ask,
  }),
  rep: row<Reply>({
    summary: "print each request, and reply with the next line",
    description:
      "Prints each request, and replies with the next line of standard input, with the output of a program (--exec), or with " +
      "the request (--echo). Ends when no line is left to reply with. A program that fails is logged, and its reply is empty.",
    examples: [
      "shoal rep --bind tcp://127.0.0.1:5559 --echo",
      "shoal rep --bind tcp://127.0.0.1:5559 --exec 'tr a-z A-Z'",
      "printf 'yes\\nno\\n' | shoal rep --bind tcp://127.0.0.1:5559",
    ],
    options: (command) => addAnswerOptions(routingId(command)),
    open: (security, settings) => new Reply({ ...security, ...idOf(settings) }),
    run: answer,
  }),
  dealer: row<Dealer>({
    summary: "send lines to peers in turn, and print their messages",
    description:
      "Sends standard input to its peers in turn, and prints their messages, both at once. A rep peer expects an " +
      "empty frame before the message.",
    examples: [
      "printf 'a\\nb\\n' | shoal dealer --count 2 --connect tcp://127.0.0.1:5560",
      "echo '|hello' | shoal dealer --multipart '|' --count 1 --connect tcp://127.0.0.1:5559",
    ],
    options: routingId,
    open: (security, settings) => new Dealer({ ...security, ...idOf(settings) }),
  }),
  router: row<Router>({
    summary: "send to each peer by its routing id",
    description:
      "Prints each message as ROUTING-ID MESSAGE, and sends lines of that form to the peers they name, both at once. A " +
      "routing id that is not printable text is written as 0x and hexadecimal digits.",
    examples: [
      "shoal router --bind tcp://127.0.0.1:5560",
      "echo 'alice hello' | shoal router --bind tcp://127.0.0.1:5560",
    ],
    options: routingId,
    routed: true,
    open: (security, settings) => new Router({ ...security, ...idOf(settings), mandatory: true }),
    run: (session) =>
      converse(session, {
        send: sendRouted(session),
        first: () => waitFor(session, session.peers.seen, "no peer connected"),
      }),
  }),
  pair: row<Pair>({
    summary: "send to and receive from one peer",
    description: "Sends standard input to the one peer, and prints its messages, both at once.",
    examples: [
      "shoal pair --bind tcp://127.0.0.1:5561",
      "echo hello | shoal pair --connect tcp://127.0.0.1:5561",
    ],
    open: (security) => new Pair(security),
  }),
};

const HELP = {
  send: {
    timeout: "fail when no peer comes within MS",
    raw: "all of the input is one message",
  },
  receive: {
    timeout: "fail when no message comes within MS",
    raw: "print the bytes of messages, with no line feed after each",
  },
};

export function addSocketCommands(program: Command, names: string): void {
  for (const name of names.split(" ")) {
    const { summary, description, examples, direction, options, routed, open, first, run } = COMMANDS[
      name
    ] as SocketCommand;
    const command = addCommand(program, { name, summary, description, examples });
    const help = direction === undefined ? {} : HELP[direction];
    addSharedOptions(command, ["bind", "connect", "count", "timeout", "multipart", "json", "raw"], help);
    addClusterOptions(addSecurityOptions(command));
    options?.(command);
    const usual = async (session: Session<Frames>): Promise<Ending> => {
      if (direction === "receive") return receiveLines(session);
      const before = async () => first?.(session);
      if (direction === undefined) return converse(session, { send: sendTo(session), first: before });
      await sendAll(session, sendTo(session), before, session.settings.count);
      return "complete";
    };
    command.action((given: Given<SocketSettings>) =>
      runSocket(given, { name, routed: routed === true, open, run: run ?? usual }),
    );
  }
}

async function receiveLines(session: Session<Frames>): Promise<Ending> {
  await receiveAll(session, { until: session.stop.requested, max: session.settings.count });
  return "received";
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
 * Replies with input lines, an echo or a program. The next line is read before a request is received, so that no
 * request stays without a reply at the end of the input.
 */
async function answer(session: Session<Reply>): Promise<Ending> {
  const { socket, settings, stop, input, output, log } = session;
  const { count = Number.POSITIVE_INFINITY, timeout = -1, echo, exec } = settings;
  const answerOf = echo === true || exec !== undefined ? answerer(settings) : undefined;
  const lines = input.messages();
  for (let answered = 0; answered < count && !stop.requested.aborted && !output.gone; answered++) {
    const noLine = new AbortController();
    const next = answerOf === undefined ? lines.next() : undefined;
    next?.then(
      ({ done }) => done && noLine.abort(),
      () => noLine.abort(),
    );
    let request: Buffer[];
    try {
      const signal = AbortSignal.any([stop.requested, noLine.signal]);
      request = await socket.receive({ timeout, signal });
    } catch (error) {
      if (!hasCode(error, "ABORT_ERR")) throw waitFailed(error, `no request came within ${timeout} ms`);
      await (stop.requested.aborted ? undefined : next); // Throws the input's error.
      if (!stop.requested.aborted) log.info("standard input ended: nothing left to reply with");
      break;
    }
    await output.print([request]);
    const reply =
      answerOf === undefined
        ? (await next)?.value
        : await Promise.resolve(answerOf(request, { signal: stop.forced })).catch((error: unknown) => {
            if (!hasCode(error, "ABORT_ERR")) log.warn(`a request failed: ${describe(error)}`);
            return [Buffer.alloc(0)];
          });
    if (reply === undefined) {
      const why = stop.requested.aborted ? "stopped" : "standard input ended";
      throw new Failure(`${why}: a request is left without a reply`);
    }
    try {
      // A reply usually has room, even after a forced stop.
      const wait = stop.forced.aborted ? { timeout: 0 } : { timeout, signal: stop.forced };
      await socket.send([reply].flat(), wait);
    } catch (error) {
      throw waitFailed(error, "there was no room for a reply");
    }
  }
  return "complete";
}

/** Waits for a full peer, and up to PEER_GRACE for an absent one; then skips the line: others must not wait. */
function sendRouted(session: Session<Socket & { send(frames: Buffer[]): Promise<void> }>): Send {
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
