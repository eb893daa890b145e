/** A pair of which one is the Guide's program, in pyzmq; and the Guide's client. */
import { describe, expect, test } from "vitest";
import { texts, until, within } from "../../contract/support/wait.js";
import { freePorts } from "../../support/ports.js";
import { GuideProgram, NO_PYTHON } from "../freelance/python.js";
import { HEARTBEAT, handOver, type Places, type Role, starRig } from "./rig.js";

const { keep, serve, ask } = starRig();
/** ms: on a busy machine neither of two processes must be taken for dead. */
const CALM = 4 * HEARTBEAT;

/** Endpoints that nobody has. */
async function freePlaces(): Promise<Places> {
  const ends = (await freePorts(4)).map((port) => `tcp://127.0.0.1:${port}`);
  const place = (at: number) => ({ clients: ends[at] as string, state: ends[at + 1] as string });
  return { primary: place(0), backup: place(2) };
}

const startShoal = (role: Role, at: Places) =>
  serve(role, at, (body) => `shoal ${body}`, { heartbeatInterval: CALM });

function startGuide(role: Role, at: Places): GuideProgram {
  const { clients, state } = at[role];
  const peer = at[role === "primary" ? "backup" : "primary"].state;
  return keep(new GuideProgram("bstarsrv", role, clients, state, peer, String(CALM)));
}

async function reaches(program: GuideProgram, state: number): Promise<void> {
  for (;;) if ((await within(program.line(), `state ${state}`)).startsWith(`state ${state}`)) return;
}

describe.skipIf(NO_PYTHON)("a pair with a program of the Guide", () => {
  test("as the backup: it takes over from shoal, and shoal stands by when it comes back", async () => {
    const at = await freePlaces();
    const primary = await startShoal("primary", at);
    const backup = startGuide("backup", at);
    await reaches(backup, 4);
    const client = ask(at);
    expect(texts(await client.request("1"))).toEqual(["shoal 1"]);
    await primary.close({ linger: 0 });
    expect(texts(await client.request("2"))).toEqual(["2"]);
    await reaches(backup, 3);
    const again = await startShoal("primary", at);
    await until(() => again.star.state === "passive", "shoal stands by");
    await backup.kill();
    const moved = ask(at);
    expect(texts(await moved.request("3"))).toEqual(["shoal 3"]);
  });

  test("as the primary: shoal takes over from it, and gives the service back", async () => {
    const at = await freePlaces();
    const primary = startGuide("primary", at);
    const backup = await startShoal("backup", at);
    await reaches(primary, 3);
    await until(() => backup.star.state === "passive", "shoal stands by");
    await primary.kill();
    const client = ask(at);
    expect(texts(await client.request("1"))).toEqual(["shoal 1"]);
    const again = startGuide("primary", at);
    await reaches(again, 4);
    await handOver(backup);
    await reaches(again, 3);
    await until(() => backup.star.state === "passive", "shoal stands by again");
  });

  test("the Guide's client fails over between two servers of shoal", async () => {
    const at = await freePlaces();
    const primary = await startShoal("primary", at);
    const backup = await startShoal("backup", at);
    await until(() => primary.star.state === "active" && backup.star.state === "passive", "a pair");
    const client = keep(new GuideProgram("bstarcli", "100000", at.primary.clients, at.backup.clients, "300"));
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
