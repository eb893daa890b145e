import { describe, expect, test } from "vitest";
import { Dealer } from "../../src/index.js";
import { run, start, startWithout } from "./in-process.js";
import { ipc, useFolder } from "./support.js";

useFolder();

/** @returns the option of each command: the one binds, the other connects */
const whoBinds = (binding: string) => (name: string) => (name === binding ? "--bind" : "--connect");

describe("push and pull", () => {
  test.each(["push", "pull"])("carry lines, empty ones too, when %s binds", async (binding) => {
    const endpoint = ipc();
    const where = whoBinds(binding);
    const pull = startWithout("pull", where("pull"), endpoint, "--count", "4");
    const push = await run("a\n\n ü b\r\nlast", "push", where("push"), endpoint);
    expect(push).toMatchObject({ code: 0, stdout: Buffer.alloc(0) });
    await pull.prints("a\n\n ü b\r\nlast\n");
  });

  test("use several endpoints at once", async () => {
    const first = ipc();
    const second = ipc();
    const pull = startWithout("pull", "--bind", first, "--bind", second, "--count", "2");
    await pull.until("stderr", new RegExp(`listening at ${second}`));
    await run("a\n", "push", "--connect", first);
    await run("b\n", "push", "--connect", second);
    expect((await pull.ended).stdout.toString()).toBe("a\nb\n");
  });

  test("push sends no more than --count, and leaves the rest of its input", async () => {
    const endpoint = ipc();
    const pull = startWithout("pull", "--bind", endpoint);
    const push = start("push", "--connect", endpoint, "--count", "2");
    push.write("a\nb\nc\n");
    expect((await push.ended).code).toBe(0);
    await pull.until("stdout", /^a\nb\n$/);
    expect((await pull.stop()).stdout.toString()).toBe("a\nb\n");
  });

  test("--raw carries all bytes of the input as one message", async () => {
    const endpoint = ipc();
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256));
    const pull = startWithout("pull", "--bind", endpoint, "--count", "1", "--raw");
    expect((await run(bytes, "push", "--connect", endpoint, "--raw")).code).toBe(0);
    expect((await pull.ended).stdout.equals(bytes)).toBe(true);
  });
});

describe("pub and sub", () => {
  test.each(["pub", "sub"])("lose no line, the first one neither, when %s binds", async (binding) => {
    const endpoint = ipc();
    const where = whoBinds(binding);
    const pub = start("pub", where("pub"), endpoint).end("a\nb\nc\n");
    const sub = startWithout("sub", where("sub"), endpoint, "--count", "3");
    await Promise.all([sub.prints("a\nb\nc\n"), pub.prints("")]);
  });

  test("a subscriber gets what begins with one of its prefixes", async () => {
    const endpoint = ipc();
    const input = "a|1\nc|2\nab\nb|3\nbc|4\na\n";
    const pub = start("pub", "--bind", endpoint, "--multipart", "|").end(input);
    const prefixes = ["--subscribe", "a", "--subscribe", "bc"];
    const sub = startWithout("sub", "--connect", endpoint, ...prefixes, "--count", "4");
    expect((await sub.ended).stdout.toString()).toBe("a 1\nab\nbc 4\na\n");
    await pub.ended;
  });

  test("a pub without anything to send waits for nobody", async () => {
    expect(await run("", "pub", "--bind", ipc())).toMatchObject({ code: 0 });
  });
});

describe("req and rep", () => {
  test.each(["req", "rep"])("echo each line in order when %s binds", async (binding) => {
    const endpoint = ipc();
    const where = whoBinds(binding);
    const rep = startWithout("rep", where("rep"), endpoint, "--echo", "--count", "3");
    await start("req", where("req"), endpoint).end("a\n\nc\n").prints("a\n\nc\n");
    await rep.prints("a\n\nc\n");
  });

  test("rep answers by a program; one that fails is logged, and its reply is empty", async () => {
    const endpoint = ipc();
    const rep = startWithout("rep", "--bind", endpoint, "--exec", "grep good", "--count", "2");
    await start("req", "--connect", endpoint).end("good\nbad\n").prints("good\n\n\n");
    const { code, stdout, stderr } = await rep.ended;
    expect([code, stdout.toString()]).toEqual([0, "good\nbad\n"]);
    expect(stderr).toMatch(/ warn shoal rep: a request failed: exit status 1\n/);
  });

  test("rep answers with the lines of its input, and ends with them", async () => {
    const endpoint = ipc();
    const rep = start("rep", "--bind", endpoint).end("yes\nno\n");
    await start("req", "--connect", endpoint).end("1\n2\n").prints("yes\nno\n");
    expect(await rep.ended).toMatchObject({ code: 0, stdout: Buffer.from("1\n2\n") });
  });

  test("rep prints a request before its answer is known", async () => {
    const endpoint = ipc();
    const rep = start("rep", "--bind", endpoint, "--count", "1");
    const req = start("req", "--connect", endpoint).end("how are you?\n");
    await rep.until("stdout", /how are you\?\n/);
    rep.write("fine\n");
    expect((await req.ended).stdout.toString()).toBe("fine\n");
    expect((await rep.ended).code).toBe(0);
  });

  test("a request that stays without an answer makes rep fail", async () => {
    const endpoint = ipc();
    const rep = start("rep", "--bind", endpoint);
    start("req", "--connect", endpoint).end("anyone?\n");
    await rep.until("stdout", /anyone\?/);
    rep.end();
    await rep.fails(/shoal rep: standard input ended: a request is left without a reply\n/);
  });
});

describe("dealer and router", () => {
  test.each(["dealer", "router"])("talk by routing id when %s binds", async (binding) => {
    const endpoint = ipc();
    const where = whoBinds(binding);
    const router = start("router", where("router"), endpoint, "--count", "2");
    const dealer = start("dealer", where("dealer"), endpoint, "--routing-id", "alice", "--count", "1");
    dealer.write("one\ntwo words\n");
    await router.until("stdout", /^alice one\nalice two words\n/);
    router.end("alice hello alice\n");
    expect(await dealer.ended).toMatchObject({ code: 0, stdout: Buffer.from("hello alice\n") });
    expect((await router.ended).code).toBe(0);
  });

  test("an id that is not text is hexadecimal in lines", async () => {
    const endpoint = ipc();
    const router = start("router", "--bind", endpoint);
    const dealer = start("dealer", "--connect", endpoint, "--count", "1");
    dealer.write("hello\n");
    const [, id] = await router.until("stdout", /^(0x00[0-9a-f]{8}) hello\n/);
    router.write(`${id} you there\n`);
    expect((await dealer.ended).stdout.toString()).toBe("you there\n");
  });

  test("a line for a peer that is not there is reported; the others go out, and the exit code is 1", async () => {
    const endpoint = ipc();
    const router = start("router", "--bind", endpoint).end("bob x\nalice y\n");
    const dealer = start("dealer", "--connect", endpoint, "--routing-id", "alice", "--count", "1");
    expect((await dealer.ended).stdout.toString()).toBe("y\n");
    await router.fails(/line 1: no peer with the routing id bob is connected\n/);
    await router.fails(/1 of 2 messages had no peer\n/);
  });

  test("a line waits a moment for its peer to come", async () => {
    const endpoint = ipc();
    const router = start("router", "--bind", endpoint);
    await using bob = new Dealer({ routingId: "bob", linger: 0 });
    await using alice = new Dealer({ routingId: "alice", linger: 0 });
    bob.connect(endpoint);
    router.end("bob 1\nalice 2\n");
    expect(String(await bob.receive())).toBe("1");
    alice.connect(endpoint);
    expect(String(await alice.receive())).toBe("2");
    expect((await router.ended).code).toBe(0);
  });

  test("a router waits for its first peer", async () => {
    const endpoint = ipc();
    const router = start("router", "--bind", endpoint).end("alice hello\n");
    await router.endpoint();
    const dealer = startWithout("dealer", "--connect", endpoint, "--routing-id", "alice", "--count", "1");
    expect((await dealer.ended).stdout.toString()).toBe("hello\n");
    expect((await router.ended).code).toBe(0);
  });

  test("a dealer asks a rep behind an empty frame, and prints what comes soon after its input", async () => {
    const endpoint = ipc();
    const rep = startWithout("rep", "--bind", endpoint, "--echo", "--count", "2");
    const dealer = start("dealer", "--connect", endpoint, "--multipart", "|");
    await dealer.end("|a\n|b\n").prints("|a\n|b\n");
    expect((await rep.ended).stdout.toString()).toBe("a\nb\n");
  });

  test("an input without end does not keep a dealer from stopping at --count", async () => {
    const endpoint = ipc();
    const peer = start("dealer", "--bind", endpoint);
    peer.write("1\n2\n3\n4\n");
    const dealer = start("dealer", "--connect", endpoint, "--count", "3");
    const feeding = setInterval(() => dealer.write("x\n".repeat(100)), 1);
    const { stdout } = await dealer.ended.finally(() => clearInterval(feeding));
    expect(stdout.toString()).toBe("1\n2\n3\n");
  });
});

describe("pair", () => {
  test("without an input only receives, until --count", async () => {
    const endpoint = ipc();
    const receiving = startWithout("pair", "--bind", endpoint, "--count", "2");
    await receiving.endpoint();
    expect((await run("1\n2\n", "pair", "--connect", endpoint)).code).toBe(0);
    expect(await receiving.ended).toMatchObject({ code: 0, stdout: Buffer.from("1\n2\n") });
  });

  test("two that stop at --count each still send what they have", async () => {
    const endpoint = ipc();
    const a = start("pair", "--bind", endpoint, "--count", "1").end("a\n");
    const b = start("pair", "--connect", endpoint, "--count", "1").end("b\n");
    expect(await a.ended).toMatchObject({ code: 0, stdout: Buffer.from("b\n") });
    expect(await b.ended).toMatchObject({ code: 0, stdout: Buffer.from("a\n") });
  });
});

describe("xpub and xsub", () => {
  test("xpub prints subscriptions, and sends its lines to who asked", async () => {
    const endpoint = ipc();
    const xpub = start("xpub", "--bind", endpoint).end("a1\nb1\na2\n");
    const sub = startWithout("sub", "--connect", endpoint, "--subscribe", "a", "--count", "2");
    expect((await sub.ended).stdout.toString()).toBe("a1\na2\n");
    const { code, stdout } = await xpub.ended;
    expect(stdout.toString().startsWith("\u0001a\n")).toBe(true);
    expect(code).toBe(0);
  });

  test("xsub sends its prefixes and prints what matches", async () => {
    const endpoint = ipc();
    const xsub = start("xsub", "--bind", endpoint, "--subscribe", "b", "--count", "1").end();
    expect((await run("a1\nb1\n", "pub", "--connect", endpoint)).code).toBe(0);
    expect(await xsub.ended).toMatchObject({ code: 0, stdout: Buffer.from("b1\n") });
  });

  test("xsub sends its lines: subscriptions of its own, and messages to an xpub", async () => {
    const endpoint = ipc();
    const xpub = start("xpub", "--bind", endpoint, "--json", "--count", "2");
    const xsub = start("xsub", "--connect", endpoint, "--no-subscribe");
    xsub.write("\u0001topic\nhello\n");
    expect((await xpub.ended).stdout.toString()).toBe('{"frames":["\\u0001topic"]}\n{"frames":["hello"]}\n');
    xsub.signal("SIGTERM");
    await xsub.ended;
  });
});
