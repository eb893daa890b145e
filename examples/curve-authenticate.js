// @ts-check
/** An encrypted server that lets in only the keys it knows. */
import assert from "node:assert/strict";
import { curveKeyPair, Reply, Request, text } from "shoal";

const serverKeys = curveKeyPair();
const friend = curveKeyPair();
const stranger = curveKeyPair();
const known = new Set([friend.publicKey]);

const server = new Reply({
  codec: text(),
  curveServer: true,
  curveSecretKey: serverKeys.secretKey,
  authenticate: async ({ publicKey }) => publicKey !== undefined && known.has(publicKey),
});
await server.bind("tcp://127.0.0.1:*");
const serving = (async () => {
  for await (const [question] of server) await server.send(`${question}: 42`);
})();

/** @param {import("shoal").CurveKeyPair} keys */
function connect(keys) {
  const client = new Request({
    codec: text(),
    curveServerKey: serverKeys.publicKey, // The server proves that it has the secret key to this one.
    curvePublicKey: keys.publicKey,
    curveSecretKey: keys.secretKey,
  });
  client.connect(server.lastEndpoint ?? "");
  return client;
}

const welcome = connect(friend);
const [answer] = await welcome.request("The answer", { timeout: 2_000 });
assert.equal(answer, "The answer: 42");

const refused = connect(stranger);
await assert.rejects(refused.ready({ timeout: 2_000 }), { code: "ERR_AUTHENTICATION" });

await Promise.all([welcome.close(), refused.close({ linger: 0 }), server.close()]);
await serving;
console.log(`${answer}; the stranger was refused`);
