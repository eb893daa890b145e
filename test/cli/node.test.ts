/** shoal node: its options, its key file, and the commands that steer a node. */
import { spawnSync } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdirSync, symlinkSync } from "node:fs";
import { PassThrough, Writable } from "node:stream";
import { describe, expect, it, test } from "vitest";
import { run as runCommand } from "../../src/cli/program.js";
import { namedPipe } from "../support/pipe.js";
import { fails } from "./in-process.js";
import { newCluster } from "./nodes.js";
import { file, ipc, useFolder, written } from "./support.js";

useFolder();

const KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
const START = ["node", "start", "--name", "a"];

const refuses = (args: readonly string[], why: RegExp): Promise<string> => fails(2, why, args);

describe("shoal node start refuses", () => {
  it.each<[string, RegExp, string]>([
    ["an argument", /too many arguments/, "extra"],
    ["an unknown scope", /Allowed choices are host, link/, "--scope world"],
    ["the link without a key", /--scope: the scope "link" needs/, "--scope link"],
    ["an interface that is away", /there is no interface "none0"; there are .*lo/, "--interface none0"],
    ["a property without a value", /--prop expects K=V; got "x"/, "--prop x"],
    ["a property without a key", /--prop expects K=V/, "--prop =x"],
    ["a property twice", /--prop a is given twice/, "--prop a=1 --prop a=2"],
    ["an unknown source", /did you mean etcd\?/, "--discovery ectd://a:2379/x"],
    ["a source that is wrong", /expected dns:\/\/NAME:PORT/, "--discovery dns://a.test"],
    ["inproc for its control", /--control: .*transport must be one of tcp/, "--control inproc://x"],
  ])("%s", async (_, why, args) => void (await refuses([...START, ...args.split(" ")], why)));

  it("no name", async () => void (await refuses(["node", "start"], /expected --name N or --config FILE/)));

  it("a key file that is missing, a folder, or open to others", async () => {
    const missing = file();
    await refuses([...START, "--key", missing], /cannot read the key file .*ENOENT/);
    const folder = file();
    mkdirSync(folder);
    await refuses([...START, "--key", folder], /key file .* is not a regular file/);
    for (const mode of [0o640, 0o604, 0o660, 0o644]) {
      const path = written(`${KEY}\n`, mode);
      await refuses(
        [...START, "--key", path],
        new RegExp(`can be read by others \\(mode ${mode.toString(8)}\\)`),
      );
    }
    const link = file();
    symlinkSync(written(`${KEY}\n`, 0o644), link);
    await refuses([...START, "--key", link], /can be read by others/);
  });

  it("a pipe in place of a file that it is to follow, and does not wait for its writer", async () => {
    const pipe = namedPipe(file());
    await refuses([...START, "--key", pipe], /key file .* is not a regular file/);
    await refuses([...START, "--password-file", pipe], /password file .* is not a regular file/);
    const tls = ["--tls-cert", pipe, "--tls-key", pipe, "--tls-ca", pipe];
    await refuses(
      [...START, "--key", written(`${KEY}\n`), ...tls],
      /cannot read .*: it is a pipe or a device/,
    );
  });

  it.each([
    ["an empty one", ""],
    ["39 characters", KEY.slice(1)],
    ["41 characters", `${KEY}x`],
    ["another alphabet", `"${KEY.slice(1)}`],
    ["two lines", `${KEY}\n${KEY}\n`],
    ["an empty line more", `${KEY}\n\n`],
    ["a space", `${KEY} `],
    ["bytes", Buffer.alloc(40, 0xff)],
  ])("a key file with %s, and does not print what is in it", async (_, text) => {
    const stderr = await refuses([...START, "--key", written(text)], /is not one line of 40 Z85 characters/);
    expect(stderr).not.toContain(KEY.slice(1, 20));
  });

  it("a password file that others can read, too short or of several lines, or next to a key", async () => {
    const good = written("correct horse battery\n");
    await refuses([...START, "--password-file", written("correct horse", 0o640)], /can be read by others/);
    for (const text of ["short\n", "two lines\nof text\n", "x".repeat(1_025), Buffer.alloc(9, 0xff)]) {
      const stderr = await refuses(
        [...START, "--password-file", written(text)],
        /is not one line of 8 to 1,024/,
      );
      expect(stderr).not.toContain("of text");
    }
    await refuses([...START, "--password-file", good, "--key", written(`${KEY}\n`)], /not both/);
  });
});

test("lines that nobody reads are dropped past a mebibyte, and that is logged; the node goes on", async () => {
  const signals = new EventEmitter();
  const stdout = new Writable({ write: () => undefined }); // A reader that never reads.
  stdout.write(Buffer.alloc(1_048_576));
  const logged = new PassThrough();
  const args = ["node", "shoal", ...START, "--cluster", newCluster()];
  const ended = runCommand(args, { stdin: undefined, stdout, stderr: logged, signals });
  const [line] = await once(logged, "data");
  expect(String(line)).toMatch(/ warn shoal node a: no one reads standard output: lines are dropped\n$/);
  expect(stdout.writableLength).toBe(1_048_576);
  signals.emit("SIGTERM");
  expect(await ended).toBe(0);
});

describe("the commands of a running node", () => {
  it("fail at once where there is no socket, and where its process was killed", async () => {
    const endpoint = ipc();
    await fails(1, "ENOENT", ["node", "status", "--control", endpoint]);
    const path = endpoint.slice("ipc://".length);
    const listens = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`;
    spawnSync(process.execPath, ["-e", listens]);
    await fails(1, "ECONNREFUSED", ["node", "status", "--control", endpoint]);
  });

  it.each<[string, RegExp, string]>([
    ["a name and an endpoint", /not with --control/, "status --node a --control ipc://x"],
    ["no name", /missing required argument 'name'/, "remove --control ipc://x"],
    ["a word too many", /too many arguments/, "remove b c --control ipc://x"],
    ["a bad endpoint", /expected TRANSPORT/, "remove b --control nonsense"],
    ["inproc", /only this process/, "remove b --control inproc://x"],
    ["a bad time-out", /from 1 to/, "remove b --control ipc://x --timeout 0"],
  ])("are refused with %s, exit code 2", async (_, why, args) =>
    void (await refuses(["node", ...args.split(" ")], why)));
});
