/** Who asks an authentication service of the program's own lets in whom it allows, and nobody else. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  type EngineListener,
  type EngineSocket,
  OfferResult,
  type PeerCredentials,
} from "../../../src/engine/engine.js";
import { ZapClient } from "../../../src/engine/zmtp/zap.js";

const PEER: PeerCredentials = {
  mechanism: "PLAIN",
  address: "127.0.0.1",
  domain: "test",
  username: "u",
  password: "p",
};

/** The service at the other end: it answers what a test says. */
function start(result: OfferResult = OfferResult.Accepted) {
  const connections: { replies: Buffer[][]; listener: EngineListener }[] = [];
  const client = new ZapClient((listener) => {
    const replies: Buffer[][] = [];
    connections.push({ replies, listener });
    const socket = {
      offer: () => result,
      take: () => replies.shift(),
      endpoints: { connect: vi.fn() },
      wantReadable: vi.fn(),
      close: async () => ({ drained: true, discarded: 0 }),
    };
    return socket as unknown as EngineSocket;
  });
  /** Over the connection of a question: the service answers whom it was asked by. */
  const answerTo = (question: number, ...frames: (string | Uint8Array)[]): void => {
    const connection = connections[question];
    connection?.replies.push(frames.map((frame) => Buffer.from(frame as string)));
    connection?.listener.engineOnReadable();
  };
  const ask = () => {
    const state: { answer: unknown } = { answer: "none" };
    void client.ask(PEER, Buffer.from("id")).then((allowed) => {
      state.answer = allowed;
    });
    return state;
  };
  return { answerTo, ask };
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve();
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("a question to the authentication service", () => {
  test("that is not answered in time lets nobody in, and an answer that comes later changes nothing", async () => {
    const { answerTo, ask } = start();
    const asked = ask();
    await vi.advanceTimersByTimeAsync(29_999);
    expect(asked.answer).toBe("none");
    await vi.advanceTimersByTimeAsync(1);
    expect(asked.answer).not.toBe("none");
    expect(asked.answer).not.toBe(true);
    answerTo(0, "", "1.0", "1", "200", "OK", "user", "");
    await settled();
    expect(asked.answer).not.toBe(true);
  });

  test("that the service has no room for lets nobody in", async () => {
    for (const result of [OfferResult.Mute, OfferResult.Unroutable, OfferResult.PeerFull]) {
      const asked = start(result).ask();
      await settled();
      expect(asked.answer).not.toBe("none");
      expect(asked.answer).not.toBe(true);
    }
  });

  test("is answered over its own connection only, whatever order the answers come in", async () => {
    const { answerTo, ask } = start();
    const [one, two, three] = [ask(), ask(), ask()];
    answerTo(1, "", "1.0", "1", "200", "", "", "");
    await settled();
    expect([one.answer, two.answer, three.answer]).toEqual(["none", true, "none"]);
    answerTo(0, "", "1.0", "1", "400", "", "", "");
    answerTo(2);
    await settled();
    expect(one.answer).toEqual({ status: 400 });
    expect(three.answer).toMatchObject({ code: "ERR_ZAP_MALFORMED_REPLY" });
  });
});
