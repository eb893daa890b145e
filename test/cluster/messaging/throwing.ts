/** A handler, hook or getter that throws. */
export const throwing = (thrown: unknown) => (): never => {
  throw thrown;
};
