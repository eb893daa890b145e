// @ts-check
/** Ring buffers compared with arrays as queues, for several lengths. */
import b from "benny";
import { RingBuffer } from "../../dist/micro/core/collections/queues.js";
import { options } from "./options.js";

for (const length of [10, 1_000, 100_000]) {
  await b.suite(
    `push and shift with ${length} items waiting`,
    b.add(
      "RingBuffer",
      () => {
        const ring = new RingBuffer();
        for (let i = 0; i < length; i++) ring.push(i);
        return () => {
          ring.push(1);
          ring.shift();
        };
      },
      options,
    ),
    b.add(
      "Array",
      () => {
        const array = Array.from({ length }, (_, i) => i);
        return () => {
          array.push(1);
          array.shift();
        };
      },
      options,
    ),
    b.cycle(),
    b.complete(),
  );
}
