//! Tests of what the node tells of itself: the real engine over the memory backend, asked over real
//! HTTP and OTLP.

mod http;
mod node;
