/** The protocol "ws": streams between nodes over WebSockets, for networks that block everything else. */
import { NotSupportedError } from "../../core/errors.js";
import { optionValues } from "../../core/option-table.js";
import { renewedOptions } from "../../engine/zmtp/options.js";
import type { Transport, TransportOptions } from "../../engine/zmtp/transport/transport.js";
import type { TransportTable } from "../../engine/zmtp/transport/transports.js";
import type { NodeTls } from "../admission/tls.js";
import { joinAddress } from "../net/addresses.js";
import { WsDuplex } from "../net/ws-duplex.js";
import { bindFree } from "../ports.js";
import { DIAL_TIMEOUT_MAX } from "./bounds.js";
import type { MessageProtocol } from "./protocol.js";

/** Pages are not nodes, not even one that its browser takes for a page of this host (DNS rebinding). */
const OPTIONS = { wsOrigins: "", connectTimeout: DIAL_TIMEOUT_MAX } as const;

/** @param tls of the node, for wss instead of ws */
export function wsProtocol(transports: TransportTable, tls: NodeTls | undefined): MessageProtocol {
  const scheme = tls === undefined ? "ws" : "wss";
  const over = (side: "listening" | "dialling", host: string): [Transport, TransportOptions] => {
    const transport = transports.get(scheme);
    if (transport === undefined) throw new NotSupportedError(`the platform has no ${scheme}://`);
    const options = optionValues({ ...OPTIONS, ipv6: host.includes(":") });
    return [transport, tls === undefined ? options : renewedOptions(options, () => tls[side])];
  };
  return {
    name: "ws",
    reaches: ({ host }) => host !== "",

    async listen(accept, { host, ports }) {
      const [transport, options] = over("listening", host);
      const shown = host.includes(":") ? `[${host}]` : host;
      const responder = {
        accepted: (stream: never) => accept(new WsDuplex(stream)),
        failed: () => undefined,
      };
      const listener = await bindFree(0, ports, (port) =>
        transport.listen(`${scheme}://${shown}:${port === 0 ? "*" : port}`, options, responder),
      );
      const [, port = ""] = /:(\d+)[^:]*$/.exec(listener.endpoint) ?? [];
      return { advert: port, close: () => listener.close() };
    },

    connect(port, { host }) {
      const [transport, options] = over("dialling", host);
      return new Promise((resolve, reject) => {
        transport.dial(`${scheme}://${joinAddress(host, Number(port))}`, options, (result) => {
          if (result instanceof Error) reject(result);
          else resolve(new WsDuplex(result));
        });
      });
    },
  };
}
