//! `.hgrm`: the percentile distribution as HdrHistogram's Java tools print it, for its plotter and others.

use hdrhistogram::Histogram;
use std::fmt::Write as _;

/// Ticks of the percentile axis per halving of the distance to 100 %: what Java's tools use.
const TICKS: u32 = 5;

/// The distribution of `histogram` (ns), values divided by `unit_ns`: 1e6 for milliseconds, as the plotter expects.
pub fn encode(histogram: &Histogram<u64>, unit_ns: f64) -> String {
    let mut out = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let digits = usize::from(histogram.sigfig());
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS) {
        count += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64 / unit_ns, step.quantile_iterated_to());
        // Writing into a String cannot fail.
        let _ = if quantile < 1.0 {
            writeln!(out, "{value:12.digits$} {quantile:.12} {count:>10} {:>14.2}", 1.0 / (1.0 - quantile))
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
        assert!(text.contains("#[Buckets =           27, SubBuckets     =         2048]"), "{text}");
    }

    #[test]
    fn an_empty_histogram_is_no_reason_to_fail() {
        assert!(encode(&Histogram::new(3).unwrap(), 1e6).contains("Total count    =            0"));
    }
}
