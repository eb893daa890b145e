/** The Guide's programs, in pyzmq, as servers and as clients of all three models. */
import { describe, expect, test } from "vitest";
import type { Raw } from "../../../src/index.js";
import { FreelanceClient } from "../../../src/patterns/freelance/client.js";
import { FreelanceServer } from "../../../src/patterns/freelance/server.js";
import {
  FreelanceFailoverClient,
  FreelanceShotgunClient,
} from "../../../src/patterns/freelance/simple-clients.js";
import { texts, until, within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { freePort } from "../../support/ports.js";
import { GuideProgram, NO_PYTHON } from "./python.js";

const keep = closeAfterEach();

async function guide(...args: string[]): Promise<{ program: GuideProgram; endpoint: string }> {
  const program = keep(new GuideProgram(...args));
  const [word, endpoint] = (await within(program.line(), "ready")).split(" ");
  expect(word).toBe("ready");
  return { program, endpoint: endpoint as string };
}

async function shoal(model: 1 | 2 | 3): Promise<FreelanceServer> {
  const endpoint = `tcp://127.0.0.1:${await freePort()}`;
  const server = keep(new FreelanceServer<Raw>((body) => (model === 1 ? body : "OK"), { model }));
  await server.bind(endpoint);
  return server;
}

describe.skipIf(NO_PYTHON)("the Guide's servers", () => {
  test("model 1", async () => {
    const { endpoint } = await guide("flserver1", "tcp://127.0.0.1:*");
    const client = keep(new FreelanceFailoverClient([endpoint], { attemptTimeout: 5_000 }));
    expect(texts(await client.request("Hello world"))).toEqual(["Hello world"]);
  });

  test("model 2", async () => {
    const servers = await Promise.all([1, 2].map(() => guide("flserver2", "tcp://127.0.0.1:*")));
    const client = keep(new FreelanceShotgunClient(servers.map(({ endpoint }) => endpoint)));
    for (let i = 0; i < 3; i++) expect(texts(await client.request("random name"))).toEqual(["OK"]);
  });

  test("model 3, and one that is killed", async () => {
    const servers: { program: GuideProgram; endpoint: string }[] = [];
    for (let i = 0; i < 2; i++) {
      const port = await freePort();
      servers.push(await guide("flserver3", `tcp://*:${port}`, `tcp://localhost:${port}`));
    }
    const endpoints = servers.map(({ endpoint }) => endpoint.replace("*", "localhost"));
    const client = keep(new FreelanceClient(endpoints, { timeout: 8_000 }));
    expect(texts(await client.request("random name"))).toEqual(["OK"]);
    await until(() => client.servers().every(({ alive }) => alive), "both servers are alive");
    await servers[0]?.program.kill();
    for (let i = 0; i < 3; i++) expect(texts(await client.request("random name"))).toEqual(["OK"]);
    expect(client.servers().map(({ alive }) => alive)).toEqual([false, true]);
  });
});

describe.skipIf(NO_PYTHON)("the Guide's clients", () => {
  test("model 1", async () => {
    const server = await shoal(1);
    const client = keep(new GuideProgram("flclient1", "2", server.endpoint as string));
    for (let i = 0; i < 2; i++) expect(await within(client.line(), "a reply")).toBe("reply Hello world");
  });

  test("model 2", async () => {
    const servers = [await shoal(2), await shoal(2)];
    const client = keep(
      new GuideProgram("flclient2", "3", ...servers.map(({ endpoint }) => endpoint as string)),
    );
    for (let i = 0; i < 3; i++) expect(await within(client.line(), "a reply")).toBe("reply OK");
    expect(await within(client.line(), "the end")).toBe("done");
  });

  test.each(["C", "py"])("model 3, in the manner of the %s program", async (dialect) => {
    const servers = [await shoal(3), await shoal(3)];
    const endpoints = servers.map(({ endpoint }) => endpoint as string);
    const client = keep(new GuideProgram("flclient3", dialect, "3", ...endpoints));
    const lines: string[] = [];
    while (lines.at(-1) !== "done") lines.push(await within(client.line(), "a line"));
    expect(lines.filter((line) => line === "reply OK")).toHaveLength(3);
    expect(lines.some((line) => line.startsWith("pong"))).toBe(true);
    const [first] = servers;
    expect(first?.stats()).toMatchObject({ requests: 3, pings: 1, invalid: 0 });
  });
});
