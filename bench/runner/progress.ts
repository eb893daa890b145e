/** Progress bar on standard error, if that is a terminal. */
import { SingleBar } from "cli-progress";

export interface Progress {
  update(what: string, share: number): void;
  /** Removes the bar, so that lines can be printed; the next update draws it again. */
  clear(): void;
}

const WIDTH = 1_000;

export function createProgress(stream: NodeJS.WriteStream): Progress {
  if (!stream.isTTY) return { update: () => undefined, clear: () => undefined };
  let bar: SingleBar | undefined;
  return {
    update(what, share) {
      if (bar === undefined) {
        bar = new SingleBar({
          stream,
          format: "{bar} {percentage} %  {duration_formatted}  {what}",
          barsize: 24,
          clearOnComplete: true,
          hideCursor: true,
          // Drawn with progress reports, at most every 100 ms, since it shares the cores with the measured processes.
          noTTYOutput: false,
          synchronousUpdate: true,
          gracefulExit: false,
          fps: 10,
        });
        bar.start(WIDTH, 0, { what });
      }
      bar.update(Math.round(share * WIDTH), { what });
    },
    clear() {
      bar?.stop();
      bar = undefined;
    },
  };
}
