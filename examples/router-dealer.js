// @ts-check
/** ROUTER and DEALER: many requests at once, answered out of order, and a message for an absent peer. */
import assert from "node:assert/strict";
import { Dealer, Envelope, Router } from "shoal";

const router = new Router();
await router.bind("tcp://127.0.0.1:*");

const dealer = new Dealer();
dealer.connect(router.lastEndpoint ?? "");
for (const name of ["tuna", "cod", "eel"]) await dealer.send(["", name]); // "" ends the envelope.

// The router sees where each request came from: its envelope, which leads the reply back.
const requests = [];
for (let i = 0; i < 3; i++) requests.push(Envelope.parse(await router.receive()));
for (const { envelope, body } of requests.reverse()) {
  await router.reply(envelope, `${body[0]} has ${body[0]?.length} letters`);
}

const answers = [];
for (let i = 0; i < 3; i++) {
  const [, answer] = await dealer.receive();
  answers.push(String(answer));
}
assert.deepEqual(answers, ["eel has 3 letters", "cod has 3 letters", "tuna has 4 letters"]);

// A reply to a peer that is not there is an error; a plain send is a counted drop with an event.
const nobody = new Envelope(["nobody"]);
await assert.rejects(router.reply(nobody, "hello"), { code: "EHOSTUNREACH" });
await router.send(["nobody", "", "hello"]);
assert.equal(router.stats().dropped.unroutable, 2);

await dealer.close();
await router.close();
console.log(answers.join("\n"));
