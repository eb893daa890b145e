/** No service that authenticates peers (27/ZAP); stands in for engine/zmtp/zap.ts. The option `authenticate` does it. */
export const ZAP_ENDPOINT = "inproc://zeromq.zap.01";

export class ZapClient {
  async ask(): Promise<false> {
    return false;
  }
}
