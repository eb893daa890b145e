/** Logs for machines: an object a line on standard error, by pino, which is loaded here and nowhere else. */
import type { LogWriter } from "./log.js";

/** Loads pino. */
export async function jsonLog(): Promise<LogWriter> {
  const { default: pino } = await import("pino");
  const logger = pino(
    {
      level: "debug", // What is said at all is decided before.
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    process.stderr,
  );
  return (severity, command, text, fields) => {
    logger[severity]({ ...(command === "" ? {} : { command }), ...fields }, text);
  };
}
