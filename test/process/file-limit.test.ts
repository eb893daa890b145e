/** A process without files for more connections (ulimit -n): its operator reads a warning. */
import { connect, type Socket } from "node:net";
import { expect, it } from "vitest";
import { Child } from "./child.js";

/** Node.js itself has some 20 files open. */
const FILES = 40;

const PROGRAM = `
import { closeSync, openSync } from "node:fs";
import { Pull } from "shoal";
const pull = new Pull();
process.on("warning", ({ code }) => console.log(code));
const endpoint = await pull.bind("tcp://127.0.0.1:*");
console.log(endpoint);
const files = [];
try {
  for (;;) files.push(openSync("/dev/null"));
} catch {}
pull.events.on("accept", () => console.log("accepted"));
process.stdin.on("data", () => {
  for (const file of files) closeSync(file);
  console.log("free");
});
`;

it("a process with a socket that has no files left warns, and accepts connections when there are some", async () => {
  const node = [process.execPath, "--input-type=module", "-e", PROGRAM];
  const child = new Child("sh", ["-c", `ulimit -n ${FILES}; exec "$0" "$@"`, ...node]);
  const peers: Socket[] = [];
  try {
    const endpoint = await child.line();
    expect(await child.line()).toBe("SHOAL_FILES");
    child.write("\n");
    expect(await child.line()).toBe("free");
    peers.push(connect(Number(endpoint.split(":").at(-1)), "127.0.0.1"));
    expect(await child.line()).toBe("accepted");
  } finally {
    for (const peer of peers) peer.destroy();
    await child.kill();
  }
  expect((await child.outcome).stderr).toMatch(/SHOAL_FILES.*This process can open no more files/);
});
