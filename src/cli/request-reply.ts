/** shoal req, rep: requests and replies. */
import type { Command } from "commander";
import { Reply, Request } from "../index.js";
import { Failure, hasCode } from "./failure.js";
import { addSocketCommand } from "./options.js";
import { type Ending, runSocket, type Session } from "./session.js";
import { sendAll, waitFailed } from "./transfer.js";
import { addRoutingId, type RoutedSettings, routingIdOf } from "./two-way.js";

interface ReplySettings extends RoutedSettings {
  readonly echo?: boolean;
}

export function addRequestReplyCommands(program: Command): void {
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
      throw waitFailed(error, `no reply came within ${call.timeout} ms`);
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
    if (reply === undefined) throw new Failure("standard input ended: a request is left without a reply");
    await socket.send(reply, { timeout, signal: stop.forced });
  }
  return "complete";
}
