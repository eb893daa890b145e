/** The side of a control socket that answers, where its socket does not take a reply. */
import { describe, expect, it, onTestFinished } from "vitest";
import { type ControlAnswer, ControlServer, errorReply, jsonReply } from "../../src/control/server.js";
import { ENGINE_NAMES } from "../../src/engine/select.js";
import { Context, Pair, Reply, Request, Router } from "../../src/index.js";
import { within } from "../contract/support/wait.js";

const LIMIT = 8_000;
const TYPES = ["REP", "PAIR", "ROUTER"] as const;

/** By the texts of commands. */
const ANSWERS: Readonly<Record<string, () => ControlAnswer>> = {
  long: () => ({ reply: jsonReply({ text: "x".repeat(1_000) }) }),
  short: () => ({ reply: jsonReply({ text: "x" }) }),
  refused: () => ({ reply: errorReply(new Error("x".repeat(1_000))) }),
};

describe.each([...ENGINE_NAMES])("engine %s: a control socket", (engine) => {
  /** @returns asks the server, and has the text of its reply */
  async function serve(
    type: (typeof TYPES)[number],
    maxMessageSize: number,
    effects: { after?(): void } = {},
  ) {
    const Socket = { REP: Reply, PAIR: Pair, ROUTER: Router }[type];
    const socket = new Socket({ context: new Context({ engine, maxMessageSize }) });
    const controller = type === "PAIR" ? new Pair() : new Request();
    const answer = ([command]: readonly Buffer[]): ControlAnswer => ({
      ...ANSWERS[String(command)]?.(),
      ...effects,
    });
    const serving = new ControlServer().run(socket, answer);
    onTestFinished(async () => {
      await Promise.all([socket.close({ linger: 0 }), controller.close({ linger: 0 })]);
      await within(serving, "the end of the server");
    });
    controller.connect(await socket.bind("tcp://127.0.0.1:*"));
    return async (command: string): Promise<string> => {
      await controller.send(command);
      return String(await controller.receive({ timeout: LIMIT }));
    };
  }

  it.each(
    TYPES,
  )("%s answers with an error where a reply is too large for the context, and goes on", async (type) => {
    let done = 0;
    const ask = await serve(type, 250, { after: () => (done += 1) });
    for (const command of ["long", "refused"])
      expect(JSON.parse(await ask(command))).toMatchObject({ ok: false, error: { code: "EINVAL" } });
    expect(JSON.parse(await ask("short"))).toEqual({ ok: true, text: "x" });
    expect(done).toBe(3);
  });

  it.each(TYPES)("%s answers with an empty frame where the error is too large, too", async (type) => {
    const ask = await serve(type, 60);
    expect(await ask("long")).toBe("");
    expect(JSON.parse(await ask("short"))).toEqual({ ok: true, text: "x" });
  });
});
