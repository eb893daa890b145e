/** What a handler may throw although nothing can be read of it. */
export const UNREADABLE: Readonly<Record<string, unknown>> = {
  "an object without a prototype": Object.create(null),
  "an error whose message throws": Object.defineProperty(new Error("x"), "message", {
    get() {
      throw new Error("no message");
    },
  }),
  "an object whose text and code throw": {
    toString() {
      throw new Error("no text");
    },
    get code() {
      throw new Error("no code");
    },
  },
  "a Proxy that throws": new Proxy(
    {},
    {
      get() {
        throw new Error("no property");
      },
      getPrototypeOf() {
        throw new Error("no prototype");
      },
    },
  ),
};
