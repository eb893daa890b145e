/** From start to the first message over tcp, then the end. */
const from = performance.now();
const { connect, listen } = await import("./endpoints.js");
const { FrameReader, FrameWriter } = await import("./framing.js");
const imported = (performance.now() - from) / 1e3;

const option = (_name: string, otherwise: string) => otherwise;
const { server, endpoint } = await listen({ endpoint: "tcp://127.0.0.1:*", option }, 511, (socket) => {
  const reader = new FrameReader(() => {
    console.log(JSON.stringify({ type: "first", import: imported }));
    socket.destroy();
    server.close();
  });
  socket.on("data", (chunk: Buffer) => reader.take(chunk));
});
const socket = await connect({ endpoint, option });
const writer = new FrameWriter(socket);
writer.write(Buffer.from("first"));
await writer.flush();
socket.resume();
socket.on("end", () => socket.destroy());
