/** Programs of the system, and sources in other languages: whether one is there, and what it prints. */
import { type SpawnOptionsWithoutStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../places.js";

/** What a short program that answers something may take, in ms. */
const LIMIT = 20_000;

export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. A program that is not there gives the code `null`; one that hangs is ended. */
export async function ask(file: string, args: readonly string[], input = ""): Promise<Said> {
  const child = spawn(file, args, { timeout: LIMIT, killSignal: "SIGKILL" } as SpawnOptionsWithoutStdio);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.on("error", () => undefined); // It may not read its input.
  child.stdin.end(input);
  try {
    const [code] = (await once(child, "close")) as [number | null];
    return { code, stdout, stderr };
  } catch (error) {
    return { code: null, stdout, stderr: (error as Error).message };
  }
}

/** The first of some programs that does something without an error. */
export async function firstThatRuns(
  files: readonly string[],
  args: readonly string[],
  input = "",
): Promise<string | undefined> {
  for (const file of files) if ((await ask(file, args, input)).code === 0) return file;
  return undefined;
}

/** Gives the same promise to every caller. */
export function lazily<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => (result ??= work());
}

/**
 * The sources of sides in other languages, which only a checkout has: the package is for users of the library.
 *
 * @returns the folder, or `undefined` in an installed package
 */
export function sourceFolder(name: string, file: string): string | undefined {
  const folder = join(ROOT, `bench/peers/${name}/`);
  return existsSync(folder + file) ? folder : undefined;
}
