/** CURVE in the build for browsers, against the sockets of Node.js. */
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import * as node from "../../src/index.js";
import { CURVE_SERVER, curveClient } from "../contract/support/keys.js";
import { nextEvent, thrown } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { loadWeb, offering, restoreWebSocket, WEB } from "./support/web.js";

type WebCurve = typeof import("../../src/browser/curve/index.js");

const web = await loadWeb();
const curve = (await import(join(WEB, "curve.js"))) as WebCurve;
const own = closeAfterEach();
afterEach(restoreWebSocket);

const TIMEOUT = 10_000;
const client = curve.curveKeyPair();
const asClient = curveClient(client);

it("before enableCurve CURVE is refused, with what adds it, and no mechanism of the engine", () => {
  const push = own(new web.Push(asClient));
  expect(thrown(() => push.connect("ws://127.0.0.1:1"))).toMatchObject({
    code: "NOT_SUPPORTED",
    message: expect.stringMatching(/shoal\/browser\/curve/),
  });
});

describe("after enableCurve", () => {
  beforeAll(() => {
    curve.enableCurve();
    curve.enableCurve();
  });

  it("keys are those of Node.js", () => {
    for (let i = 0; i < 4; i++) {
      const pair = i % 2 === 0 ? curve.curveKeyPair() : node.curveKeyPair();
      expect(curve.curvePublicKey(pair.secretKey)).toBe(pair.publicKey);
      expect(node.curvePublicKey(pair.secretKey)).toBe(pair.publicKey);
    }
    expect(thrown(() => curve.curvePublicKey("short")).code).toBe("EINVAL");
    expect(thrown(() => curve.curvePublicKey("#".repeat(40))).code).toBe("EINVAL");
  });

  it("messages of all sizes travel both ways", async () => {
    offering(/^ZMTP3\.1-CURVE$/);
    const seen: (string | undefined)[] = [];
    const dealer = own(
      new node.Dealer({
        ...CURVE_SERVER,
        authenticate: ({ publicKey }) => {
          seen.push(publicKey);
          return true;
        },
      }),
    );
    const endpoint = await dealer.bind("ws://127.0.0.1:*");
    const page = own(new web.Dealer(asClient));
    page.connect(endpoint);
    const sizes = [0, 1, 31, 32, 33, 255, 256, 1_000, 100_000];
    const echoing = (async () => {
      for (let i = 0; i < 27; i++) await dealer.send(await dealer.receive({ timeout: TIMEOUT }));
    })();
    for (let i = 0; i < 27; i++) {
      const body = Buffer.alloc(sizes[i % sizes.length] as number, `${i}`);
      await page.send([String(i), "", body]);
      const back = await page.receive({ timeout: TIMEOUT });
      expect(back.map((frame) => frame.length)).toEqual([String(i).length, 0, body.length]);
      expect(body.equals(back[2] as Uint8Array)).toBe(true);
    }
    await echoing;
    expect(seen).toEqual([client.publicKey]);
  });

  it("a page may be the CURVE server of what it connects to, and sees the key of that client", async () => {
    const bound = own(new node.Push(asClient));
    const endpoint = await bound.bind("ws://127.0.0.1:*");
    const seen: unknown[] = [];
    const pull = own(
      new web.Pull({
        ...CURVE_SERVER,
        authenticate: (peer) => {
          seen.push(peer.mechanism, peer.publicKey);
          return true;
        },
      }),
    );
    pull.connect(endpoint);
    await bound.send("to the server");
    expect(String(await pull.receive({ timeout: TIMEOUT }))).toBe("to the server");
    expect(seen).toEqual(["CURVE", client.publicKey]);
  });

  it("a page with the key of another server gets nowhere, nor does one that the hook refuses", async () => {
    const pull = own(
      new node.Pull({ ...CURVE_SERVER, authenticate: ({ publicKey }) => publicKey === client.publicKey }),
    );
    const endpoint = await pull.bind("ws://127.0.0.1:*");
    const misled = own(new web.Push(curveClient(client, curve.curveKeyPair().publicKey)));
    const fault = nextEvent(pull, "handshake:error:protocol");
    misled.connect(endpoint);
    expect((await fault).error.code).toBe("ERR_ZMTP_CRYPTOGRAPHIC");

    const stranger = curve.curveKeyPair();
    const refused = own(new web.Push(curveClient(stranger)));
    const auth = nextEvent(refused as unknown as node.Socket, "handshake:error:auth");
    refused.connect(endpoint);
    expect((await auth).error.code).toBe("ERR_AUTHENTICATION");
    const noKeys = own(new web.Push());
    const mismatch = nextEvent(noKeys as unknown as node.Socket, "connect:retry");
    noKeys.connect(endpoint);
    await mismatch;
    expect(pull.stats().peers).toBe(0);
  });
});
