//! The resource: which service on which node it is that tells.

use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::resource::v1 as proto;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;

use crate::figures::Build;

/// This daemon on this node. `OTEL_RESOURCE_ATTRIBUTES` adds to it and wins, `OTEL_SERVICE_NAME`
/// names the service.
pub(crate) fn of_this_node(build: Build) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.name", "syva-core"),
        KeyValue::new("service.version", build.version),
        KeyValue::new("os.type", "linux"),
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ];
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    attributes.push(KeyValue::new("host.name", name));
    // Not every node has one.
    if let Ok(id) = std::fs::read_to_string("/etc/machine-id")
        && !id.trim().is_empty()
    {
        attributes.push(KeyValue::new("host.id", id.trim().to_owned()));
    }
    let mut resource = Resource::builder_empty()
        .with_attributes(attributes)
        .with_detector(Box::new(EnvResourceDetector::new()));
    if let Ok(service) = std::env::var("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name(service);
    }
    resource.build()
}

/// As it goes over the wire.
pub(crate) fn encoded(resource: &Resource) -> proto::Resource {
    proto::Resource {
        attributes: ResourceAttributesWithSchema::from(resource).attributes.0,
        ..proto::Resource::default()
    }
}
