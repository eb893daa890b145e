/** A Black Box in a process with an option of V8: `node --max-old-space-size=500 limited-program.js`. */
import { BlackBox } from "shoal/patterns";

const handler = new URL("data:text/javascript,export default () => {}");
const box = new BlackBox({ handler, connect: "tcp://127.0.0.1:1" });
await box.start();
await box.close();
console.log("good");
