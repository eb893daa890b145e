/** Arguments of the stores on PostgreSQL, refused before anything connects. */
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { PostgresStore } from "../../src/patterns/titanic/postgres-store.js";
import { PostgresSessionStore } from "../../src/sessions/postgres-store.js";
import { failure } from "../contract/support/wait.js";

describe.each([
  ["PostgresStore", PostgresStore],
  ["PostgresSessionStore", PostgresSessionStore],
])("%s.open", (name, Store) => {
  it.each([
    "user:secret@db/titanic",
    "mysql://user:secret@db/titanic",
    "postgres://user:secret@db:99999/titanic",
    "postgres://user:secret@[",
    "postgres://user:secret@db/titanic?sslcert=/nowhere/secret.pem",
  ])("refuses %s, and shows no secret", async (connectionString) => {
    const error = await failure(Store.open({ connectionString }));
    expect(error).toMatchObject({
      code: "EINVAL",
      message: expect.stringContaining("must be such as postgres://USER:PASSWORD@HOST:PORT/DATABASE; got"),
    });
    expect(inspect(error)).not.toContain("user:secret");
  });

  it.each([
    ["table", "Shop"],
    ["table", "shop; DROP TABLE x"],
    ["table", "x".repeat(41)],
    ["table", ["shop"]],
    ["connectionString", 5],
    ["maxConnections", Number.NaN],
    ["timeout", -1],
  ])("refuses %s %j", async (option, value) => {
    const error = await failure(Store.open({ [option]: value }));
    expect(error).toMatchObject({
      code: "EINVAL",
      message: expect.stringContaining(`${option} of ${name} `),
    });
  });
});
