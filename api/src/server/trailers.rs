//! Trailers of replies that succeed: what was taken and is not enforced yet (I1: nothing pretends).
//!
//! tonic sends a reply's metadata as headers; what is only known once the command is done belongs
//! behind it. The service leaves it in the reply's extensions, and this puts it into the trailers.

use http::{HeaderName, HeaderValue, Response};
use http_body_util::BodyExt as _;
use tonic::body::Body;

use crate::client::NOT_ENFORCED_KEY;

/// What a reply's trailers say is not enforced, one value each.
#[derive(Clone, Debug)]
pub struct NotEnforced(pub Vec<String>);

/// Moves what the service left in the extensions into the trailers.
pub fn append(mut response: Response<Body>) -> Response<Body> {
    let Some(NotEnforced(words)) = response.extensions_mut().remove::<NotEnforced>() else {
        return response;
    };
    // Words that are no header value (none of ours) are left out rather than failing the reply.
    let values: Vec<HeaderValue> = words
        .iter()
        .filter_map(|word| HeaderValue::from_str(word).ok())
        .collect();
    response.map(|body| {
        Body::new(body.map_frame(move |mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                for value in &values {
                    trailers.append(HeaderName::from_static(NOT_ENFORCED_KEY), value.clone());
                }
            }
            frame
        }))
    })
}
