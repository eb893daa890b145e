// @ts-check
/** Cost of an envelope per message: parsing and wrapping, with one hop and three. */
import b from "benny";
import { Envelope } from "shoal";
import { options } from "./options.js";

const body = Buffer.alloc(64, 7);
const empty = Buffer.alloc(0);
const id = (/** @type {number} */ n) => Buffer.from([0, n, n, n, n]);
const one = [id(1), empty, body];
const three = [id(1), id(2), id(3), empty, body];

await b.suite(
  "envelopes",
  b.add("parse and wrap, one hop", () => void Envelope.parse(one).envelope.wrap(body), options),
  b.add("parse and wrap, three hops", () => void Envelope.parse(three).envelope.wrap(body), options),
  b.cycle(),
  b.complete(),
);
