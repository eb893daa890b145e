/** shoal push, pull: distributing work, and collecting it. */
import type { Command } from "commander";
import { Pull, Push } from "../index.js";
import { addSocketCommand } from "./options.js";
import { runSocket } from "./session.js";
import { receiveAll, sendAll, sendTo } from "./transfer.js";

export function addPipelineCommands(program: Command): void {
  addSocketCommand(
    program,
    {
      name: "push",
      summary: "send each line to one of the pull peers, in turn",
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
