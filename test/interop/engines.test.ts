/** The engine zmtp and libzmq, which the package `zeromq` has: they talk by each mechanism, and who is refused hears of it. */
import { describe, expect, it } from "vitest";
import { Context, Dealer, Router } from "../../src/index.js";
import { CURVE_SERVER, curveClient, plain } from "../contract/support/keys.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { ENGINES } from "../support/engines.js";

const own = closeAfterEach();

const MECHANISMS = [
  ["NULL", {}, {}],
  ["PLAIN", { plainServer: true }, plain("admin", "secret")],
  ["CURVE", CURVE_SERVER, curveClient()],
] as const;

describe.skipIf(!ENGINES.includes("libzmq")).each([
  ["zmtp", "libzmq"],
  ["libzmq", "zmtp"],
])("%s, and %s that connects to it", (ours, theirs) => {
  /** Made by the first test: a runtime without libzmq reads this file, too. */
  let contexts: readonly [Context, Context] | undefined;

  let isAllowed = true;

  /** The context's ZAP handler, which libzmq asks about peers of sockets with a domain. */
  async function serveZap(context: Context): Promise<void> {
    const handler = own(new Router({ context, linger: 0 }));
    await handler.bind("inproc://zeromq.zap.01");
    for await (const [peer, empty, version, id] of handler) {
      const status = isAllowed ? "200" : "400";
      await handler.send([peer, empty, version, id, status, "", "", ""] as (Buffer | string)[]);
    }
  }

  async function link(server: object, client: object, allowed: boolean): Promise<[Dealer, Dealer]> {
    isAllowed = allowed;
    contexts ??= [new Context({ engine: ours }), new Context({ engine: theirs })];
    if (ours === "libzmq") void serveZap(contexts[0]);
    const check = ours === "libzmq" ? { zapDomain: "test" } : { authenticate: () => allowed };
    const [bound, connected] = [
      own(new Dealer({ context: contexts[0], receiveTimeout: 8_000, ...check, ...server })),
      own(new Dealer({ context: contexts[1], receiveTimeout: 8_000, ...client })),
    ];
    connected.connect(await bound.bind("tcp://127.0.0.1:*"));
    return [bound, connected];
  }

  it.each(MECHANISMS)("talk by %s", async (_, server, client) => {
    const [bound, connected] = await link(server, client, true);
    for (const frames of [["hello"], ["two", "frames"], [""], ["x".repeat(70_000)]]) {
      await connected.send(frames);
      expect((await bound.receive()).map(String)).toEqual(frames);
      await bound.send(frames);
      expect((await connected.receive()).map(String)).toEqual(frames);
    }
  });

  it.each(MECHANISMS)("say 400 to who is refused by %s", async (mechanism, server, client) => {
    const [, connected] = await link(server, client, false);
    // The PLAIN of libzmq reads only its own misspelt ERROR (24/ZMTP-PLAIN spells it as the other mechanisms do).
    const misread = mechanism === "PLAIN" && theirs === "libzmq";
    await expect(connected.ready({ timeout: 8_000 })).rejects.toMatchObject(
      misread ? { code: "ERR_ZMTP_UNEXPECTED_COMMAND" } : { code: "ERR_AUTHENTICATION", status: 400 },
    );
  });
});
