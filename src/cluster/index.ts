/** `shoal/cluster`: nodes that find and keep each other. */

export {
  defineService,
  type ServiceClient,
  type ServiceContract,
  type ServiceDefinition,
  type ServiceHandlers,
  type ServiceMethod,
  type ServiceMethods,
  type ServiceStreamMethod,
} from "../kit/contract.js";
export { type FailureReason, type HandlerErrorDetails, ServiceError } from "../kit/errors.js";
export { type ZreNodeOptions, ZrePlane } from "../zre/plane.js";
export type { ZreEvent, ZreExitReason, ZrePeer } from "../zre/rules.js";
export type { CurveOptions } from "./admission/identities.js";
export type { RefusedReason } from "./admission/proof.js";
export type { ClusterCertificate, ClusterListenerTls, ClusterTlsOptions } from "./admission/tls.js";
export type { AddressScope, HostAddress } from "./clients/addresses.js";
export {
  type AddressProvider,
  type Ec2Options,
  ec2Addresses,
} from "./clients/addresses.js";
export type { DiscoveryHttpOptions } from "./clients/callers.js";
export {
  DiscoveryClient,
  type DiscoveryClientEvent,
  type DiscoveryClientOptions,
  type DiscoveryClientStats,
} from "./clients/client.js";
export type { ClusterClient, ClusterClients, OwnClient } from "./clients/client-registry.js";
export type { NodeLossReason } from "./clients/connection.js";
export type { DiscoveredAddress, DiscoveredNode } from "./clients/directory.js";
export {
  DiscoveryServer,
  type DiscoveryServerEvent,
  type DiscoveryServerOptions,
  type DiscoveryServerStats,
} from "./clients/server.js";
export type {
  CallerCredentials,
  CallerRefusal,
  DiscoveryAuthenticate,
  DiscoveryUser,
} from "./clients/users.js";
export {
  ConnectionManager,
  type ConnectionManagerOptions,
  type ConnectionManagerStats,
  type ConnectionStatus,
} from "./connections/manager.js";
export type { TagChange, TagPair } from "./details.js";
export {
  type BroadcastSourceOptions,
  broadcastSource,
} from "./discovery/beacon.js";
export { type EtcdSourceOptions, etcdSource } from "./discovery/etcd.js";
export type { DiscoveryTls } from "./discovery/http.js";
export { type KubernetesSourceOptions, kubernetesSource } from "./discovery/kubernetes.js";
export { parseDiscovery } from "./discovery/parse.js";
export {
  AddressFeed,
  type DiscoveryFunction,
  type DiscoverySelf,
  type DiscoverySource,
  type DiscoveryStatus,
  type DnsSourceOptions,
  dnsSource,
  staticSource,
} from "./discovery/source.js";
export { createId } from "./identity.js";
export { type ClusterChannel, ClusterChannels } from "./messaging/channels.js";
export type {
  MessageRecipient,
  PublishOptions,
  SendToNodesOptions,
  SendToOptions,
  SubscribeOptions,
} from "./messaging/client.js";
export type { MessagingEvent } from "./messaging/events.js";
export {
  HookAnswer,
  type HookContext,
  type HookOptions,
  type HookPayload,
  type HookResult,
  type HookStage,
  type MemberHook,
  type MemberStage,
  type MessageHook,
  type MessageStage,
  VetoError,
} from "./messaging/hooks.js";
export type {
  HandlerOptions,
  MemberMessage,
  MemberMessageHandler,
  MemberMessagesEvent,
  MemberMessagesStats,
  MemberQuery,
  MemberQueryHandler,
  MemberQueryOptions,
  MemberSelection,
  MemberSendFailure,
  MemberSendOptions,
  MemberSendResult,
} from "./messaging/member-types.js";
export { type ClusterRoute, MessageClient, type MessagingStats } from "./messaging/messaging.js";
export type { MessagingOptions } from "./messaging/options.js";
export type { MessageLinkStats, MessageLinksStats, MessageRoutesStats } from "./messaging/parts.js";
export type {
  DialTarget,
  MessageProtocol,
  ProtocolHost,
  ProtocolListener,
} from "./messaging/protocols.js";
export { type StreamProtocolOptions, streamProtocol } from "./messaging/protocols.js";
export {
  Query,
  type QueryEnd,
  QueryError,
  type QueryFailure,
  type QueryFailureReason,
  type QueryReply,
  type QueryResponse,
  type QueryResults,
} from "./messaging/query.js";
export type {
  ClusterAddress,
  ClusterMessage,
  ClusterSubscription,
  MessageHandler,
} from "./messaging/subscription.js";
export type { ConnectionError, ConnectionState } from "./net/streams.js";
export { type AnnouncedProgram, Announcement, type WithdrawOptions } from "./node/announcements.js";
export type { ClusterEvent, LostReason } from "./node/events.js";
export type { Member, MemberState } from "./node/member.js";
export { MemberResolver } from "./node/member-resolver.js";
export { ClusterNamespace } from "./node/namespace.js";
export type { ClusterStats } from "./node/namespace-parts.js";
export { ClusterNode } from "./node/node.js";
export type {
  ClusterListener,
  ClusterNamespaceOptions,
  ClusterNodeOptions,
  ClusterProfile,
  PropValue,
  SplitSettings,
} from "./node/options.js";
export { PROFILES, type Profile, type ProfileName } from "./profiles.js";
export { type ClusterNodeEntry, clusterNames } from "./registry.js";
export type { ServeOptions, ServiceManyOptions } from "./requests/options.js";
export type {
  RequestsEvent,
  RequestsStats,
  Service,
  ServiceHandler,
  ServiceManyResult,
  ServiceRequest,
  ServiceRequestOptions,
  ServiceStats,
  ServiceStreamOptions,
} from "./requests/types.js";
export type { MatchMode, ResolverStep } from "./resolver.js";
