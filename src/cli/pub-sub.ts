/** shoal pub, sub, xpub, xsub: messages to every subscriber of their topic. */
import type { Command, Option } from "commander";
import { Publisher, Subscriber, XPublisher, XSubscriber } from "../index.js";
import { addSocketCommand, repeatable, type Settings } from "./options.js";

import { runSocket } from "./session.js";
import { converse, receiveAll, sendAll, sendTo, waitFailed, waitFor } from "./transfer.js";

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

export function addPubSubCommands(program: Command): void {
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
