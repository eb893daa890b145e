/** Folders of tests, which are gone after each of them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach } from "vitest";

/** @returns a folder that the tests of a file, or of a describe, share */
export function sharedFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "shoal-test-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Once for a file, outside of its tests and before `closeAfterEach`: so what is in a folder is closed when it goes. @returns makes a folder */
export function removeAfterEach(): () => string {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    const folder = mkdtempSync(join(tmpdir(), "shoal-test-"));
    folders.push(folder);
    return folder;
  };
}
