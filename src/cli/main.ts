#!/usr/bin/env node
/** The entry of the `shoal` binary. */
import { Log } from "./log.js";
import { run } from "./program.js";

// The log has lost its reader; this cannot be reported.
process.stderr.on("error", () => undefined);
// Commands that print handle a lost reader; for a help text it is no failure.
process.stdout.on("error", () => undefined);
// Node.js would print several lines, whatever the format and level of the log. Its flag --no-warnings leaves no listener.
if (process.listenerCount("warning") > 0)
  process.removeAllListeners("warning").on("warning", ({ message }) => new Log("").warn(message));

const code = await run(process.argv);
// The command has ended: a late signal changes nothing.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);
// An open standard input would keep the process alive.
process.exit(code);
