/** Who asks an authentication service of the program's own lets in whom it allows, and nobody else. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  type EngineListener,
  type EngineSocket,
  OfferResult,
  type OutgoingMessage,
  type PeerCredentials,
} from "../../../src/engine/engine.js";
import { ZapClient } from "../../../src/engine/zmtp/zap.js";
import fc from "../../support/properties.js";

const PEER: PeerCredentials = {
  mechanism: "PLAIN",
  address: "127.0.0.1",
  domain: "test",
  username: "u",
  password: "p",
};

/** The service at the other end: it answers what a test says. */
function start(result: OfferResult = OfferResult.Accepted) {
  const requests: string[][] = [];
  const close = vi.fn(async () => ({ drained: true, discarded: 0 }));
  const connections: { replies: Buffer[][]; listener: EngineListener }[] = [];
  const client = new ZapClient((listener) => {
    const replies: Buffer[][] = [];
    connections.push({ replies, listener });
    const socket = {
      offer: (message: OutgoingMessage) => {
        requests.push((message as Uint8Array[]).map(String));
        return result;
      },
      take: () => replies.shift(),
      endpoints: { connect: vi.fn() },
      wantReadable: vi.fn(),
      close,
    };
    return socket as unknown as EngineSocket;
  });
  /** Over the connection of a question: the service answers whom it was asked by. */
  const answerTo = (question: number, ...frames: (string | Uint8Array)[]): void => {
    const connection = connections[question];
    connection?.replies.push(frames.map((frame) => Buffer.from(frame as string)));
    connection?.listener.engineOnReadable();
  };
  const answer = (...frames: (string | Uint8Array)[]): void => answerTo(0, ...frames);
  const ask = () => {
    const state: { answer: unknown } = { answer: "none" };
    void client.ask(PEER, Buffer.from("id")).then((allowed) => {
      state.answer = allowed;
    });
    return state;
  };
  return { close, requests, answer, answerTo, ask };
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve();
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("a question to the authentication service", () => {
  test("has the frames of 27/ZAP, and the answer 200 lets the peer in", async () => {
    const { requests, answer, ask, close } = start();
    const asked = ask();
    expect(requests).toEqual([["", "1.0", "1", "test", "127.0.0.1", "id", "PLAIN", "u", "p"]]);
    answer("", "1.0", "1", "200", "OK", "user", "");
    await settled();
    expect(asked.answer).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    expect(close).toHaveBeenCalledTimes(1);
  });

  test("that is not answered in time lets nobody in, and an answer that comes later changes nothing", async () => {
    const { answer, ask } = start();
    const asked = ask();
    await vi.advanceTimersByTimeAsync(29_999);
    expect(asked.answer).toBe("none");
    await vi.advanceTimersByTimeAsync(1);
    expect(asked.answer).not.toBe("none");
    expect(asked.answer).not.toBe(true);
    answer("", "1.0", "1", "200", "OK", "user", "");
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

  test("past as many as may be under way lets nobody in, until one is answered", async () => {
    const { answerTo, ask } = start();
    const asked = Array.from({ length: 4_097 }, ask);
    await settled();
    expect(asked.slice(0, 4_096).every((each) => each.answer === "none")).toBe(true);
    expect(asked[4_096]?.answer).toBe(false);
    answerTo(7, "", "1.0", "1", "200", "", "", "");
    await settled();
    const again = ask();
    await settled();
    expect(again.answer).toBe("none");
  });

  test("lets nobody in by frames that are made up, unless they are the one good answer", () => {
    const part = fc.oneof(
      fc.constantFrom("", "1.0", "1", "200", "400"),
      fc.uint8Array({ maxLength: 5 }).map((bytes) => Buffer.from(bytes)),
    );
    const reply = fc.oneof(
      fc.array(part, { maxLength: 9 }),
      fc.tuple(fc.nat(8), part).map(([at, other]) => {
        const good: (string | Buffer)[] = ["", "1.0", "1", "200", "OK", "", ""];
        if (at < 7) good[at] = other;
        else good.push(other);
        return good;
      }),
    );
    return fc.assert(
      fc.asyncProperty(reply, async (frames) => {
        const { answer, ask } = start();
        const asked = ask();
        answer(...frames);
        await settled();
        const [delimiter, version, id, status, , , metadata] = frames.map(String);
        const good =
          frames.length === 7 &&
          delimiter === "" &&
          version === "1.0" &&
          id === "1" &&
          status === "200" &&
          metadata === ""; // As short as these are, they are no metadata.
        expect(asked.answer === true).toBe(good);
      }),
      { numRuns: 1_000 },
    );
  });
});
