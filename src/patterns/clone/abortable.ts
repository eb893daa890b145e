/** A call that a signal can end. */

/**
 * @param start gets what settles the call, and gives what ends it
 * @returns settles as the call does, and hears the signal no more then
 */
export function abortable<T>(
  signal: AbortSignal,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => () => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let end: () => void = () => undefined;
    const signalOnAbort = (): void => end();
    const done = (): void => signal.removeEventListener("abort", signalOnAbort);
    end = start(
      (value) => {
        done();
        resolve(value);
      },
      (error) => {
        done();
        reject(error);
      },
    );
    signal.addEventListener("abort", signalOnAbort, { once: true });
  });
}
