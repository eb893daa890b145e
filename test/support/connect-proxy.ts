/** An HTTP proxy that opens tunnels by CONNECT, for who has its credentials. */
import { createServer, type Server } from "node:http";
import { connect } from "node:net";

/** @returns a server that does not listen yet, and what it was asked for: the target, and the credentials */
export function connectProxy(credentials: string): { server: Server; asked: string[] } {
  const good = `Basic ${Buffer.from(credentials).toString("base64")}`;
  const asked: string[] = [];
  const server = createServer();
  server.on("connect", (request, socket, head) => {
    asked.push(`${request.url} ${request.headers["proxy-authorization"] ?? "-"}`);
    if (request.headers["proxy-authorization"] !== good) {
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const [host, port] = `${request.url}`.split(":");
    const out = connect(Number(port), host as string, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      out.write(head);
      out.pipe(socket).pipe(out);
    });
    for (const each of [out, socket]) each.on("error", () => undefined);
  });
  return { server, asked };
}
