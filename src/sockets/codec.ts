/** Codecs convert a message's last frame, the body. Frames before it (topic, envelope) stay. */

import { bytesOf } from "../core/bytes.js";
import { InvalidMessageError } from "../core/errors.js";
import { loadBundled } from "../core/packages.js";
import { describeIssues, type StandardSchemaV1, validate } from "../core/standard-schema.js";
import type { OutgoingFrame } from "../engine/engine.js";

export interface Codec<T> {
  /** Name for error messages: "json", "text", … */
  readonly name: string;
  /** @throws InvalidMessageError for a value that cannot be encoded, or fails the schema */
  encode(value: T): OutgoingFrame;
  /** @throws anything for an undecodable frame; InvalidMessageError with `issues` for the schema */
  decode(frame: Buffer): T;
}

/** UTF-8 text; other frames are invalid. */
export function text(): Codec<string>;
/** UTF-8 text validated by a schema. */
export function text<S extends StandardSchemaV1<string, string>>(
  schema: S,
): Codec<StandardSchemaV1.InferOutput<S>>;
export function text(schema?: StandardSchemaV1): Codec<never> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return withSchema(
    {
      name: "text",
      encode(value: unknown): OutgoingFrame {
        if (typeof value !== "string")
          throw new InvalidMessageError(`The text codec sends strings; got ${typeof value}`);
        return value;
      },
      decode: (frame: Buffer): unknown => decoder.decode(frame),
    },
    schema,
  );
}

/** JSON text. `undefined`, functions, cycles and bytes cannot be encoded. */
export function json<T = unknown>(): Codec<T>;
/** JSON validated by a schema, both ways. */
export function json<S extends StandardSchemaV1>(schema: S): Codec<StandardSchemaV1.InferOutput<S>>;
export function json(schema?: StandardSchemaV1): Codec<never> {
  return withSchema(
    {
      name: "json",
      encode(value: unknown): OutgoingFrame {
        if (bytesOf(value) !== undefined)
          throw new InvalidMessageError("JSON has no form for bytes: send them without this codec");
        const encoded = JSON.stringify(value) as string | undefined;
        if (encoded === undefined) throw new InvalidMessageError(`JSON has no form for ${typeof value}`);
        return encoded;
      },
      decode: (frame: Buffer): unknown => JSON.parse(frame.toString()),
    },
    schema,
  );
}

interface Msgpackr {
  pack(value: unknown): Buffer;
  unpack(frame: Uint8Array): unknown;
}

let msgpackr: Msgpackr | undefined;

/** MessagePack by the bundled package msgpackr, loaded on the first call. */
export function msgpack<T = unknown>(): Codec<T>;
/** MessagePack validated by a schema, both ways. */
export function msgpack<S extends StandardSchemaV1>(schema: S): Codec<StandardSchemaV1.InferOutput<S>>;
export function msgpack(schema?: StandardSchemaV1): Codec<never> {
  if (msgpackr === undefined) {
    const { Packr } = loadBundled("msgpackr") as {
      Packr: new (options: object) => Msgpackr;
    };
    // Only msgpackr understands records.
    msgpackr = new Packr({ useRecords: false });
  }
  const packr = msgpackr;
  return withSchema(
    {
      name: "msgpack",
      // msgpackr handles no other views.
      encode: (value: unknown): OutgoingFrame => packr.pack(bytesOf(value) ?? value),
      decode: (frame: Buffer): unknown => packr.unpack(frame),
    },
    schema,
  );
}

/**
 * Adds a Standard Schema validator, with transformed values for the program. Invalid values are an error for the
 * sender; the receiver gets an `invalid` event and a count.
 */
export function withSchema(codec: Codec<unknown>, schema: StandardSchemaV1 | undefined): Codec<never> {
  if (schema === undefined) return codec as Codec<never>;
  const check = (value: unknown): unknown => {
    const result = validate(schema, value);
    if (result.issues === undefined) return result.value;
    throw new InvalidMessageError(`The message does not pass its schema: ${describeIssues(result.issues)}`, {
      cause: result.issues,
    });
  };
  return {
    name: codec.name,
    encode(value: unknown): OutgoingFrame {
      check(value); // The receiver's schema transforms the value.
      return codec.encode(value);
    },
    decode: (frame: Buffer): unknown => check(codec.decode(frame)),
  } as Codec<never>;
}
