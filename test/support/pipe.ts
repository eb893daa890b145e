/** A named pipe that nobody writes to, in place of a file: an open of it to read waits. */
import { execFileSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync } from "node:fs";
import { onTestFinished } from "vitest";

/** @returns its path. An open that waits after all goes on when the test ends */
export function namedPipe(path: string): string {
  execFileSync("mkfifo", [path]);
  onTestFinished(() => {
    if (existsSync(path)) closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
  });
  return path;
}
