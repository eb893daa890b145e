/** The types of Standard Schema that shoal has are those of the package that specifies it. */
import type { StandardSchemaV1 as Specified } from "@standard-schema/spec";
import { expectTypeOf } from "vitest";
import type { StandardSchemaV1 } from "../../src/core/standard-schema.js";

expectTypeOf<Specified<string, number>>().toExtend<StandardSchemaV1<string, number>>();
expectTypeOf<Specified<string, number>>().not.toExtend<StandardSchemaV1<string, Date>>();
expectTypeOf<StandardSchemaV1.InferOutput<Specified<string, number>>>().toEqualTypeOf<number>();
expectTypeOf<StandardSchemaV1.Result<Date>>().toEqualTypeOf<Specified.Result<Date>>();
expectTypeOf<StandardSchemaV1.Issue>().toEqualTypeOf<Specified.Issue>();
