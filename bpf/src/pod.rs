//! Reading and writing C structures as the bytes the kernel copies.
#![allow(unsafe_code)]

use crate::skel::types;

/// A type that is plain data: any bytes are a value of it, and it has no padding.
///
/// # Safety
/// The implementer holds both.
pub(crate) unsafe trait Pod: Copy + 'static {}

// SAFETY: an integer.
unsafe impl Pod for u32 {}
// SAFETY: an integer.
unsafe impl Pod for u64 {}

/// Declares generated types plain, after checking that their fields fill them.
macro_rules! plain {
    ($( $name:ident: $size:literal, )+) => { $(
        const _: () = assert!(
            size_of::<types::$name>() == $size,
            concat!("the fields of ", stringify!($name), " have changed: sum them up again"),
        );
        // SAFETY: made of integers and arrays of them, whose sizes add up to the type's: no padding.
        unsafe impl Pod for types::$name {}
    )+ };
}

plain! {
    object_key: 24,
    claim_row: 40,
    link_row: 128,
    pulled_row: 32,
    member_row: 24,
    zone_row: 8,
    usage_row: 40,
    ipc_row: 24,
    pair_row: 8,
    host_socket: 128,
    control_row: 40,
    hook_counts: 40,
    denial_key: 12,
    denial_count: 24,
    event: 256,
    facts: 176,
}

/// The value's bytes.
#[cfg(test)]
pub(crate) fn bytes_of<T: Pod>(value: &T) -> &[u8] {
    // SAFETY: a Pod has no padding, so all its bytes are initialised, for as long as it is borrowed.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// A value of exactly these bytes; `None` if their number is not its size.
pub(crate) fn value_of<T: Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: there are enough bytes, any bytes are a Pod's value, and they need not be aligned.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// A value whose bytes are all zero.
pub(crate) fn zeroed<T: Pod>() -> T {
    // SAFETY: any bytes are a Pod's value.
    unsafe { std::mem::zeroed() }
}

/// A C string's text, up to its NUL, lossily.
pub(crate) fn text_of(chars: &[i8]) -> String {
    let bytes: Vec<u8> = chars
        .iter()
        .map(|c| c.cast_unsigned())
        .take_while(|b| *b != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_values_are_two_views_of_one_thing() {
        let key = types::denial_key {
            hook: 1,
            subject: 2,
            object: 3,
        };
        let back: types::denial_key = value_of(bytes_of(&key)).unwrap();
        assert_eq!((back.hook, back.subject, back.object), (1, 2, 3));
        assert!(value_of::<types::denial_key>(&[0; 11]).is_none());
    }

    #[test]
    fn text_ends_at_its_nul_or_at_the_array_s_end() {
        assert_eq!(text_of(&[104, 105, 0, 120]), "hi");
        assert_eq!(text_of(&[104, 105]), "hi");
        assert_eq!(text_of(&[-1, 0]), "\u{fffd}");
    }
}
