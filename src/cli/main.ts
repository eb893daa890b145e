#!/usr/bin/env node
/** The entry of the `shoal` binary. */
import { run } from "./program.js";

// The log has no reader any more: no reason to stop, and nowhere to report it.
process.stderr.on("error", () => undefined);
// Commands that print handle a lost reader themselves; a help text without a reader is not a failure.
process.stdout.on("error", () => undefined);

const code = await run(process.argv);
// A second signal that comes this late changes nothing: the command has ended, with this exit code.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);
// Standard input may still be open, and would keep the process alive.
process.exit(code);
