/** A pair of which one is the Guide's program, in pyzmq; and the Guide's client. */
import { describe, expect, test } from "vitest";
import type { Raw } from "../../../src/index.js";
import { BinaryStarClient } from "../../../src/patterns/binary-star/client.js";
import { BinaryStarServer } from "../../../src/patterns/binary-star/server.js";
import { texts, until, within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { freePorts } from "../../support/ports.js";
import { GuideProgram, NO_PYTHON } from "../freelance/python.js";

const HEARTBEAT = 100;
const keep = closeAfterEach();

/** Endpoints that nobody has: the clients' and the states', of both servers. */
async function endpoints(): Promise<string[]> {
  return (await freePorts(4)).map((port) => `tcp://127.0.0.1:${port}`);
}

async function startShoal(
  role: "primary" | "backup",
  endpoint: string,
  state: string,
  peer: string,
): Promise<BinaryStarServer> {
  const server = keep(
    new BinaryStarServer<Raw>((body) => `shoal ${body}`, {
      star: { role, peer, heartbeatInterval: HEARTBEAT },
    }),
  );
  await server.bind("clients", endpoint);
  await server.bind("state", state);
  return server;
}

function startGuide(role: "primary" | "backup", clients: string, pub: string, sub: string): GuideProgram {
  return keep(new GuideProgram("bstarsrv", role, clients, pub, sub, String(HEARTBEAT)));
}

async function reaches(program: GuideProgram, state: number): Promise<void> {
  for (;;) if ((await within(program.line(), `state ${state}`)).startsWith(`state ${state}`)) return;
}

describe.skipIf(NO_PYTHON)("a pair with a program of the Guide", () => {
  test("as the backup: it takes over from shoal, and shoal stands by when it comes back", async () => {
    const [a, b, x, y] = (await endpoints()) as [string, string, string, string];
    const primary = await startShoal("primary", a, x, y);
    const backup = startGuide("backup", b, y, x);
    await reaches(backup, 4);
    const client = keep(new BinaryStarClient([a, b], { attemptTimeout: 300, timeout: 8_000 }));
    expect(texts(await client.request("1"))).toEqual(["shoal 1"]);
    await primary.close({ linger: 0 });
    expect(texts(await client.request("2"))).toEqual(["2"]);
    await reaches(backup, 3);
    const again = await startShoal("primary", a, x, y);
    await until(() => again.star.state === "passive", "shoal stands by");
    await backup.kill();
    const moved = keep(new BinaryStarClient([a, b], { attemptTimeout: 300, timeout: 8_000 }));
    expect(texts(await moved.request("3"))).toEqual(["shoal 3"]);
  });

  test("as the primary: shoal takes over from it, and gives the service back", async () => {
    const [a, b, x, y] = (await endpoints()) as [string, string, string, string];
    const primary = startGuide("primary", a, x, y);
    const backup = await startShoal("backup", b, y, x);
    await reaches(primary, 3);
    await until(() => backup.star.state === "passive", "shoal stands by");
    await primary.kill();
    const client = keep(new BinaryStarClient([a, b], { attemptTimeout: 300, timeout: 8_000 }));
    expect(texts(await client.request("1"))).toEqual(["shoal 1"]);
    const again = startGuide("primary", a, x, y);
    await reaches(again, 4);
    // A server that is held up is in doubt: then it is asked again.
    for (let done = false; !done; ) {
      const { star } = backup;
      await until(() => star.state === "active" && star.stats().peer === "passive", "the Guide's stands by");
      done = await backup.handOver().then(
        () => true,
        (error) => {
          if (error.code !== "EFSM") throw error;
          return false;
        },
      );
    }
    await reaches(again, 3);
    await until(() => backup.star.state === "passive", "shoal stands by again");
  });

  test("the Guide's client fails over between two servers of shoal", async () => {
    const [a, b, x, y] = (await endpoints()) as [string, string, string, string];
    const primary = await startShoal("primary", a, x, y);
    const backup = await startShoal("backup", b, y, x);
    await until(() => primary.star.state === "active" && backup.star.state === "passive", "a pair");
    const client = keep(new GuideProgram("bstarcli", "100000", a, b, "300"));
    // On a busy machine it may ask the other one in between.
    for (let line = ""; line !== "reply shoal 1"; ) line = await within(client.line(), "a reply");
    await primary.close({ linger: 0 });
    for (;;) {
      const line = await within(client.line(), "a line");
      if (line.startsWith("failing over")) break;
    }
    const replies = backup.stats().replied;
    await until(() => backup.stats().replied > replies + 10, "the backup replies");
  });
});
