import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fails, run, start, startWithout } from "./in-process.js";
import { ipc, run as runProcess, useShoal } from "./support.js";

useShoal();

const COMMANDS =
  "pub sub xpub xsub push pull req rep dealer router pair majordomo lvc proxy node top dashboard tap doctor bench keygen completion man".split(
    " ",
  );

describe("help and version", () => {
  test("shoal --help names every command", async () => {
    const { code, stdout, stderr } = await run("", "--help");
    expect(code).toBe(0);
    expect(stderr).toBe("");
    for (const command of COMMANDS) expect(stdout.toString()).toMatch(new RegExp(`^  ${command} `, "m"));
  });

  test("every command has its help, by both ways", async () => {
    const helps = await Promise.all(COMMANDS.map((command) => run("", command, "--help")));
    for (const [index, { code, stdout }] of helps.entries()) {
      expect(code).toBe(0);
      expect(stdout.toString()).toMatch(new RegExp(`Examples:\\n.*shoal ${COMMANDS[index]}`));
    }
    const { code, stdout } = await run("", "help", "push");
    expect(code).toBe(0);
    expect(stdout.toString()).toBe(helps[COMMANDS.indexOf("push")]?.stdout.toString());
    const inner = await Promise.all([
      run("", "help", "clone", "server"),
      run("", "clone", "server", "--help"),
    ]);
    expect(inner.map((each) => each.code)).toEqual([0, 0]);
    expect(String(inner[0].stdout)).toBe(String(inner[1].stdout));
  });

  test("shoal --version is the package's", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(await run("", "--version")).toMatchObject({ code: 0, stdout: Buffer.from(`${version}\n`) });
  });

  test("shoal alone shows its help as an error", async () => {
    const { code, stdout, stderr } = await run("");
    expect(code).toBe(2);
    expect(stdout.length).toBe(0);
    expect(stderr).toMatch(/^Usage: shoal/);
  });
});

describe("bad usage is one line and exit code 2", () => {
  const key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
  const long = "x".repeat(300);
  test.each<[string, RegExp, string]>([
    ["an unknown command", /unknown command 'pusj' \(Did you mean push\?\)/, "pusj"],
    ["an unknown command for help", /no command "nope"/, "help nope"],
    ["a misspelt command for help", /no command "pusj"; did you mean push\?/, "help pusj"],
    ["a misspelt command with --help", /no command "pusj"; did you mean push\?/, "pusj --help"],
    ["a misspelt command after --help", /no command "pusj"; did you mean push\?/, "--help pusj"],
    [
      "a misspelt command of a group with -h",
      /shoal majordomo has no command "brokr"; did you mean broker\?/,
      "majordomo brokr -h",
    ],
    ["one after its help", /majordomo has no command "brokr"; did you mean broker\?/, "majordomo help brokr"],
    ["one of a group", /majordomo: unknown command 'brokr' \(Did you mean broker\?\)/, "majordomo brokr"],
    ["one that a group does not have", /command 'list'; expected broker, worker, call/, "majordomo list"],
    ["an unknown shell", /value 'tcsh' is invalid .* choices are bash, zsh, fish/, "completion tcsh"],
    ["an unknown part of a command for help", /shoal clone has no command "nope"/, "help clone nope"],
    ["a long command, cut", /unknown command 'x{60}…'/, long],
    ["a long value of an option, cut", /argument 'x{60}…' is invalid/, `node start --name a --scope ${long}`],
    ["a long pair, cut", /--prop expects K=V; got "x{60}…"/, `node start --name a --prop ${long}`],
    ["a long endpoint, cut", /Endpoint "tcp:\/\/x{54}…":/, `push --connect tcp://${long}`],
    ["an option of another command", /unknown option '--echo'/, "req --bind ipc://x --echo"],
    ["an argument too many", /too many arguments/, "pull --bind ipc://x extra"],
    ["a missing argument", /argument missing/, "pull --bind"],
    ["no endpoint", /expected --bind EP or --connect EP/, "pull"],
    ["a bad endpoint", /Endpoint "nonsense": expected TRANSPORT:\/\/ADDRESS/, "pull --bind nonsense"],
    ["an unknown transport", /transport must be one of tcp/, "pull --connect foo://x"],
    ["a bad port", /port must be a number/, "pull --bind tcp://127.0.0.1:70000"],
    ["inproc", /reaches only this process/, "pull --bind inproc://x"],
    ["a bad number", /'--count <N>' argument '1.5' is invalid/, "pull --bind ipc://x --count 1.5"],
    ["no separator", /Expected at least one/, "pull --bind ipc://x --multipart "],
    ["a line feed between frames", /line feed/, "pull --bind ipc://x --multipart \n"],
    ["JSON and raw", /exclude each other/, "pull --bind ipc://x --json --raw"],
    ["JSON and frames", /exclude each other/, "pull --bind ipc://x --json --multipart |"],
    ["a bad server key", /40 characters of Z85/, "pull --bind ipc://x --curve-server-key abc"],
    ["PLAIN and CURVE", /exclude each other/, `pull --connect ipc://x --plain u:p --curve-server-key ${key}`],
    ["PLAIN as both", /expected one of them/, "pair --bind ipc://x --connect ipc://y --plain u:p"],
    ["a routing id too long", /routingId/, `dealer --connect ipc://x --routing-id ${long}`],
    [
      "a drain longer than a timer",
      /whole number from 0 to 2147483\./,
      "proxy queue --frontend ipc://x --backend ipc://y --drain 2147484",
    ],
    [
      "more requests at once than a worker takes",
      /'--concurrency <N>' argument '65536' is invalid\. Expected a whole number from 1 to 65535\./,
      "majordomo worker x --connect ipc://x --echo --concurrency 65536",
    ],
    [
      "a first port without room for the others",
      /'--port <P>' argument '65532' is invalid\. Expected a whole number from 1 to 65531\./,
      "clone server --port 65532",
    ],
    ["--force without --out", /--force needs --out/, "keygen --force"],
  ])("%s", async (_, why, args) => void (await fails(2, why, args.split(" "))));

  test("a password is not repeated", async () => {
    const said = await fails(2, /--plain expects/, ["pull", "--bind", "ipc://x", "--plain", ":secret"]);
    expect(said).not.toMatch(/secret/);
  });
});

describe("what fails is one line and exit code 1", () => {
  test("a certificate that is not there", async () => {
    const args = ["pull", "--bind", ipc(), "--curve-certificate", "/no/such"];
    await fails(1, /cannot read the certificate \/no\/such: ENOENT/, args);
  });

  test.each([
    [["pull", "--connect"], /no message came within 50 ms/],
    [["sub", "--connect"], /no message came within 50 ms/],
    [["rep", "--echo", "--connect"], /no request came within 50 ms/],
    [["push", "--connect"], /not every message was delivered/],
    [["req", "--connect"], /no reply came within 50 ms/],
    [["pub", "--connect"], /no subscriber connected within 50 ms/],
    [["pair", "--connect"], /no (peer connected|message came) within 50 ms/],
  ])("%s with nobody there, after --timeout", async (args, why) => {
    await fails(1, why, [...args, ipc(), "--timeout", "50"], "a\n");
  });

  test("a bound push with nobody there, after --timeout", async () => {
    await fails(1, /no peer had room/, ["push", "-q", "--bind", ipc(), "--timeout", "50"], "a\n");
  });

  test("an address in use is named", async () => {
    const first = start("pull", "--bind", "tcp://127.0.0.1:*");
    const endpoint = await first.endpoint();
    await fails(1, new RegExp(`${endpoint}.*in use`), ["pull", "--bind", endpoint]);
  });
});

test("the binary prints what its command does, and ends with its exit code", async () => {
  const args = ["pusj"];
  const here = await run("", ...args);
  expect(await runProcess("", ...args)).toEqual(here);
  expect(here.code).toBe(2);
});

test("commands that run at once in a process keep to their own terminals, formats and levels", async () => {
  const endpoint = ipc();
  const json = startWithout("pull", "--bind", endpoint, "--log-format", "json", "--count", "1");
  await json.until("stderr", /listening at/);
  const quiet = startWithout("pull", "--connect", ipc(), "-q", "--timeout", "1");
  const text = startWithout("pull", "--bind", ipc(), "--timeout", "1");
  expect((await quiet.ended).stderr).toBe("shoal pull: no message came within 1 ms\n");
  expect((await text.ended).stderr).toMatch(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info shoal pull: listening at \S+\nshoal pull: no message came .*\n$/,
  );
  await run("one\n", "push", "--connect", endpoint);
  const { stdout, stderr } = await json.ended;
  expect(String(stdout)).toBe("one\n");
  for (const line of stderr.trim().split("\n")) expect(JSON.parse(line)).toMatchObject({ command: "pull" });
  text.signal("SIGTERM"); // Of nobody any more, and of no other.
});
