/** The connection of a client or a worker: what leaves in which order, and what comes before its end. */
import { describe, expect, it } from "vitest";
import { Context, Router } from "../../../src/index.js";
import { BatchingDealer } from "../../../src/patterns/majordomo/batch.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { deferred } from "../../support/deferred.js";
import { ENGINES } from "../../support/engines.js";
import { answerOf, framesOf, readAtBroker, requestOf } from "./messages.js";

const MANY = 20_000;

const track = closeAfterEach();

describe.each(ENGINES)("a client's connection, engine %s", (engine) => {
  /** It, its peer, and what it heard: numbers of answers, and "ended". */
  async function connection() {
    const context = new Context({ engine });
    const router = track(new Router({ context, sendHighWaterMark: 0 }));
    const heard: (number | "ended")[] = [];
    const { promise: ended, resolve: end } = deferred();
    const dealer = new BatchingDealer(
      "client",
      await router.bind("tcp://127.0.0.1:*"),
      { context, receiveHighWaterMark: 0 },
      {
        arrived: (read) =>
          read((message) => heard.push(message.kind === "answer" ? message.number : Number.NaN)),
        ended: () => {
          heard.push("ended");
          end();
        },
      },
    );
    track({ close: () => dealer.close(0) });
    return { router, dealer, heard, ended };
  }

  it("sends a message alone after those that were gathered before it", async () => {
    const { router, dealer } = await connection();
    for (const number of [1, 2]) dealer.send(requestOf(number));
    dealer.send({ kind: "cancel", number: 1 });
    const [gathered, alone] = [await router.receive(), await router.receive()];
    expect(readAtBroker(gathered)).toMatchObject([{ number: 1 }, { number: 2 }]);
    expect(readAtBroker(alone)).toMatchObject([{ kind: "cancel", number: 1 }]);
  });

  it("ends once, after all that its peer has sent", async () => {
    const { router, dealer, heard, ended } = await connection();
    dealer.send(requestOf(1));
    const [peer] = (await router.receive()) as [Buffer];
    // More than a turn's receives take.
    for (let number = 1; number <= MANY; number++) router.trySend(framesOf(peer, answerOf(number)));
    await router.close();
    await ended;
    expect([heard.length, heard.at(-1), heard.at(-2)]).toEqual([MANY + 1, "ended", MANY]);
  });
});
