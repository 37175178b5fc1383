//! Tests of what the node tells of itself: the real engine over the memory backend, asked over real
//! HTTP and OTLP.
#![allow(clippy::expect_used, clippy::panic)] // in helpers too, which clippy does not take for tests

mod collector;
mod docs;
mod faults;
mod http;
mod node;
mod otlp;
mod rotel;
