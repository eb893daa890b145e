/** shoal client, server, radio, dish, scatter, gather. */
import { describe, expect, test } from "vitest";
import { Server } from "../../src/sockets/draft/index.js";
import { run, start, startWithout } from "./in-process.js";
import { ipc, useFolder } from "./support.js";

useFolder();

describe("client and server", () => {
  test("a server with --echo answers each client", async () => {
    const endpoint = ipc();
    const server = startWithout("server", "--bind", endpoint, "--echo", "--count", "3", "--json");
    const client = await run("a\n\nc d\n", "client", "--connect", endpoint, "--count", "3");
    expect(client).toMatchObject({ code: 0 });
    expect(client.stdout.toString()).toBe("a\n\nc d\n");
    const { code, stdout } = await server.ended;
    expect(code).toBe(0);
    const lines = stdout
      .toString()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).frames);
    expect(lines.map(([, body]) => body)).toEqual(["a", "", "c d"]);
    expect(new Set(lines.map(([id]) => id)).size).toBe(1);
    expect(Number(lines[0][0])).toBeGreaterThan(0);
  });

  test("a server prints ROUTING-ID MESSAGE, and sends lines of that form", async () => {
    const endpoint = ipc();
    const server = start("server", "--bind", endpoint);
    const client = start("client", "--connect", endpoint, "--count", "1");
    client.write("who am I\n");
    const [, id] = await server.until("stdout", /^(\d+) who am I\n$/);
    server.write(`${id} client ${id}\n`);
    client.end();
    expect((await client.ended).stdout.toString()).toBe(`client ${id}\n`);
    server.end();
    expect((await server.ended).code).toBe(0);
  });

  test("a line for a client that is not there is reported, and one that names none ends the command", async () => {
    const endpoint = ipc();
    const server = start("server", "--bind", endpoint);
    const client = start("client", "--connect", endpoint);
    client.write("here\n");
    const [, id] = await server.until("stdout", /^(\d+) here\n$/);
    const other = Number(id) === 7 ? 8 : 7;
    server.write(`${other} lost\n`);
    await server.until("stderr", new RegExp(`no peer with the routing id ${other} is connected`));
    server.end("nobody lost\n");
    const { code, stderr } = await server.ended;
    expect(code).toBe(1);
    expect(stderr.toString()).toContain("line 2: a server's routing id is a whole number");
  });

  test("--multipart and JSON of two frames are refused", async () => {
    const endpoint = ipc();
    const refused = await run("a|b\n", "client", "--connect", endpoint, "--multipart", "|");
    expect(refused.code).toBe(2);
    expect(refused.stderr.toString()).toContain("unknown option '--multipart'");
    const server = new Server();
    await server.bind(endpoint);
    const two = await run('{"frames":["a","b"]}\n', "client", "--connect", endpoint, "--json");
    expect(two.code).toBe(1);
    expect(two.stderr.toString()).toContain("expected 1 frame; got 2");
    await server.close();
  });
});

describe("radio and dish", () => {
  test("carry the lines of groups that a dish joined", async () => {
    const endpoint = ipc();
    const dish = startWithout("dish", "--connect", endpoint, "--group", "a", "--group", "b", "--count", "3");
    const radio = await run("a one\nc two\nb three four\na \n", "radio", "--bind", endpoint);
    expect(radio).toMatchObject({ code: 0 });
    expect((await dish.ended).stdout.toString()).toBe("a one\nb three four\na \n");
  });

  test("--group sends every line to one group", async () => {
    const endpoint = ipc();
    const dish = startWithout("dish", "--bind", endpoint, "--group", "two words", "--count", "2", "--json");
    expect((await run("1\n2\n", "radio", "--connect", endpoint, "--group", "two words")).code).toBe(0);
    expect((await dish.ended).stdout.toString()).toBe(
      '{"frames":["two words","1"]}\n{"frames":["two words","2"]}\n',
    );
  });

  test("carry lines as datagrams, which wait for nobody", async () => {
    const dish = startWithout("dish", "--bind", "udp://127.0.0.1:*", "--group", "a", "--count", "1");
    const endpoint = await dish.endpoint();
    expect((await run("b no\na yes\n", "radio", "--connect", endpoint)).code).toBe(0);
    expect((await dish.ended).stdout.toString()).toBe("a yes\n");
  });

  test("wrong usage is refused", async () => {
    expect(await startWithout("dish", "--bind", ipc()).ended).toMatchObject({ code: 2 });
    const twice = await run("", "radio", "--bind", ipc(), "--group", "a", "--group", "b");
    expect(twice.code).toBe(2);
    const long = await startWithout("dish", "--bind", ipc(), "--group", "g".repeat(256)).ended;
    expect(long).toMatchObject({ code: 2 });
    expect(long.stderr.toString()).toContain("at most 255 bytes");
    const endpoint = ipc();
    const dish = startWithout("dish", "--connect", endpoint, "--group", "a");
    const bad = await run("alone\n", "radio", "--bind", endpoint);
    expect(bad.code).toBe(1);
    expect(bad.stderr.toString()).toContain("expected GROUP MESSAGE");
    dish.signal("SIGTERM");
  });

  test("a radio that nobody listens to ends with --timeout", async () => {
    const { code, stderr } = await run("a b\n", "radio", "--bind", ipc(), "--timeout", "50");
    expect(code).toBe(1);
    expect(stderr.toString()).toContain("no dish joined within 50 ms");
  });
});

test("scatter and gather carry lines", async () => {
  const endpoint = ipc();
  const gather = startWithout("gather", "--bind", endpoint, "--count", "3");
  expect((await run("a\n\nb\n", "scatter", "--connect", endpoint)).code).toBe(0);
  expect((await gather.ended).stdout.toString()).toBe("a\n\nb\n");
});
