/**
 * What a ROUTER knows its peers by: a routing id, which it makes up, or which the peer has chosen.
 *
 * Look at the first frame of both messages: five bytes that begin with a zero, which the router made up for this connection,
 * and the name that the second client has set. Where the program does not care, let the router choose: two peers with the same
 * name are a conflict, and the second is refused.
 *
 *   node examples/guide/chapter3/identity.ts
 */
import { Request, Router } from "shoal";

const router = new Router();
await router.bind("inproc://identity");

const anonymous = new Request();
anonymous.connect("inproc://identity");
await anonymous.send("the router makes up an id of five bytes");
show(await router.receive());

const named = new Request({ routingId: "PEER2" });
named.connect("inproc://identity");
await named.send("the router takes the id of the peer");
show(await router.receive());

await Promise.all([anonymous, named, router].map((socket) => socket.close({ linger: 0 })));

function show(frames: Buffer[]): void {
  console.log("----------------------------------------");
  for (const frame of frames) {
    const isText = frame.every((byte) => byte >= 32 && byte < 127);
    console.log(`[${String(frame.length).padStart(3, "0")}] ${isText ? frame : `${frame.length} bytes`}`);
  }
}
