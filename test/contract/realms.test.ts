/** Bytes of another realm, as a vm context or a test runner makes them, are taken wherever those of this one are. */
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { isBytes, isMemory } from "../../src/core/bytes.js";
import { decodeZ85 } from "../../src/core/z85.js";
import { Context, curveKeyPair, Dealer, Publisher, Router, Subscriber } from "../../src/index.js";
import { closeAfterEach } from "../support/close-after-each.js";

const context = new Context({ engine: "zmtp" });
const own = closeAfterEach();

/** The same bytes as an array of another realm. */
function foreign(bytes: Uint8Array | string): Uint8Array {
  const array = runInNewContext("(bytes) => new Uint8Array(bytes)")([...Buffer.from(bytes as string)]);
  expect(array instanceof Uint8Array).toBe(false);
  return array as Uint8Array;
}

it("are recognized, and what only looks like them is not", () => {
  for (const bytes of [foreign("x"), Buffer.from("x"), new Uint8Array(1)]) expect(isBytes(bytes)).toBe(true);
  for (const other of [
    [1],
    "x",
    null,
    undefined,
    1,
    {},
    new Uint16Array(1),
    new DataView(new ArrayBuffer(1)),
  ])
    expect(isBytes(other)).toBe(false);
  for (const make of ["new ArrayBuffer(1)", "new SharedArrayBuffer(1)"])
    expect(isMemory(runInNewContext(make))).toBe(true);
  for (const other of [[1], "x", null, undefined, {}, Buffer.from("x")]) expect(isMemory(other)).toBe(false);
});

it("are messages, routing ids, prefixes and keys", async () => {
  const keys = curveKeyPair();
  const secretKey = foreign(decodeZ85(keys.secretKey));
  const router = own(new Router({ context, curveServer: true, curveSecretKey: secretKey }));
  await router.bind("tcp://127.0.0.1:*");
  const dealer = own(
    new Dealer({
      context,
      routingId: foreign("me"),
      curveServerKey: foreign(decodeZ85(keys.publicKey)),
      curvePublicKey: keys.publicKey,
      curveSecretKey: keys.secretKey,
    }),
  );
  dealer.connect(router.lastEndpoint as string);
  await dealer.send([foreign("one"), foreign("two").buffer]);
  expect((await router.receive()).map(String)).toEqual(["me", "one", "two"]);
  for (const id of [foreign("me"), new Uint8Array(Buffer.from("me"))]) {
    await router.send([id, foreign("answer")]);
    expect((await dealer.receive()).map(String)).toEqual(["answer"]);
  }

  const publisher = own(new Publisher({ context }));
  await publisher.bind("tcp://127.0.0.1:*");
  const subscriber = own(new Subscriber({ context }));
  subscriber.subscribe(foreign("a"), new Uint8Array([98]));
  subscriber.connect(publisher.lastEndpoint as string);
  await publisher.waitForSubscribers();
  for (const message of [foreign("c"), foreign("a"), new Uint8Array([98])]) await publisher.send(message);
  expect((await subscriber.receive()).map(String)).toEqual(["a"]);
  expect((await subscriber.receive()).map(String)).toEqual(["b"]);
});
