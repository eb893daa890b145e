/** Destinations of records: the file of `--json`, and a list for reports. */
import { closeSync, openSync, writeFileSync } from "node:fs";
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
    if (file !== undefined && file !== "-") descriptor = openSync(file, "w");
  } catch (error) {
    throw new BadInput(`cannot write ${file}: ${(error as Error).message}`);
  }
  return {
    records,
    write(record) {
      records.push(record);
      const line = `${JSON.stringify(record)}\n`;
      if (file === "-") process.stdout.write(line);
      // At once, so that lines survive the end of the program.
      else if (descriptor !== undefined) writeFileSync(descriptor, line);
    },
    close() {
      if (descriptor !== undefined) closeSync(descriptor);
      descriptor = undefined;
    },
  };
}

export async function writeReport(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    throw new Error(`cannot write ${file}: ${(error as Error).message}`);
  }
}
