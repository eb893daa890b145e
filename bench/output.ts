/** Destinations of records: the file of `--json`, and a list for reports. */
import { closeSync, openSync, writeSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { BadInput } from "./bad-input.js";
import type { BenchRecord } from "./report/records.js";

export interface RecordSink {
  readonly records: readonly BenchRecord[];
  write(record: BenchRecord): void;
  close(): void;
}

/** @param file "-" means standard output */
export function openSink(file: string | undefined): RecordSink {
  const records: BenchRecord[] = [];
  let descriptor: number | undefined;
  try {
    // Lines are written one by one, so that they survive the end of the program.
    if (file !== undefined) descriptor = file === "-" ? 1 : openSync(file, "w");
  } catch (error) {
    throw new BadInput(`cannot write ${file}: ${(error as Error).message}`);
  }
  return {
    records,
    write(record) {
      records.push(record);
      if (descriptor !== undefined) writeLine(descriptor, `${JSON.stringify(record)}\n`);
    },
    close() {
      if (descriptor !== undefined && descriptor !== 1) closeSync(descriptor);
      descriptor = undefined;
    },
  };
}

function writeLine(descriptor: number, line: string): void {
  try {
    for (let rest = Buffer.from(line); rest.length > 0; ) rest = rest.subarray(writeSync(descriptor, rest));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // The reader of standard output left, or is slow and not waited for.
    if (descriptor !== 1 || (code !== "EPIPE" && code !== "EAGAIN")) throw error;
    if (code === "EAGAIN") process.stdout.write(line);
  }
}

export async function writeReport(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    throw new Error(`cannot write ${file}: ${(error as Error).message}`);
  }
}
