//! Names of folders: labels are checked, matrix points are written so that no two share a folder.

use super::error::ResultError;

/// Longest folder name made from a matrix point;
/// a longer one is cut and made unique by its checksum.
const LONGEST: usize = 120;

/// A label names a folder as it stands, so it must be harmless.
pub fn check_label(label: &str) -> Result<(), ResultError> {
    let fits = (1..=64).contains(&label.len())
        && label.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
    if fits { Ok(()) } else { Err(ResultError::Label { label: label.to_owned() }) }
}

/// A matrix point as one path component: `load.rate=1k/s` becomes `load.rate=1k_2Fs`. Different
/// points get different names: `_` and two hex digits stand for every byte
/// that is not plainly harmless.
pub fn path_safe(point: &str) -> String {
    let mut name = String::new();
    for (at, byte) in point.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || b"=,+-".contains(&byte) || (byte == b'.' && at > 0);
        if plain {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("_{byte:02X}"));
        }
    }
    if name.is_empty() {
        return "_".to_owned();
    }
    if name.len() > LONGEST {
        name.truncate(LONGEST - 9);
        name.push_str(&format!("_{:08x}", crc32c::crc32c(point.as_bytes())));
    }
    name
}

/// Any name (of a scenario) as lower-case letters, digits and dashes.
pub fn slug(name: &str) -> String {
    let mapped: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(60)
        .collect();
    let parts: Vec<&str> = mapped.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "run".to_owned() } else { parts.join("-") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn points_are_readable_folder_names() {
        assert_eq!(path_safe("base"), "base");
        assert_eq!(path_safe("load.rate=1k/s"), "load.rate=1k_2Fs");
        assert_eq!(path_safe(".."), "_2E.");
        assert_eq!(path_safe(""), "_");
        assert!(path_safe(&"x/".repeat(500)).len() <= LONGEST);
        assert_ne!(path_safe(&"x/".repeat(500)), path_safe(&"x/".repeat(501)));
    }

    proptest! {
        #[test]
        fn no_point_leaves_its_folder_and_no_two_share_one(a in ".{0,40}", b in ".{0,40}") {
            let (name, other) = (path_safe(&a), path_safe(&b));
            prop_assert!(!name.is_empty() && !name.starts_with('.'));
            prop_assert!(!name.contains(['/', '\\', '\0']));
            prop_assert_eq!(a == b, name == other);
        }
    }

    #[test]
    fn labels_that_could_leave_the_folder_are_refused() {
        for good in ["kafka", "kafka-3", "redis_lists.reliable", "3nodes"] {
            assert!(check_label(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "A", "-x", ".x", "a b", "é", &"x".repeat(65)] {
            assert!(check_label(bad).unwrap_err().to_string().contains("a-z"), "{bad}");
        }
    }

    #[test]
    fn scenario_names_become_slugs() {
        assert_eq!(slug("Fan-out, 16 wide!"), "fan-out-16-wide");
        assert_eq!(slug("../.."), "run");
    }
}
