/**
 * The used parts of etcd's gRPC interface (version 3: services KV and Watch) for protobufjs: Put, and Watch with its
 * creation. Unused fields are omitted, since protobuf skips them.
 */
const field = (type: string, id: number, rule?: "repeated") => ({
  type,
  id,
  ...(rule === undefined ? {} : { rule }),
});

export const MESSAGES = {
  nested: {
    mvccpb: {
      nested: {
        KeyValue: { fields: { key: field("bytes", 1), value: field("bytes", 5) } },
        Event: { fields: { type: field("int32", 1), kv: field("KeyValue", 2) } },
      },
    },
    etcdserverpb: {
      nested: {
        PutRequest: { fields: { key: field("bytes", 1), value: field("bytes", 2) } },
        PutResponse: { fields: {} },
        WatchCreateRequest: { fields: { key: field("bytes", 1), range_end: field("bytes", 2) } },
        WatchRequest: { fields: { create_request: field("WatchCreateRequest", 1) } },
        WatchResponse: {
          fields: {
            created: field("bool", 3),
            canceled: field("bool", 4),
            cancel_reason: field("string", 6),
            events: field("mvccpb.Event", 11, "repeated"),
          },
        },
        KV: {
          methods: { Put: { requestType: "PutRequest", responseType: "PutResponse" } },
        },
        Watch: {
          methods: {
            Watch: {
              requestType: "WatchRequest",
              requestStream: true,
              responseType: "WatchResponse",
              responseStream: true,
            },
          },
        },
      },
    },
  },
} as const;
