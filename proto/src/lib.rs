//! Envoy's messages under the names the services use. No logic lives here: an Envoy API change touches this crate and
//! the `wire/` folder of one service, nothing else.
//!
//! Messages come from `envoy-types`; what Envoy lacks would be generated beside them.

/// The rate limit service, `envoy.service.ratelimit.v3`.
pub mod ratelimit {
    pub use envoy_types::pb::envoy::extensions::common::ratelimit::v3::{RateLimitDescriptor, rate_limit_descriptor};
    pub use envoy_types::pb::envoy::service::ratelimit::v3::{
        RateLimitRequest, RateLimitResponse, rate_limit_response,
        rate_limit_service_client::RateLimitServiceClient,
        rate_limit_service_server::{RateLimitService, RateLimitServiceServer},
    };
    pub use envoy_types::pb::envoy::r#type::v3::RateLimitUnit;
}

/// The external authorization service, `envoy.service.auth.v3`.
pub mod auth {
    pub use envoy_types::pb::envoy::service::auth::v3::{
        AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse, attribute_context,
        authorization_client::AuthorizationClient, check_response,
    };
    pub use envoy_types::pb::google::rpc::Status;
}

/// Messages both services share, `envoy.config.core.v3` and `envoy.type.v3`.
pub mod core {
    pub use envoy_types::pb::envoy::config::core::v3::{
        HeaderMap, HeaderValue, HeaderValueOption, Metadata, header_value_option::HeaderAppendAction,
    };
    pub use envoy_types::pb::envoy::r#type::v3::{HttpStatus, StatusCode};
}

/// Configuration from a control plane: `envoy.service.discovery.v3` and the rate limit resources it carries.
pub mod xds {
    pub use envoy_types::pb::envoy::config::core::v3::Node;
    pub use envoy_types::pb::envoy::service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        aggregated_discovery_service_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer},
    };
    pub use envoy_types::pb::google::protobuf::Any;
    pub use envoy_types::pb::google::rpc::Status;
    pub use envoy_types::pb::ratelimit::config::ratelimit::v3::{
        RateLimitConfig, RateLimitDescriptor, RateLimitPolicy, RateLimitReplace, RateLimitUnit,
    };
}

/// Protobuf's well-known types.
pub mod google {
    pub use envoy_types::pb::google::protobuf::{
        BoolValue, Duration, ListValue, NullValue, Struct, UInt32Value, UInt64Value, Value, value,
    };
}
