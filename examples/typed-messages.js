// @ts-check
/** Messages with a schema: the sockets are typed, and messages that do not pass never reach the program. */
import assert from "node:assert/strict";
import { json, Pull, Push } from "shoal";
import { z } from "zod";

const Catch = z.object({ fish: z.string(), kilos: z.number().positive() });

const boat = new Push({ codec: json(Catch) });
const harbour = new Pull({ codec: json(Catch) });
await harbour.bind("tcp://127.0.0.1:*");
boat.connect(harbour.lastEndpoint ?? "");

// What is sent is checked before it leaves …
await boat.send({ fish: "cod", kilos: 3 });
await assert.rejects(boat.send({ fish: "cod", kilos: -1 }), { code: "ERR_INVALID_MESSAGE" });

// … and what arrives is checked again: this sender has no schema.
const stranger = new Push();
stranger.connect(harbour.lastEndpoint ?? "");
/** @type {Promise<string>} */
const refused = new Promise((resolve) => {
  harbour.events.once("invalid", ({ reason, error }) => resolve(`${reason}: ${error.message}`));
});

const [landed] = await harbour.receive(); // Its type is { fish: string, kilos: number }.
assert.deepEqual(landed, { fish: "cod", kilos: 3 });

await stranger.send(JSON.stringify({ fish: "boot" }));
const next = harbour.receive();
assert.match(await refused, /^schema: .*kilos/);
await boat.send({ fish: "eel", kilos: 1 });
assert.deepEqual(await next, [{ fish: "eel", kilos: 1 }]);
assert.equal(harbour.stats().invalid.schema, 1);

for (const socket of [boat, stranger, harbour]) await socket.close();
console.log(`Landed: ${landed.kilos} kg of ${landed.fish}; refused: ${await refused}`);
