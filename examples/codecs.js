// @ts-check
/** The codecs that come with shoal, and one of your own. */
import assert from "node:assert/strict";
import { json, msgpack, Pair, text } from "shoal";

/**
 * Sends a value from one end of a PAIR to the other.
 *
 * @template T
 * @param {import("shoal").Codec<T>} codec
 * @param {T} value
 */
async function roundTrip(codec, value) {
  const left = new Pair({ codec });
  const right = new Pair({ codec });
  const name = `inproc://codec-${codec.name}`;
  await left.bind(name);
  right.connect(name);
  // As the only element of an array: a value that is an array itself could be taken for frames otherwise.
  await left.send(/** @type {any} */ ([value]));
  const [received] = await right.receive();
  const { bytesSent } = left.stats();
  await left.close();
  await right.close();
  assert.deepEqual(received, value);
  console.log(`${codec.name}: ${bytesSent} bytes`);
}

/** A point as two little-endian floats. @type {import("shoal").Codec<{ x: number, y: number }>} */
const point = {
  name: "point",
  encode({ x, y }) {
    const frame = Buffer.alloc(16);
    frame.writeDoubleLE(x, 0);
    frame.writeDoubleLE(y, 8);
    return frame;
  },
  decode(frame) {
    if (frame.length !== 16) throw new RangeError(`A point has 16 bytes; got ${frame.length}`);
    return { x: frame.readDoubleLE(0), y: frame.readDoubleLE(8) };
  },
};

await roundTrip(text(), "Stör");
await roundTrip(json(), { fish: ["cod", "eel"], kilos: 3.5 });
await roundTrip(msgpack(), { fish: ["cod", "eel"], bytes: Buffer.from([1, 2, 3]) });
await roundTrip(point, { x: 54.3, y: 10.1 });
