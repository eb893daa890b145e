/** From start to the first message: a PUSH and a PULL over tcp, then the end. `first-message-main.js shoal|FILE` */
const from = performance.now();
const { Pull, Push } = (await import(process.argv[2] ?? "shoal")) as typeof import("shoal");
const imported = (performance.now() - from) / 1e3;

const pull = new Pull();
const push = new Push();
await pull.bind("tcp://127.0.0.1:*");
push.connect(pull.lastEndpoint as string);
await push.send("first");
await pull.receive();
console.log(JSON.stringify({ type: "first", import: imported }));
await push.close();
await pull.close();
