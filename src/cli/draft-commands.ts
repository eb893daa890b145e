/** The draft socket commands: shoal client, server, radio, dish, scatter, gather. Each message has one frame. */

import type { Command } from "commander";
import type { Readable, Socket, Writable } from "../index.js";
import { Client, Dish, Gather, Radio, Scatter, Server } from "../sockets/draft/index.js";
import { Failure, hasCode, UsageError } from "./failure.js";
import { addSocketCommand, type Given, hideOptions, repeatable, type Settings } from "./options.js";
import { type Ending, runSocket, type Session, type Work } from "./session.js";
import { sendRouted } from "./socket-commands.js";
import { converse, receiveAll, type Send, sendAll, sendTo, waitFailed, waitFor } from "./transfer.js";

/** What transfer.ts asks of a socket: messages as frames, the address first. */
type Frames = Socket & Readable<Buffer[]> & Writable<Buffer[]>;

/** Adds the commands, in the order of the help. */
export function addDraftCommands(program: Command): void {
  addClient(program);
  addServer(program);
  addRadio(program);
  addDish(program);
  addScatterAndGather(program);
}

/** A socket command whose messages have one frame. */
function addDraftCommand<S extends Settings>(
  ...[program, face, action]: Parameters<typeof addSocketCommand<S>>
): Command {
  return hideOptions(addSocketCommand<S>(program, face, action), ["multipart"]);
}

/** @throws UsageError for --multipart */
async function runDraft<S extends Socket>(given: Given, work: Work<S>): Promise<void> {
  if (given.multipart !== undefined)
    throw new UsageError(`--multipart: a message of shoal ${work.name} has one frame`);
  await runSocket(given, { frames: work.routed === undefined ? 1 : 2, ...work });
}

/** The same session, whose socket has messages as frames. */
function asFrames(
  session: Session<Socket>,
  calls: Partial<Pick<Frames, "send" | "receiveMany">>,
): Session<Frames> {
  return { ...session, socket: calls as Frames };
}

function addClient(program: Command): void {
  addDraftCommand(
    program,
    {
      name: "client",
      summary: "send lines to servers in turn, and print their messages",
      description:
        "Sends standard input to its servers in turn, and prints their messages, both at once. Draft.",
      examples: ["echo hello | shoal client --connect tcp://127.0.0.1:5562"],
    },
    (settings) =>
      runDraft(settings, {
        name: "client",
        open: (security) => new Client(security) as unknown as Frames,
        run: (session) => converse(session, { send: sendTo(session) }),
      }),
  );
}

interface ServerSettings extends Settings {
  readonly echo?: boolean;
}

function addServer(program: Command): void {
  addDraftCommand<ServerSettings>(
    program,
    {
      name: "server",
      summary: "send to each client by its routing id",
      description:
        "Prints each message as ROUTING-ID MESSAGE, and sends lines of that form to the clients they name, both at once; or, " +
        "with --echo, answers each message with itself. A routing id is a number that the server makes up for each " +
        "connection. Draft.",
      examples: [
        "shoal server --bind tcp://127.0.0.1:5562 --echo",
        "shoal server --bind tcp://127.0.0.1:5562 --count 1 < /dev/null",
      ],
    },
    (settings) =>
      runDraft(settings, {
        name: "server",
        routed: "routing id",
        open: (security) => new Server(security),
        run: (session) => (settings.echo === true ? echo(session) : serve(session)),
      }),
  ).option("--echo", "answer each message with itself");
}

function serve(session: Session<Server>): Promise<Ending> {
  const { socket } = session;
  const frames = asFrames(session, {
    send: async (given) => {
      const [id, body] = given as [Buffer, Buffer];
      await socket.send(body, { routingId: routingIdOf(id, session) });
    },
    receiveMany: async (options) =>
      (await socket.receiveMany(options)).map(([body, { routingId }]) => [Buffer.from(`${routingId}`), body]),
  });
  return converse(frames, {
    send: sendRouted(frames),
    first: () => waitFor(session, session.peers.seen, "no client connected"),
  });
}

function routingIdOf(word: Buffer, { input }: Session<Server>): number {
  const id = Number(word.toString("latin1"));
  if (Number.isInteger(id) && id >= 1 && id <= 0xffff_ffff) return id;
  throw new Failure(`line ${input.taken}: a server's routing id is a whole number from 1 to 4294967295`);
}

async function echo(session: Session<Server>): Promise<Ending> {
  const { socket, settings, stop, output, log } = session;
  const { count = Number.POSITIVE_INFINITY, timeout = -1 } = settings;
  for (let answered = 0; answered < count && !stop.requested.aborted && !output.gone; answered++) {
    let message: Awaited<ReturnType<Server["receive"]>>;
    try {
      message = await socket.receive({ timeout, signal: stop.requested });
    } catch (error) {
      if (hasCode(error, "ABORT_ERR")) break;
      throw waitFailed(error, `no message came within ${timeout} ms`);
    }
    const [body, address] = message;
    await output.print([[Buffer.from(`${address.routingId}`), body]]);
    try {
      await socket.send(body, address);
    } catch (error) {
      // One client that left, or does not read, does not hold up the others.
      if (!hasCode(error, "EHOSTUNREACH") && !hasCode(error, "EAGAIN")) throw error;
      log.warn(`no answer to ${address.routingId}: ${(error as Error).message}`);
    }
  }
  return "complete";
}

interface GroupSettings extends Settings {
  readonly group?: readonly string[];
}

function addRadio(program: Command): void {
  addDraftCommand<GroupSettings>(
    program,
    {
      name: "radio",
      summary: "send each line to everyone in its group",
      direction: "send",
      description:
        "Sends each line of standard input, GROUP MESSAGE, to every dish that joined the group; with --group each line is a " +
        "message to that group. Waits for a first dish to join, and for slow ones, so none misses a message after that. Draft.",
      examples: [
        "echo 'weather sunny' | shoal radio --bind tcp://127.0.0.1:5563",
        "seq 100 | shoal radio --group numbers --bind tcp://127.0.0.1:5563",
      ],
    },
    (settings) => {
      const [group, ...more] = settings.group ?? [];
      if (more.length > 0) throw new UsageError("--group: a radio sends its lines to one group");
      return runDraft(settings, {
        name: "radio",
        ...(group === undefined && { routed: "group" as const }),
        open: (security) => new Radio({ ...security, noDrop: true }),
        run: (session) => send(session, group),
      });
    },
  ).addOption(repeatable("--group <NAME>", "the group of every line"));
}

async function send(session: Session<Radio>, group: string | undefined): Promise<Ending> {
  const { socket, settings, stop, peers } = session;
  const wait = { timeout: settings.timeout ?? -1, signal: stop.forced };
  // The engine libzmq does not report who joins, and over datagrams nobody does.
  const joined =
    socket.context.engine === "libzmq" ||
    settings.connect?.some((endpoint) => endpoint.startsWith("udp:")) === true
      ? peers.seen
      : new Promise<void>((resolve) => socket.events.once("subscribe", () => resolve()));
  const sendOne: Send = async (frames) => {
    const [address, body] = group === undefined ? frames : [group, frames[0]];
    try {
      await socket.send(body as Buffer, { ...wait, group: address as Buffer | string });
      return true;
    } catch (error) {
      throw waitFailed(error, `no peer had room for a message within ${wait.timeout} ms`);
    }
  };
  await sendAll(session, sendOne, () => waitFor(session, joined, "no dish joined"), settings.count);
  return "complete";
}

function addDish(program: Command): void {
  addDraftCommand<GroupSettings>(
    program,
    {
      name: "dish",
      summary: "print the messages of groups",
      direction: "receive",
      description: "Prints the messages of the groups it joins, one per line, as GROUP MESSAGE. Draft.",
      examples: ["shoal dish --group weather --group numbers --connect tcp://127.0.0.1:5563"],
    },
    (settings) => {
      if (settings.group === undefined)
        throw new UsageError("--group is missing: a dish joins one group or more");
      return runDraft(settings, {
        name: "dish",
        routed: "group",
        open(security) {
          const dish = new Dish(security);
          dish.join(...(settings.group ?? []));
          return dish;
        },
        async run(session) {
          const { socket, stop } = session;
          const frames = asFrames(session, {
            receiveMany: async (options) =>
              (await socket.receiveMany(options)).map(([body, { group }]) => [group, body]),
          });
          await receiveAll(frames, { until: stop.requested, max: session.settings.count });
          return "received";
        },
      });
    },
  ).addOption(repeatable("--group <NAME>", "a group to join (repeatable)"));
}

function addScatterAndGather(program: Command): void {
  addDraftCommand(
    program,
    {
      name: "scatter",
      summary: "send each line to one of the gather peers, in turn",
      direction: "send",
      description:
        "Sends each line of standard input to one of its gather peers, in turn, as push does. Draft.",
      examples: ["seq 100 | shoal scatter --bind tcp://127.0.0.1:5564"],
    },
    (settings) =>
      runDraft(settings, {
        name: "scatter",
        open: (security) => new Scatter(security) as unknown as Frames,
        async run(session) {
          await sendAll(session, sendTo(session), async () => undefined, session.settings.count);
          return "complete";
        },
      }),
  );
  addDraftCommand(
    program,
    {
      name: "gather",
      summary: "print the messages of scatter peers",
      direction: "receive",
      description: "Prints the messages of its scatter peers, one per line, as pull does. Draft.",
      examples: ["shoal gather --connect tcp://127.0.0.1:5564"],
    },
    (settings) =>
      runDraft(settings, {
        name: "gather",
        open: (security) => new Gather(security) as unknown as Frames,
        async run(session) {
          await receiveAll(session, { until: session.stop.requested, max: session.settings.count });
          return "received";
        },
      }),
  );
}
