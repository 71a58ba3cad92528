//! What is printed is read back, and what is refused says why.

use super::*;
use proptest::prelude::*;

#[test]
fn known_values() {
    assert_eq!("10s".parse(), Ok(Span::from_secs(10)));
    assert_eq!("1.5ms".parse(), Ok(Span(1_500_000)));
    assert_eq!("1KiB".parse(), Ok(Bytes(1024)));
    assert_eq!("1GB".parse(), Ok(Bytes(1_000_000_000)));
    assert_eq!("10k/s".parse(), Ok(Rate::per_second(10_000)));
    assert_eq!("1.5M/s".parse(), Ok(Rate::per_second(1_500_000)));
    assert_eq!("0.5/s".parse::<Rate>().map(Rate::micro_per_s), Ok(500_000));
    assert_eq!("50MB/s".parse(), Ok(ByteRate(50_000_000)));
}

#[test]
fn spans_are_sums_from_the_largest_unit_down() {
    for (text, seconds) in [
        ("1h30m", 5400),
        ("90m", 5400),
        ("1d", 86_400),
        ("1d 12h", 129_600),
        ("1h30m15s", 5415),
        ("1.5h", 5400),
    ] {
        assert_eq!(text.parse(), Ok(Span::from_secs(seconds)), "{text}");
    }
    assert_eq!("1s500ms".parse(), Ok(Span::from_millis(1500)));
    for bad in ["30m1h", "5s5s", "1h30", "h30m", "1h30x", "1h.m", "999999d1h"] {
        let error = bad.parse::<Span>().unwrap_err().to_string();
        assert!(error.contains(&format!("`{bad}` is not a duration")), "{bad}: {error}");
    }
}

#[test]
fn a_rate_in_bytes_is_one_of_messages_once_their_size_is_known() {
    let rate = |text: &str, bytes: f64| {
        text.parse::<ByteRate>().unwrap().in_messages_of(bytes).to_string()
    };
    assert_eq!(rate("50MB/s", 100.0), "500k/s");
    assert_eq!(rate("50MB/s", 1024.0), "48828.125/s");
    assert_eq!(rate("1KiB/s", 2048.0), "0.5/s");
    assert_eq!(rate("1KiB/s", 0.0), "0/s");
    for bad in ["50MB", "50/s", "50 Mb/s", "MB/s"] {
        let error = bad.parse::<ByteRate>().unwrap_err().to_string();
        assert!(error.contains(&format!("`{bad}` is not a rate")), "{error}");
    }
}

#[test]
fn refusals_say_what_is_wrong_and_what_is_right() {
    let missing = "10".parse::<Span>().unwrap_err().to_string();
    assert!(missing.contains("unit is missing") && missing.contains("`10s`"), "{missing}");
    let unknown = "5 junk".parse::<Span>().unwrap_err().to_string();
    assert!(unknown.contains("unknown unit `junk`"), "{unknown}");
    assert!("".parse::<Bytes>().is_err());
    assert!("1.2.3s".parse::<Span>().is_err());
    assert!("99999999999999999999GiB".parse::<Bytes>().is_err());
    assert!("-5/s".parse::<Rate>().is_err());
}

#[test]
fn rates_are_rounded_down_to_two_digits() {
    for (exact, rounded) in [
        (25_999.9, "25k/s"),
        (25_000.0, "25k/s"),
        (120_999.0, "120k/s"),
        (1_999.0, "1900/s"),
        (99.9, "99/s"),
        (0.0, "0/s"),
    ] {
        assert_eq!(Rate::from_f64(exact).two_digits_down().to_string(), rounded, "{exact}");
    }
}

proptest! {
    #[test]
    fn rounding_down_loses_less_than_a_tenth(rate in 10u64..10_000_000) {
        let exact = Rate::per_second(rate);
        let rounded = exact.two_digits_down();
        prop_assert!(rounded <= exact && rounded.per_s() > exact.per_s() * 0.9);
        prop_assert_eq!(rounded.two_digits_down(), rounded);
    }

    #[test]
    fn what_is_printed_is_read_back(
        ns in 0u64..1u64 << 60,
        bytes in 0u64..1u64 << 60,
        rate in 0u64..10_000_000,
    ) {
        prop_assert_eq!(Span(ns).to_string().parse(), Ok(Span(ns)));
        prop_assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)));
        prop_assert_eq!(Rate::per_second(rate).to_string().parse(), Ok(Rate::per_second(rate)));
        prop_assert_eq!(ByteRate(bytes).to_string().parse(), Ok(ByteRate(bytes)));
    }

    #[test]
    fn parts_of_a_span_add_up(days in 0u64..100, hours in 0u64..100, millis in 0u64..100_000) {
        let sum = ((days * 24 + hours) * 3_600_000 + millis) * 1_000_000;
        prop_assert_eq!(format!("{days}d{hours}h{millis}ms").parse(), Ok(Span(sum)));
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,40}") {
        let _ = text.parse::<Span>();
        let _ = text.parse::<Bytes>();
        let _ = text.parse::<Rate>();
        let _ = text.parse::<ByteRate>();
    }
}
