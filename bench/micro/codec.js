// @ts-check
/** Cost of a codec per message, with and without a schema: encoding and decoding the same small record. */
import b from "benny";
import { json, msgpack, text } from "shoal";
import * as v from "valibot";
import { options } from "./options.js";

const record = { id: 4_711, name: "temperature", place: "cellar", value: 21.5, tags: ["raw", "slow"] };
const schema = v.object({
  id: v.number(),
  name: v.string(),
  place: v.string(),
  value: v.number(),
  tags: v.array(v.string()),
});
const line = JSON.stringify(record);

/** Each codec with its value. */
const codecs = /** @type {const} */ ([
  ["text", text(), line],
  ["json", json(), record],
  ["json with a schema", json(schema), record],
  ["msgpack", msgpack(), record],
  ["msgpack with a schema", msgpack(schema), record],
]);

/** @typedef {{ encode(value: unknown): string | Uint8Array, decode(frame: Buffer): unknown }} AnyCodec */

await b.suite(
  "encode",
  ...codecs.map(([name, codec, value]) =>
    b.add(name, () => void (/** @type {AnyCodec} */ (codec).encode(value)), options),
  ),
  b.cycle(),
  b.complete(),
);

await b.suite(
  "decode",
  ...codecs.map(([name, codec, value]) => {
    const frame = Buffer.from(/** @type {Buffer} */ (/** @type {AnyCodec} */ (codec).encode(value)));
    return b.add(name, () => void codec.decode(frame), options);
  }),
  b.cycle(),
  b.complete(),
);
