//! `.hgrm`: the percentile distribution as HdrHistogram's Java tools print it,
//! for its plotter and others.

use hdrhistogram::Histogram;
use std::fmt::Write as _;

/// Ticks of the percentile axis per halving of the distance to 100 %: what Java's tools use.
const TICKS: u32 = 5;

/// The distribution of `histogram` (ns), values divided by `unit_ns`: 1e6 for milliseconds, as the
/// plotter expects.
pub fn encode(histogram: &Histogram<u64>, unit_ns: f64) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let digits = usize::from(histogram.sigfig());
    for row in rows(histogram) {
        let (value, quantile, count) =
            (row.value as f64 / unit_ns, row.percentile / 100.0, row.count);
        let (value, beyond) = (half_up(value, digits), half_up(1.0 / (1.0 - quantile), 2));
        let quantile = half_up(quantile, 12);
        // Writing into a String cannot fail.
        let _ = if row.percentile < 100.0 {
            writeln!(out, "{value:12.digits$} {quantile:.12} {count:>10} {beyond:>14.2}")
        } else {
            writeln!(out, "{value:12.digits$} {quantile:.12} {count:>10}")
        };
    }
    let (buckets, sub_buckets) = layout(histogram);
    let _ = writeln!(
        out,
        "#[Mean    = {:12.digits$}, StdDeviation   = {:12.digits$}]\n\
         #[Max     = {:12.digits$}, Total count    = {:>12}]\n\
         #[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]",
        histogram.mean() / unit_ns,
        histogram.stdev() / unit_ns,
        histogram.max() as f64 / unit_ns,
        histogram.len(),
    );
    out
}

/// Rounds as Java prints: a tie goes up, where Rust would go to the even digit.
fn half_up(value: f64, digits: usize) -> f64 {
    let scale = 10f64.powi(digits as i32);
    if value.is_finite() { (value * scale).round() / scale } else { value }
}

struct HgrmRow {
    value: u64,
    percentile: f64,
    /// Samples up to and including the value.
    count: u64,
}

/// Steps through the percentiles as Java does, with the same floating-point arithmetic:
/// `Histogram::iter_quantiles` rounds differently where a step falls exactly onto a count.
fn rows(histogram: &Histogram<u64>) -> Vec<HgrmRow> {
    let (mut rows, mut level, mut count) = (Vec::new(), 0.0f64, 0u64);
    for step in histogram.iter_recorded() {
        count += step.count_at_value();
        let value = histogram.highest_equivalent(step.value_iterated_to());
        while 100.0 * count as f64 / histogram.len() as f64 >= level {
            rows.push(HgrmRow { value, percentile: level, count });
            let halvings = ((100.0 / (100.0 - level)).ln() / 2f64.ln()).floor() + 1.0;
            level += 100.0 / (f64::from(TICKS) * 2f64.powf(halvings));
            if count == histogram.len() {
                break;
            }
        }
        if count == histogram.len() {
            rows.push(HgrmRow { value, percentile: 100.0, count });
        }
    }
    rows
}

/// Buckets and sub-buckets, which follow from the range and the precision.
fn layout(histogram: &Histogram<u64>) -> (u32, u64) {
    let sub_buckets = (2 * 10u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let unit = 1u64 << (63 - histogram.low().max(1).leading_zeros());
    let mut smallest_untrackable = u128::from(sub_buckets) * u128::from(unit);
    let mut buckets = 1;
    while smallest_untrackable <= u128::from(histogram.high()) {
        smallest_untrackable *= 2;
        buckets += 1;
    }
    (buckets, sub_buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_columns_as_java_prints_them() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 120_000_000_000, 3).unwrap();
        for value in 1..=1_000u64 {
            histogram.record(value * 1_000_000).unwrap();
        }
        let text = encode(&histogram, 1e6);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[2], "       1.000 0.000000000000          1           1.00");
        assert!(
            lines.iter().any(|line| line.trim_start().starts_with("500.")
                && line.contains(" 0.500000000000        500           2.00")),
            "{text}"
        );
        let last = lines.iter().rfind(|line| !line.starts_with('#')).unwrap();
        assert!(last.ends_with(" 1.000000000000       1000"), "{last}");
        assert!(
            text.contains("#[Buckets =           27, SubBuckets     =         2048]"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_histogram_is_no_reason_to_fail() {
        assert!(encode(&Histogram::new(3).unwrap(), 1e6).contains("Total count    =            0"));
    }
}
